package page

import (
	"context"
	"sync"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/lang"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/ui/model"
)

// progressEvery is how often a running import is redrawn.
const progressEvery = 100 * time.Millisecond

// Import adds the GGUF file at path to the models of this PC. What is not a GGUF file is refused with a note.
func (s *Shell) Import(path string) {
	path, ok := model.GGUFPath(path)
	if !ok {
		s.say("Only model files that end in .gguf can be added.")
		return
	}
	id, err := core.ModelIDFromFile(path)
	if err != nil {
		s.say("That file name cannot be used; rename the file to letters and digits.")
		return
	}
	s.Show(Models)
	if !s.startJob(model.Job{Kind: model.JobImport, ModelID: id.String(), Path: path}) {
		s.say("That model is being worked on already.")
		return
	}
	s.background(func(ctx context.Context) {
		_, err := s.cfg.Backend.Import(ctx, path, s.importProgress(id.String()))
		s.endJob(ctx, id.String(), err)
	})
}

// importProgress passes progress to the screen, no oftener than it can be read.
func (s *Shell) importProgress(id string) func(core.Progress) {
	var mu sync.Mutex
	var shown time.Time
	return func(p core.Progress) {
		now := s.cfg.Now()
		mu.Lock()
		early := now.Sub(shown) < progressEvery && p.Done < p.Total
		if !early {
			shown = now
		}
		mu.Unlock()
		if early {
			return
		}
		s.cfg.Post(func() {
			if j := s.snap.JobFor(id); j != nil {
				j.Progress = p
				j.Rate.Observe(p, now)
				s.models.set(model.NewModelRows(&s.snap))
			}
		})
	}
}

// Drop takes what was dropped on the window.
func (s *Shell) Drop(uris []fyne.URI) {
	for _, u := range uris {
		s.Import(u.Path())
	}
}

func (s *Shell) load(id string) { s.modelJob(model.JobLoad, id, s.cfg.Backend.Load) }

func (s *Shell) unload(id string) { s.modelJob(model.JobUnload, id, s.cfg.Backend.Unload) }

func (s *Shell) delete(id string) { s.modelJob(model.JobDelete, id, s.cfg.Backend.Delete) }

// get asks friends for what this PC lacks of a model.
func (s *Shell) get(id string) { s.modelJob(model.JobGet, id, s.cfg.Backend.AddModel) }

// cancelDownload ends the fetching of a model; what is whole stays.
func (s *Shell) cancelDownload(id string) {
	s.modelJob(model.JobCancel, id, s.cfg.Backend.CancelDownload)
}

// modelJob runs one action on a model and shows it on the model's row.
func (s *Shell) modelJob(kind model.JobKind, id string, act func(context.Context, core.ModelID) error) {
	parsed, err := core.ParseModelID(id)
	if err != nil || !s.startJob(model.Job{Kind: kind, ModelID: id}) {
		return
	}
	s.background(func(ctx context.Context) { s.endJob(ctx, id, act(ctx, parsed)) })
}

// dismiss puts a problem of a model away.
func (s *Shell) dismiss(id string) {
	s.dropJob(id)
	s.redraw()
}

// askDelete asks before a model's files go.
func (s *Shell) askDelete(id string) {
	for _, m := range s.snap.Models {
		if m.ID != id {
			continue
		}
		title := lang.L("Delete {{.Model}}?", map[string]string{"Model": model.ModelName(m)})
		text := lang.L("This frees {{.Size}} on the disk. The file it was imported from stays.", map[string]string{"Size": model.Bytes(m.TotalSizeBytes)})
		s.confirm(title, text, lang.L("Delete"), func() { s.delete(id) })
		return
	}
}

// chatWith opens the chat with a model.
func (s *Shell) chatWith(id string) {
	s.chat.useModel(id)
	s.Show(Chat)
}

// TogglePause pauses the node, or resumes it where it is paused.
func (s *Shell) TogglePause() {
	act := s.cfg.Backend.Pause
	if s.snap.Stats.State == "paused" {
		act = s.cfg.Backend.Resume
	}
	s.background(func(ctx context.Context) {
		err := act(ctx)
		s.update(ctx)
		if err != nil {
			s.cfg.Post(func() { s.toast.show(model.Line(err.Error(), 160), s.cfg.Post) })
		}
	})
}

// next does what the big button of Home says.
func (s *Shell) next(a model.Action) {
	switch a.Kind {
	case model.ActionAdd:
		s.Show(Models)
		s.models.focus()
	case model.ActionLoad:
		s.load(a.ModelID)
	case model.ActionChat:
		s.chatWith(a.ModelID)
	case model.ActionResume:
		s.TogglePause()
	}
}

// Choose opens the dialog that picks a model file.
func (s *Shell) choose() { openGGUF(s.cfg.Window, s.Import) }
