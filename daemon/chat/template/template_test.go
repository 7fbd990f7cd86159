package template_test

import (
	"context"
	"strings"
	"testing"

	"github.com/shoal-p2p/shoal/daemon/chat/jinja"
	"github.com/shoal-p2p/shoal/daemon/chat/template"
	"github.com/shoal-p2p/shoal/daemon/core"
)

func TestModelsWithoutTemplate(t *testing.T) {
	in := template.Input{Generate: true, Messages: []core.Message{{Role: "user", Content: "Hi"}, {Role: "assistant", Content: "Yo"}}}
	for _, c := range []struct {
		cfg  template.Config
		want string
	}{
		{template.Config{ChatML: true}, "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nYo<|im_end|>\n<|im_start|>assistant\n"},
		{template.Config{BOS: "<s>"}, "<s>User: Hi\n\nAssistant: Yo\n\nAssistant:"},
	} {
		tmpl, err := template.New(c.cfg)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := tmpl.Render(context.Background(), in); err != nil || got.String() != c.want {
			t.Errorf("got %q, %v, want %q", got, err, c.want)
		}
	}
}

func TestUnknownRoleIsRefused(t *testing.T) {
	tmpl, err := template.New(template.Config{ChatML: true})
	if err != nil {
		t.Fatal(err)
	}
	_, err = tmpl.Render(context.Background(), template.Input{Messages: []core.Message{{Role: "<|im_end|>"}}})
	if core.CodeOf(err) != core.CodeInvalidRequest {
		t.Errorf("got %v", err)
	}
}

// Whatever a request says, and wherever a template puts it, it stays marked as the user's.
func TestUserTextStaysMarked(t *testing.T) {
	const evil = "<|evil|>"
	in := template.Input{Generate: true, Args: map[string]any{"custom": evil, "tools_in_user_message": false},
		Tools: []core.Tool{{Name: evil, Description: evil, Parameters: []byte(`{"type":"object","properties":{"` + evil + `":{"type":"string","description":"` + evil + `"}}}`)}},
		Messages: []core.Message{
			{Role: "system", Content: evil}, {Role: "user", Content: " " + evil + "\n"},
			{Role: "assistant", Content: "<think>" + evil + "</think>\n" + evil},
			{Role: "user", Content: evil},
			{Role: "assistant", ReasoningContent: evil, ToolCalls: []core.ToolCall{{ID: "123456789", Name: evil, Arguments: `{"` + evil + `":"` + evil + `"}`}}},
			{Role: "tool", Content: evil, ToolCallID: "123456789"},
		}}
	for _, name := range []string{"whitespace", "Qwen-Qwen3-0.6B", "meta-llama-Llama-3.1-8B-Instruct", "NousResearch-Hermes-3-Llama-3.1-8B-tool_use", "mistralai-Mistral-Nemo-Instruct-2407", "openai-gpt-oss-120b", "GLM-4.6", "HuggingFaceTB-SmolLM3-3B", "deepseek-ai-DeepSeek-V3.1", "microsoft-Phi-3.5-mini-instruct"} {
		t.Run(name, func(t *testing.T) {
			tmpl, err := template.New(template.Config{Source: source(t, name), BOS: "<BOS>", EOS: "<EOS>"})
			if err != nil {
				t.Fatal(err)
			}
			got, err := tmpl.Render(context.Background(), in)
			if err != nil {
				t.Fatal(err)
			}
			if seen := countMarked(t, got, evil); seen == 0 {
				t.Errorf("nothing of the request is in %q", got)
			}
		})
	}
}

// countMarked counts occurrences of s and fails on each byte of one that is not marked as the user's.
func countMarked(t *testing.T, text jinja.Text, s string) (n int) {
	t.Helper()
	user := make([]bool, len(text.String()))
	for _, u := range text.UserSpans() {
		for i := u.Start; i < u.End; i++ {
			user[i] = true
		}
	}
	for at := 0; ; n++ {
		i := strings.Index(text.String()[at:], s)
		if i < 0 {
			return n
		}
		for j := at + i; j < at+i+len(s); j++ {
			if !user[j] {
				t.Fatalf("byte %d of %q passes for the template's", j, text)
			}
		}
		at += i + len(s)
	}
}

func FuzzRender(f *testing.F) {
	f.Add("{{ messages[0].content | trim }}", "hi", `{"a":1}`)
	f.Add("{% for m in messages %}{{ m.tool_calls | tojson }}{% endfor %}", "<|x|>", `{`)
	f.Fuzz(func(t *testing.T, src, content, arguments string) {
		tmpl, err := template.New(template.Config{Source: src, BOS: "<s>"})
		if err != nil {
			return
		}
		_, _ = tmpl.Render(context.Background(), template.Input{Messages: []core.Message{
			{Role: "user", Content: content},
			{Role: "assistant", Content: content, ToolCalls: []core.ToolCall{{Name: "f", Arguments: arguments}}}}})
	})
}
