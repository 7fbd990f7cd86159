package page

import (
	"reflect"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/lang"

	"github.com/shoal-p2p/shoal/ui/model"
	"github.com/shoal-p2p/shoal/ui/theme"
	"github.com/shoal-p2p/shoal/ui/widget"
)

// pageWidth is the widest a page gets, in points; beyond it lines are hard to read.
const pageWidth = 1040

// homePage shows how things stand and the one thing to do next.
type homePage struct {
	content    fyne.CanvasObject
	headline   *widget.Text
	sentence   *widget.Paragraph
	status     *widget.Status
	action     *widget.Button
	gpu, ram   *widget.Gauge
	tiles      []*widget.Tile
	loaded     *modelList
	loadedHead *widget.Text
	body       *fyne.Container
	next       model.Action
	was        model.Home // shown last
	shown      bool
}

func newHomePage(s *Shell) *homePage {
	h := &homePage{
		headline: widget.NewShrinkingText(widget.RoleTitle, ""), sentence: widget.NewParagraph(widget.RoleMuted, ""),
		status: widget.NewStatus(model.StateStarting),
		gpu:    widget.NewGauge("chip"), ram: widget.NewGauge("memory"),
		loadedHead: widget.NewText(widget.RoleHead, lang.L("In memory")),
		loaded:     newModelList(s, true),
	}
	h.action = widget.NewLargeButton("", "", func() { s.next(h.next) })
	words := widget.Column(16, h.status, widget.Column(6, h.headline, h.sentence), widget.Row(0, h.action))
	hero := widget.NewCard(widget.Inset(8, 8, 4, 8, widget.Roomy(620, words, widget.NewIcon("school", theme.ColorRaisedMore, 150))))
	gap := theme.Size(theme.SizeGap)
	gauges := widget.Grid(330, gap, widget.NewCard(h.gpu), widget.NewCard(h.ram))
	tiles := widget.Grid(150, gap)
	for range 4 {
		t := widget.NewTile()
		h.tiles = append(h.tiles, t)
		tiles.Add(t)
	}
	h.body = widget.Column(gap, hero, gauges, tiles, widget.Inset(0, 8, 0, 0, h.loadedHead), h.loaded.content)
	h.content = scrollPage(h.body)
	return h
}

// scrollPage gives a page its margins and lets it scroll.
func scrollPage(body fyne.CanvasObject) fyne.CanvasObject {
	return container.NewVScroll(widget.Inset(28, 26, 28, 28, widget.Measure(pageWidth, body)))
}

func (h *homePage) set(m model.Home) {
	if h.shown && reflect.DeepEqual(m, h.was) {
		return
	}
	h.was, h.shown = m, true
	h.next = m.Action
	h.status.Set(m.State, lang.L(string(m.State)))
	h.headline.SetText(widget.Say(m.Headline))
	h.sentence.SetText(widget.Say(m.Sentence))
	h.action.Set(widget.Say(m.Action.Label), actionIcon(m.Action.Kind))
	if m.Action.Kind == model.ActionNone {
		h.action.Hide()
	} else {
		h.action.Show()
	}
	h.gpu.Set(m.GPU)
	h.ram.Set(m.RAM)
	for i, t := range m.Tiles {
		h.tiles[i].Set(t)
	}
	h.loaded.set(m.Loaded)
	if len(m.Loaded) == 0 {
		h.loadedHead.Hide()
	} else {
		h.loadedHead.Show()
	}
	h.body.Refresh()
}

func actionIcon(k model.ActionKind) string {
	switch k {
	case model.ActionAdd:
		return "plus"
	case model.ActionChat:
		return "chat"
	}
	return "load"
}

// modelList is a column of model cards that are reused from one update to the next.
type modelList struct {
	shell   *Shell
	compact bool
	content *fyne.Container
	cards   []*widget.ModelRow
}

func newModelList(s *Shell, compact bool) *modelList {
	return &modelList{shell: s, compact: compact, content: widget.Column(theme.Size(theme.SizeGap))}
}

func (l *modelList) set(rows []model.ModelRow) {
	for len(l.cards) < len(rows) {
		c := widget.NewModelRow(l.compact)
		c.OnLoad, c.OnUnload = l.shell.load, l.shell.unload
		c.OnCopy = l.shell.copyText
		c.OnGet, c.OnCancel = l.shell.get, l.shell.cancelDownload
		c.OnDelete, c.OnChat, c.OnDismiss = l.shell.askDelete, l.shell.chatWith, l.shell.dismiss
		l.cards = append(l.cards, c)
	}
	if len(l.content.Objects) != len(rows) {
		l.content.Objects = nil
		for _, c := range l.cards[:len(rows)] {
			l.content.Objects = append(l.content.Objects, c)
		}
	}
	for i, r := range rows {
		l.cards[i].Set(r)
	}
	l.content.Refresh()
}
