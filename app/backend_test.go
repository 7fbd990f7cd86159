package main

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/shoal-p2p/shoal/daemon/api/apitest"
	"github.com/shoal-p2p/shoal/daemon/config"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/ui"
)

// configured is a scripted node with the real settings, whose names the adapter must know.
type configured struct {
	*apitest.Node
	settings *config.Manager
}

func (c *configured) Config(context.Context) (json.RawMessage, error) {
	return json.Marshal(c.settings.View())
}

func (c *configured) SetConfig(_ context.Context, patch json.RawMessage) error {
	_, err := c.settings.Patch(patch)
	return err
}

func newBackend(t *testing.T) (*backend, *configured) {
	t.Helper()
	m, err := config.Load(config.Options{File: t.TempDir() + "/config.toml"})
	if err != nil {
		t.Fatal(err)
	}
	node := &configured{&apitest.Node{}, m}
	return &backend{node: node, url: func(context.Context) (string, error) { return "http://127.0.0.1:8800", nil }}, node
}

func TestSettingsReachTheNode(t *testing.T) {
	b, node := newBackend(t)
	want := ui.Settings{Contribution: ui.ContributionMinimal, ContextSize: 8192, IdleUnload: 1800}
	if err := b.SetSettings(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	got, err := b.Settings(t.Context())
	if err != nil || got != want {
		t.Errorf("settings %+v, %v, want %+v", got, err, want)
	}
	if set := node.settings.Get(); set.ContextSize != 8192 || set.IdleUnloadSeconds != 1800 {
		t.Errorf("the node has %+v", set)
	}
	for _, level := range []string{ui.ContributionMinimal, ui.ContributionModerate, ui.ContributionMaximum} {
		if err := b.SetSettings(t.Context(), ui.Settings{Contribution: level}); err != nil {
			t.Errorf("the node does not know the level %s: %v", level, err)
		}
	}
	if err := b.SetSettings(t.Context(), ui.Settings{Contribution: "all"}); core.CodeOf(err) != core.CodeInvalidRequest {
		t.Errorf("a level that does not exist: %v", err)
	}
}

// The screen must read every key that it stores.
func TestSettingsHaveTheNodesNames(t *testing.T) {
	_, node := newBackend(t)
	ours, theirs := keysOf(t, configView{}), keysOf(t, node.settings.View())
	for key := range ours {
		if _, ok := theirs[key]; !ok {
			t.Errorf("the node has no setting %s", key)
		}
	}
}

func keysOf(t *testing.T, v any) map[string]json.RawMessage {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]json.RawMessage{}
	if err := json.Unmarshal(b, &keys); err != nil {
		t.Fatal(err)
	}
	return keys
}

func TestAccess(t *testing.T) {
	b, _ := newBackend(t)
	a, err := b.Access(t.Context())
	if err != nil || a.Address != "http://127.0.0.1:8800/v1" || a.Key != apitest.Key {
		t.Errorf("access %+v, %v", a, err)
	}
}

func TestGenerateGoesThrough(t *testing.T) {
	b, _ := newBackend(t)
	var text string
	reply, err := b.Generate(t.Context(), &core.GenerateRequest{Model: apitest.Loaded, Messages: []core.Message{{Role: "user", Content: "hi"}}},
		func(d core.Delta) error { text += d.Text; return nil })
	if err != nil || text == "" || reply.Message.Content != text {
		t.Errorf("reply %+v, text %q, %v", reply, text, err)
	}
}
