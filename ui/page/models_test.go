package page

import (
	"slices"
	"strings"
	"testing"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/storage"
	"fyne.io/fyne/v2/test"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/ui/uitest"
	"github.com/shoal-p2p/shoal/ui/widget"
)

// find is the first widget in the window, on the page shown, for which ok holds.
func find[T fyne.CanvasObject](s *screen, ok func(T) bool) (found T) {
	s.t.Helper()
	roots := append([]fyne.CanvasObject{s.window.Canvas().Content()}, s.window.Canvas().Overlays().List()...)
	if s.Shell != nil {
		roots = slices.Replace(roots, 0, 1, s.rail.content, s.pages.Objects[slices.Index(pageOrder[:], s.Current())])
	}
	for _, root := range roots {
		for _, o := range test.LaidOutObjects(root) {
			if w, is := o.(T); is && o.Visible() && ok(w) {
				return w
			}
		}
	}
	s.t.Fatalf("there is no such %T", found)
	return found
}

// press taps the button with a word or, if it has none, a drawing.
func (s *screen) press(name string) {
	s.t.Helper()
	test.Tap(find(s, func(b *widget.Button) bool { return b.Text() == name || b.Text() == "" && b.IconName() == name }))
}

func TestImportByPath(t *testing.T) {
	b := uitest.New()
	b.Gates["Import"] = make(chan error)
	b.Steps = []core.Progress{{Done: 1 << 30, Total: 4 << 30, Since: time.Now()}}
	b.Imported = uitest.Model("my-model", "My model", admin.StatusReady, 4)
	s := newScreen(t, b)
	s.Show(Models)
	test.Type(s.models.path, "/data/My_Model.gguf")
	s.press("Add")
	s.until("progress is shown", func() bool {
		return len(s.models.shown) == 1 && s.models.shown[0].Bar != nil && s.models.shown[0].Bar.Fraction == 0.25
	})
	if s.models.path.Text != "" {
		t.Errorf("the path stays: %q", s.models.path.Text)
	}
	s.Import("/data/My_Model.gguf") // again, while it runs
	b.Gates["Import"] <- nil
	s.until("the model is listed", func() bool { return len(s.models.shown) == 1 && s.models.shown[0].CanLoad })
	if calls := b.Called(); !slices.Equal(calls, []string{"Import /data/My_Model.gguf"}) {
		t.Errorf("calls %v", calls)
	}
}

func TestImportThatFails(t *testing.T) {
	b := uitest.New()
	b.Errors["Import"] = core.Errorf(core.CodeCorrupt, "tensor 12 ends beyond the file")
	s := newScreen(t, b)
	s.Import("/data/broken.gguf")
	s.until("the problem is shown", func() bool { return len(s.models.shown) == 1 && s.models.shown[0].Problem != nil })
	if p := s.models.shown[0].Problem; p.Title.Key != "The file is damaged." || !strings.Contains(p.Details, "tensor 12") {
		t.Errorf("problem %+v", p)
	}
	s.press("Copy details")
	if s.copied != "tensor 12 ends beyond the file" {
		t.Errorf("copied %q", s.copied)
	}
	s.press("close")
	if len(s.models.shown) != 0 {
		t.Errorf("rows %+v", s.models.shown)
	}
}

func TestBrowseOpensAFileDialog(t *testing.T) {
	s := newScreen(t, uitest.New())
	s.Show(Models)
	s.press("Browse…")
	if len(s.window.Canvas().Overlays().List()) != 1 {
		t.Fatal("there is no dialog")
	}
	s.shoot("dark-browse")
}

func TestOnlyModelFilesAreTaken(t *testing.T) {
	s := newScreen(t, uitest.New())
	s.Drop([]fyne.URI{storage.NewFileURI("/tmp/photo.jpg")})
	if !s.toast.content.Visible() || len(s.snap.Jobs) != 0 {
		t.Errorf("jobs %+v", s.snap.Jobs)
	}
	s.Drop([]fyne.URI{storage.NewFileURI("/tmp/model.gguf")})
	s.until("the dropped file is imported", func() bool { return slices.Contains(s.backend.Called(), "Import /tmp/model.gguf") })
}

func TestLoadUnloadDelete(t *testing.T) {
	b := uitest.New()
	b.ModelsNow = []admin.ModelInfo{uitest.Model("m", "M", admin.StatusReady, 4)}
	s := newScreen(t, b)
	s.Show(Models)
	s.press("Load")
	s.until("it is in memory", func() bool { return s.models.shown[0].CanUnload })
	s.press("Unload")
	s.until("it is on disk", func() bool { return s.models.shown[0].CanLoad })
	s.press("trash")
	s.press("Cancel")
	s.press("trash")
	s.shoot("dark-delete")
	s.press("Delete")
	s.until("it has gone", func() bool { return len(s.models.shown) == 0 })
	if calls := b.Called(); !slices.Equal(calls, []string{"Load m", "Unload m", "Delete m"}) {
		t.Errorf("calls %v", calls)
	}
}

func TestLoadThatFails(t *testing.T) {
	b := uitest.New()
	b.ModelsNow = []admin.ModelInfo{uitest.Model("m", "M", admin.StatusReady, 4)}
	b.Errors["Load"] = core.Errorf(core.CodeInsufficientRAM, "needs 5 GB, 2 GB are free")
	s := newScreen(t, b)
	s.Show(Models)
	s.press("Load")
	s.until("the problem is shown", func() bool { return s.models.shown[0].Problem != nil })
	if !s.models.shown[0].CanLoad {
		t.Error("it cannot be tried again")
	}
	s.backend.Set(func(b *uitest.Backend) { delete(b.Errors, "Load") })
	s.press("Load")
	s.until("it is in memory", func() bool { return s.models.shown[0].CanUnload && s.models.shown[0].Problem == nil })
}

func TestLongNamesDoNotWidenTheWindow(t *testing.T) {
	b := uitest.New()
	m := uitest.Model("m", strings.Repeat("Modellbezeichnungsübersicht ", 20), admin.StatusReady, 4)
	m.LastError = strings.Repeat("Speicherzuordnungsfehler beim Laden der Schichten ", 30)
	m.Architecture = strings.Repeat("x", 300)
	b.ModelsNow = []admin.ModelInfo{m}
	s := newScreenIn(t, b, "dark", 640, 520)
	s.Show(Models)
	s.shoot("small-long")
	if w := s.Content().MinSize().Width; w > 640 {
		t.Errorf("the window wants to be %v wide", w)
	}
	if w := s.models.body.Size().Width; w > 640 {
		t.Errorf("the page is %v wide", w)
	}
}
