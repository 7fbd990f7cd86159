package page

import (
	"reflect"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/lang"

	"github.com/shoal-p2p/shoal/ui/model"
	"github.com/shoal-p2p/shoal/ui/theme"
	"github.com/shoal-p2p/shoal/ui/widget"
)

// modelsPage lists the models of this PC and adds new ones.
type modelsPage struct {
	content fyne.CanvasObject
	shell   *Shell
	path    *widget.LineEntry
	list    *modelList
	empty   *fyne.Container
	body    *fyne.Container
	disk    *widget.Text
	shown   []model.ModelRow
}

func newModelsPage(s *Shell) *modelsPage {
	p := &modelsPage{shell: s, list: newModelList(s, false), disk: widget.NewText(widget.RoleSmall, "")}
	p.path = widget.NewLineEntry(lang.L("Path of a .gguf file"))
	p.path.OnShortcut = s.shortcut
	p.path.OnSubmitted = func(string) { p.add() }
	browse := widget.NewButton(widget.ButtonPlain, lang.L("Browse…"), "folder", s.choose)
	add := widget.NewButton(widget.ButtonPrimary, lang.L("Add"), "plus", p.add)
	hint := widget.Lead(12, widget.Inset(0, 5, 0, 0, widget.NewIcon("drop", "primary", 24)), widget.Column(2,
		widget.NewText(widget.RoleStrong, lang.L("Add a model")),
		widget.NewParagraph(widget.RoleSmall, lang.L("Drop a GGUF file on this window, or say where it is. The file itself is left alone."))))
	card := widget.NewCard(widget.Column(14, hint, widget.Ends(p.path, widget.Row(8, browse, add))))
	p.empty = widget.Column(6, widget.NewText(widget.RoleStrong, lang.L("No models yet")),
		widget.NewParagraph(widget.RoleMuted, lang.L("GGUF files are the format that llama.cpp runs. A model of 3 to 8 GB is a good start for a gaming PC.")))
	gap := theme.Size(theme.SizeGap)
	p.body = widget.Column(gap, widget.Inset(0, 0, 0, 4, widget.Ends(widget.NewText(widget.RoleTitle, lang.L("Models")), p.disk)), card, widget.Inset(4, 10, 4, 0, p.empty), p.list.content)
	p.content = scrollPage(p.body)
	return p
}

// add imports the file whose path was typed.
func (p *modelsPage) add() {
	if _, ok := model.GGUFPath(p.path.Text); ok {
		defer p.path.SetText("")
	}
	p.shell.Import(p.path.Text)
}

// focus puts the cursor where a path is typed.
func (p *modelsPage) focus() { p.shell.cfg.Window.Canvas().Focus(p.path) }

// setDisk says how much room there is.
func (p *modelsPage) setDisk(t model.Text) {
	if text := widget.Say(t); text != p.disk.Text() {
		p.disk.SetText(text)
		p.body.Refresh()
	}
}

func (p *modelsPage) set(rows []model.ModelRow) {
	if p.shown != nil && reflect.DeepEqual(rows, p.shown) {
		return
	}
	p.shown = rows
	p.list.set(rows)
	if len(rows) == 0 {
		p.body.Objects[2].Show()
	} else {
		p.body.Objects[2].Hide()
	}
	p.body.Refresh()
}
