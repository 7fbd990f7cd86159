package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"

	"github.com/shoal-p2p/shoal/daemon/api"
	"github.com/shoal-p2p/shoal/daemon/core"
)

type modelsCmd struct{}

// Run lists the models.
func (*modelsCmd) Run(s *session) error {
	return s.withNode(func(ctx context.Context, n api.Node) error {
		models, err := n.Models(ctx)
		if err != nil {
			return err
		}
		return s.show(map[string]any{"models": models}, func(w io.Writer) {
			if len(models) == 0 {
				fmt.Fprintln(w, "No model is here yet. shoald import FILE.gguf adds one.")
				return
			}
			fmt.Fprintln(w, "MODEL\tSTATUS\tSIZE\tTYPE\tSHARDS\tWINDOWS\tCONTEXT")
			for _, m := range models {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s %s\t%d of %d\t%d\t%d\n", m.ID, m.Status, size(m.TotalSizeBytes),
					m.Architecture, m.Quantization, m.HostedShards, m.ShardCount, m.Windows, m.ContextLength)
			}
		})
	})
}

type importCmd struct {
	File    string `arg:"" type:"existingfile" help:"GGUF file."`
	Windows int    `placeholder:"N" help:"Run the model as N windows in N worker processes."`
}

// Run imports a file.
func (c *importCmd) Run(s *session) error {
	path, err := filepath.Abs(c.File)
	if err != nil {
		return core.Errorf(core.CodeInvalidRequest, "path of %s: %w", c.File, err)
	}
	return s.withNode(func(ctx context.Context, n api.Node) error {
		report, done := s.progress("Importing " + filepath.Base(path))
		info, err := n.Import(ctx, path, c.Windows, report)
		done()
		if err != nil {
			return err
		}
		return s.show(info, func(w io.Writer) {
			fmt.Fprintf(w, "%s: %s in %d shards\n", info.ID, size(info.TotalSizeBytes), info.ShardCount)
			if !info.Splittable {
				fmt.Fprintf(w, "It runs whole, in one window: %s\n", printable(info.SplitRefusal))
			}
		})
	})
}

type exportCmd struct {
	Model string `arg:"" help:"Model id."`
	File  string `arg:"" type:"path" help:"File to write; it must not exist."`
}

// Run exports a model.
func (c *exportCmd) Run(s *session) error {
	return s.withModel(c.Model, func(ctx context.Context, n api.Node, id core.ModelID) error {
		report, done := s.progress("Exporting " + id.String())
		err := n.Export(ctx, id, c.File, report)
		done()
		if err != nil {
			return err
		}
		return s.show(map[string]string{"model_id": id.String(), "path": c.File}, func(w io.Writer) {
			fmt.Fprintf(w, "%s written to %s\n", id, c.File)
		})
	})
}

type loadCmd struct {
	Model string `arg:"" help:"Model id."`
}

// Run loads a model.
func (c *loadCmd) Run(s *session) error {
	if err := s.needRunning(); err != nil {
		return err
	}
	return s.withModel(c.Model, func(ctx context.Context, n api.Node, id core.ModelID) error {
		info, err := n.Load(ctx, id)
		if err != nil {
			return err
		}
		return s.show(info, func(w io.Writer) {
			fmt.Fprintf(w, "%s is loaded: about %d MiB in %d windows\n", info.ID, info.EstimatedVRAMMB, info.Windows)
		})
	})
}

type unloadCmd struct {
	Model string `arg:"" help:"Model id."`
}

// Run unloads a model.
func (c *unloadCmd) Run(s *session) error {
	if err := s.needRunning(); err != nil {
		return err
	}
	return s.withModel(c.Model, func(ctx context.Context, n api.Node, id core.ModelID) error {
		freed, err := n.Unload(ctx, id)
		if err != nil {
			return err
		}
		return s.show(freed, func(w io.Writer) {
			fmt.Fprintf(w, "%s is unloaded, about %d MiB are free again\n", id, freed.EstimatedFreedMB)
		})
	})
}

type rmCmd struct {
	Model string `arg:"" help:"Model id."`
}

// Run deletes a model.
func (c *rmCmd) Run(s *session) error {
	return s.withModel(c.Model, func(ctx context.Context, n api.Node, id core.ModelID) error {
		if err := n.DeleteModel(ctx, id); err != nil {
			return err
		}
		return s.show(map[string]string{"status": "deleted", "model_id": id.String()}, func(w io.Writer) {
			fmt.Fprintf(w, "%s is deleted\n", id)
		})
	})
}

// withModel parses a model id before it opens the node.
func (s *session) withModel(text string, fn func(context.Context, api.Node, core.ModelID) error) error {
	id, err := core.ParseModelID(text)
	if err != nil {
		return err
	}
	return s.withNode(func(ctx context.Context, n api.Node) error { return fn(ctx, n, id) })
}
