package page

import (
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/dialog"
	"fyne.io/fyne/v2/lang"
	"fyne.io/fyne/v2/storage"

	"github.com/shoal-p2p/shoal/ui/theme"
	"github.com/shoal-p2p/shoal/ui/widget"
)

// toastFor is how long a note stays.
const toastFor = 4 * time.Second

// toast is a short note at the bottom of the window that goes away by itself.
type toast struct {
	content *fyne.Container
	panel   *widget.Panel
	text    *widget.Text
	shown   int
}

func newToast() *toast {
	t := &toast{text: widget.NewShrinkingText(widget.RoleBody, "")}
	t.panel = widget.NewNote(t.text)
	t.content = container.New(&toastLayout{t}, t.panel)
	t.content.Hide()
	return t
}

func (t *toast) show(text string, post func(func())) {
	t.text.SetText(text)
	t.shown++
	mine := t.shown
	t.content.Show()
	t.content.Refresh()
	time.AfterFunc(toastFor, func() {
		post(func() {
			if t.shown == mine {
				t.content.Hide()
			}
		})
	})
}

type toastLayout struct{ t *toast }

func (l *toastLayout) Layout(objects []fyne.CanvasObject, size fyne.Size) {
	text := fyne.MeasureText(l.t.text.Text(), theme.Size("text"), fyne.TextStyle{})
	w := min(text.Width+44, size.Width-32)
	h := objects[0].MinSize().Height
	objects[0].Resize(fyne.NewSize(w, h))
	// Below the head of a page and far from where a message is written: a note must not lie over what is in use.
	objects[0].Move(fyne.NewPos(size.Width-w-24, 72))
}

func (l *toastLayout) MinSize([]fyne.CanvasObject) fyne.Size { return fyne.NewSize(1, 1) }

// confirm asks before something that cannot be taken back.
func (s *Shell) confirm(title, text, word string, do func()) {
	var d *dialog.CustomDialog
	no := widget.NewButton(widget.ButtonPlain, lang.L("Cancel"), "", func() { d.Hide() })
	yes := widget.NewButton(widget.ButtonDanger, word, "", func() { d.Hide(); do() })
	body := widget.Column(18, widget.NewParagraph(widget.RoleMuted, text),
		widget.Ends(widget.NewText(widget.RoleBody, ""), widget.Row(10, no, yes)))
	d = dialog.NewCustomWithoutButtons(title, widget.Inset(-5, 0, 4, 4, body), s.cfg.Window)
	d.Resize(fyne.NewSize(min(440, s.cfg.Window.Canvas().Size().Width-40), 0))
	d.Show()
}

// openGGUF lets the user pick a model file.
func openGGUF(w fyne.Window, picked func(path string)) {
	d := dialog.NewFileOpen(func(file fyne.URIReadCloser, err error) {
		if err != nil || file == nil {
			return // closed without a choice
		}
		path := file.URI().Path()
		_ = file.Close() // only its name is wanted
		picked(path)
	}, w)
	d.SetFilter(storage.NewExtensionFileFilter([]string{".gguf", ".GGUF"}))
	size := w.Canvas().Size()
	d.Resize(fyne.NewSize(min(900, size.Width-40), min(620, size.Height-40)))
	d.Show()
}
