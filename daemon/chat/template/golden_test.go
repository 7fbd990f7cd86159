package template_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shoal-p2p/shoal/daemon/chat/template"
	"github.com/shoal-p2p/shoal/daemon/core"
)

// conversation is one entry of testdata/conversations.json, in the shape of an OpenAI request.
type conversation struct {
	Name     string         `json:"name"`
	Args     map[string]any `json:"args"`
	Generate *bool          `json:"add_generation_prompt"`
	Tools    []struct {
		Function struct {
			Name, Description string
			Parameters        json.RawMessage
		}
	} `json:"tools"`
	Messages []struct {
		core.Message
		ToolCalls []struct {
			ID       string
			Function struct{ Name, Arguments string }
		} `json:"tool_calls"`
	} `json:"messages"`
}

func (c conversation) input() template.Input {
	in := template.Input{Now: time.Date(2026, 7, 9, 8, 5, 3, 0, time.UTC), Args: c.Args, AddGenerationPrompt: c.Generate == nil || *c.Generate}
	for _, t := range c.Tools {
		in.Tools = append(in.Tools, core.Tool{Name: t.Function.Name, Description: t.Function.Description, Parameters: t.Function.Parameters})
	}
	for _, m := range c.Messages {
		for _, call := range m.ToolCalls {
			m.Message.ToolCalls = append(m.Message.ToolCalls, core.ToolCall{ID: call.ID, Name: call.Function.Name, Arguments: call.Function.Arguments})
		}
		in.Messages = append(in.Messages, m.Message)
	}
	return in
}

func readJSON(t testing.TB, path string, v any) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatal(err)
	}
}

// source reads a template of ours, or one of a model.
func source(t *testing.T, name string) string {
	t.Helper()
	for _, dir := range []string{"own", "models"} {
		if b, err := os.ReadFile(filepath.Join("testdata", dir, name+".jinja")); err == nil {
			return string(b)
		}
	}
	t.Fatalf("there is no template %s", name)
	return ""
}

func sourceOf(text string) template.Source {
	return template.Source{Text: text, BOS: "<BOS>", EOS: "<EOS>"}
}

// The goldens are what Python's jinja2 rendered; testdata/generate.py writes them.
func TestRenderIsWhatPythonRenders(t *testing.T) {
	var all []conversation
	readJSON(t, "testdata/conversations.json", &all)
	files, err := filepath.Glob("testdata/golden/*.json")
	if err != nil || len(files) < 15 {
		t.Fatalf("%d goldens, %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		t.Run(name, func(t *testing.T) {
			var golden map[string]struct{ Text, Refused, Error *string }
			readJSON(t, file, &golden)
			tmpl, err := template.New(sourceOf(source(t, name)))
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range all {
				want := golden[c.Name]
				segments, err := tmpl.Render(context.Background(), c.input())
				got := strings.Join(segments, "")
				switch {
				case want.Text != nil && (err != nil || got != *want.Text):
					t.Errorf("%s: got %q, %v\nwant %q", c.Name, got, err, *want.Text)
				case want.Refused != nil && (err == nil || !strings.HasSuffix(err.Error(), *want.Refused)):
					t.Errorf("%s: got %v, want refused: %s", c.Name, err, *want.Refused)
				case want.Error != nil && err == nil:
					t.Logf("%s: renders as %q where Python breaks", c.Name, got)
				case want.Text == nil && want.Refused == nil && want.Error == nil:
					t.Errorf("%s: no golden", c.Name)
				}
			}
		})
	}
}
