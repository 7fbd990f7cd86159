package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/shoal-p2p/shoal/daemon/api"
	"github.com/shoal-p2p/shoal/daemon/core"
)

type configCmd struct {
	Show configShowCmd `cmd:"" default:"1" help:"Print every setting."`
	Get  configGetCmd  `cmd:"" help:"Print one setting."`
	Set  configSetCmd  `cmd:"" help:"Change one setting."`
	Path configPathCmd `cmd:"" help:"Print where the settings file is."`
}

type configShowCmd struct{}

// Run prints all settings.
func (*configShowCmd) Run(s *session) error {
	return s.withNode(func(ctx context.Context, n api.Node) error {
		settings, err := settingsOf(ctx, n)
		if err != nil {
			return err
		}
		return s.show(settings, func(w io.Writer) {
			for _, key := range slices.Sorted(maps.Keys(settings)) {
				fmt.Fprintf(w, "%s\t%s\n", key, plain(settings[key]))
			}
		})
	})
}

type configGetCmd struct {
	Key string `arg:"" help:"Name of the setting."`
}

// Run prints one setting.
func (c *configGetCmd) Run(s *session) error {
	return s.withNode(func(ctx context.Context, n api.Node) error { return s.showSetting(ctx, n, c.Key) })
}

func (s *session) showSetting(ctx context.Context, n api.Node, key string) error {
	value, err := settingOf(ctx, n, key)
	if err != nil {
		return err
	}
	return s.show(map[string]json.RawMessage{key: value}, func(w io.Writer) { fmt.Fprintln(w, plain(value)) })
}

type configSetCmd struct {
	Key   string `arg:"" help:"Name of the setting."`
	Value string `arg:"" help:"New value."`
}

// Run changes one setting and prints what is now in effect.
func (c *configSetCmd) Run(s *session) error {
	return s.withNode(func(ctx context.Context, n api.Node) error {
		old, err := settingOf(ctx, n, c.Key)
		if err != nil {
			return err
		}
		patch, err := json.Marshal(map[string]json.RawMessage{c.Key: likeOld(old, c.Value)})
		if err != nil {
			return core.Errorf(core.CodeInvalidRequest, "%q is no value for %s", c.Value, c.Key)
		}
		if err := n.SetConfig(ctx, patch); err != nil {
			return err
		}
		return s.showSetting(ctx, n, c.Key)
	})
}

type configPathCmd struct{}

// Run prints the path of the settings file.
func (*configPathCmd) Run(s *session) error {
	path := s.cli.paths().config
	return s.show(map[string]string{"path": path}, func(w io.Writer) { fmt.Fprintln(w, path) })
}

func settingsOf(ctx context.Context, n api.Node) (map[string]json.RawMessage, error) {
	text, err := n.Config(ctx)
	if err != nil {
		return nil, err
	}
	settings := map[string]json.RawMessage{}
	if err := json.Unmarshal(text, &settings); err != nil {
		return nil, core.Errorf(core.CodeInternal, "read the settings: %w", err)
	}
	return settings, nil
}

func settingOf(ctx context.Context, n api.Node, key string) (json.RawMessage, error) {
	settings, err := settingsOf(ctx, n)
	if err != nil {
		return nil, err
	}
	value, ok := settings[key]
	if !ok {
		return nil, core.Errorf(core.CodeNotFound, "there is no setting %q", key).WithHint("shoald config lists them.")
	}
	return value, nil
}

// likeOld turns a word of the command line into JSON of the kind the setting has: a string needs no quotes, a list
// is split at commas.
func likeOld(old json.RawMessage, value string) json.RawMessage {
	quoted := func(v any) json.RawMessage {
		text, _ := json.Marshal(v) // strings always marshal
		return text
	}
	switch {
	case strings.HasPrefix(string(old), `"`):
		return quoted(value)
	case strings.HasPrefix(string(old), `[`) && !strings.HasPrefix(value, `[`):
		return quoted(strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' }))
	}
	return json.RawMessage(value)
}

// plain prints a setting as a person writes it.
func plain(value json.RawMessage) string {
	var text string
	if json.Unmarshal(value, &text) == nil {
		return text
	}
	return string(value)
}
