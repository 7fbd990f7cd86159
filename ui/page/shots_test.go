package page

import (
	"testing"
	"time"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/ui/theme"
	"github.com/shoal-p2p/shoal/ui/uitest"
)

const answer = `Shoal pools the graphics cards of a few gaming PCs so that **together** they run a model none could run *alone*.

## How it works
1. The model file is cut into pieces.
2. Each PC keeps the pieces that fit its memory.
3. Your question travels from PC to PC, and the answer comes back.

` + "```bash\ncurl http://127.0.0.1:8800/v1/models -H \"Authorization: Bearer $KEY\"\n```" + `

- Uses ` + "`llama.cpp`" + ` as it is released
- See [the design](https://example.org/design) for more

> What you write stays with the PCs you trust.`

// busyBackend is a PC in the middle of things.
func busyBackend() *uitest.Backend {
	b := uitest.New()
	b.ModelsNow = []admin.ModelInfo{
		uitest.Model("llama-3.1-8b-instruct", "Llama 3.1 8B Instruct", admin.StatusLoaded, 4.6),
		uitest.Model("qwen3-14b", "Qwen3 14B", admin.StatusReady, 8.4),
		uitest.Model("gemma-3-27b", "Gemma 3 27B", admin.StatusReady, 15.4),
		uitest.Model("llama-3.3-70b", "Llama 3.3 70B Instruct", admin.StatusPartial, 39.6),
	}
	b.ModelsNow[1].LastError = "there is not enough graphics memory for 40 of 48 layers"
	b.StatsNow.State = "serving"
	b.StatsNow.Hardware.GPUVRAMUsedMB = 7450
	b.StatsNow.RequestsServed = 1284
	b.StatsNow.Inference = admin.InferenceStats{TokensPerSecond: 46.2, TokensGenerated: 212_480}
	for _, text := range []string{answer} {
		b.Answer = append(b.Answer, core.Delta{Text: text})
	}
	b.Usage = core.Usage{PromptTokens: 12, CompletionTokens: 214}
	return b
}

func TestShots(t *testing.T) {
	for _, look := range []struct {
		name          string
		mode          theme.Mode
		width, height float32
	}{{"dark", theme.ModeDark, 1280, 800}, {"light", theme.ModeLight, 1280, 800}, {"small", theme.ModeDark, 700, 560}} {
		t.Run(look.name, func(t *testing.T) {
			s := newScreenIn(t, busyBackend(), look.mode, look.width, look.height)
			s.shoot(look.name + "-home")
			s.Show(Models)
			gate := make(chan error)
			s.backend.Gates["Import"] = gate
			s.backend.Imported = uitest.Model("mistral-small-24b", "Mistral Small 24B", admin.StatusReady, 13.3)
			s.backend.Steps = []core.Progress{{Done: 5 << 30, Total: 13 << 30, Since: time.Now()}}
			s.Import("/home/anna/models/Mistral-Small-24B.gguf")
			s.until("the import shows progress", func() bool { return len(s.snap.Jobs) == 1 && s.snap.Jobs[0].Progress.Done > 0 })
			s.shoot(look.name + "-models")
			s.Show(Chat)
			s.shoot(look.name + "-chat-empty")
			s.chat.ask("What is Shoal, in a few words? And how would I use it from a script on this PC?")
			s.until("the answer has ended", func() bool { return s.chat.open.Running() == nil })
			s.chat.scroll.ScrollToBottom()
			s.shoot(look.name + "-chat")
			s.Show(Settings)
			s.shoot(look.name + "-settings")
			gate <- nil
		})
	}
	t.Run("new", func(t *testing.T) {
		s := newScreen(t, uitest.New())
		s.shoot("new-home")
		s.Show(Models)
		s.shoot("new-models")
		s.Show(Chat)
		s.shoot("new-chat")
	})
}
