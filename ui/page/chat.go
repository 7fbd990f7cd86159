package page

import (
	"context"
	"slices"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/lang"
	fynewidget "fyne.io/fyne/v2/widget"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/ui/model"
	"github.com/shoal-p2p/shoal/ui/theme"
	"github.com/shoal-p2p/shoal/ui/widget"
)

// chatPage talks to a model. Conversations live as long as the program does.
type chatPage struct {
	content fyne.CanvasObject
	shell   *Shell

	talks      []*talk // newest first
	open       *talk
	usable     []admin.ModelInfo
	chosen     string // id of the model that answers next; it may have gone
	chosenName string // of the model of that id, when it was last there
	hint       *widget.Text

	list    *fyne.Container
	title   *widget.Text
	picker  *fynewidget.Select
	thread  *fyne.Container
	scroll  *container.Scroll
	empty   *emptyChat
	input   *widget.ChatEntry
	send    *widget.Button
	newTalk *widget.Button
	layout  *chatLayout
}

// talk is one conversation with its widgets.
type talk struct {
	model.Conversation
	turns  []*widget.Turn
	item   *widget.NavItem
	cancel context.CancelFunc // stops the answer that is being written; nil when none is
}

// threadWidth is the widest a line of a conversation gets, in points.
const threadWidth = 800

func newChatPage(s *Shell) *chatPage {
	p := &chatPage{shell: s, list: widget.Column(2), thread: widget.Column(22), empty: newEmptyChat(s)}
	p.title = widget.NewShrinkingText(widget.RoleHead, "")
	p.picker = fynewidget.NewSelect(nil, p.pick)
	p.picker.PlaceHolder = lang.L("No model")
	p.newTalk = widget.NewButton(widget.ButtonPlain, lang.L("New chat"), "plus", p.startNew)
	p.input = widget.NewChatEntry(lang.L("Write a message"))
	p.input.OnSend = p.ask
	p.input.OnEscape, p.input.OnShortcut = p.stopAnswer, s.shortcut
	p.input.OnChanged = func(string) { p.refreshInput() }
	p.send = widget.NewButton(widget.ButtonPrimary, "", "send", p.sendOrStop)
	p.empty.onAsk = p.ask
	p.layOut()
	p.startNew()
	return p
}

func (p *chatPage) layOut() {
	head := widget.Inset(24, 14, 24, 10, widget.Ends(p.title, widget.Fixed(310, 38, widget.NewFrame(p.picker))))
	p.scroll = container.NewVScroll(widget.Inset(24, 12, 24, 24, widget.Measure(threadWidth, p.thread)))
	p.hint = widget.NewShrinkingText(widget.RoleSmall, "")
	box := container.NewBorder(nil, nil, nil, widget.Inset(8, 0, 0, 0, widget.Fixed(52, 52, p.send)), p.input)
	foot := widget.Inset(24, 4, 24, 14, widget.Measure(threadWidth, widget.Column(7, box, p.hint)))
	main := container.NewBorder(head, foot, nil, nil, container.NewStack(p.scroll, p.empty.content))
	side := widget.NewArea(theme.ColorTrack, widget.Inset(12, 16, 12, 12,
		container.NewBorder(widget.Inset(0, 0, 0, 10, p.newTalk), nil, nil, nil, container.NewVScroll(p.list))))
	p.layout = &chatLayout{}
	p.content = container.New(p.layout, side, main)
}

// chatLayout puts the list of conversations at the left where there is room for it.
type chatLayout struct{}

func (l *chatLayout) Layout(objects []fyne.CanvasObject, size fyne.Size) {
	const side, roomy = 220, 820
	x := float32(0)
	if size.Width >= roomy {
		x = side
		objects[0].Show()
	} else {
		objects[0].Hide()
	}
	objects[0].Move(fyne.NewPos(0, 0))
	objects[0].Resize(fyne.NewSize(side, size.Height))
	objects[1].Move(fyne.NewPos(x, 0))
	objects[1].Resize(fyne.NewSize(size.Width-x, size.Height))
}

func (l *chatLayout) MinSize(objects []fyne.CanvasObject) fyne.Size {
	return fyne.NewSize(400, objects[1].MinSize().Height)
}

// focus puts the cursor where a message is written.
func (p *chatPage) focus() {
	if c := p.shell.cfg.Window.Canvas(); c != nil && len(p.usable) > 0 && p.shell.Current() == Chat {
		c.Focus(p.input)
	}
}

// startNew opens an empty conversation; one that is empty already is used again.
func (p *chatPage) startNew() {
	if len(p.talks) == 0 || len(p.talks[0].Turns) > 0 {
		t := &talk{}
		t.Names = p.shell.snap.Names
		t.item = widget.NewNavItem(lang.L("New chat"), "", func() { p.show(t) })
		p.talks = slices.Insert(p.talks, 0, t)
	}
	p.show(p.talks[0])
	p.focus()
}

// show opens a conversation.
func (p *chatPage) show(t *talk) {
	p.open = t
	p.list.Objects = nil
	for _, other := range p.talks {
		other.item.SetSelected(other == t)
		p.list.Add(other.item)
	}
	p.redrawThread()
	p.scroll.ScrollToBottom()
}

// setModels takes the models that can answer.
func (p *chatPage) setModels(s *model.Snapshot) {
	p.usable = s.Usable()
	// A model that goes while a conversation is open is not replaced: another one may run on other people's PCs.
	if len(p.usable) > 0 && p.model().ID == "" && (p.chosen == "" || len(p.open.Turns) == 0) {
		p.chosen = p.usable[0].ID
	}
	options := make([]string, len(p.usable))
	for i, m := range p.usable {
		options[i] = p.optionOf(m)
	}
	if !slices.Equal(options, p.picker.Options) {
		p.picker.SetOptions(options)
	}
	if m := p.model(); m.ID != "" {
		p.chosenName = model.ModelName(m)
	}
	p.showChosen()
	p.refreshInput()
	p.showEmpty()
}

// optionOf is a model's line in the picker; the id tells models of the same name apart.
func (p *chatPage) optionOf(m admin.ModelInfo) string {
	name := model.ModelName(m)
	same := func(other admin.ModelInfo) bool { return other.ID != m.ID && model.ModelName(other) == name }
	if slices.ContainsFunc(p.usable, same) {
		name += " · " + model.Line(m.ID, 40)
	}
	switch {
	case len(p.shell.snap.Together(m.ID)) > 0:
		return name + "  (" + lang.L("with friends") + ")"
	case m.Status == admin.StatusLoaded:
		return name
	}
	return name + "  (" + lang.L("not in memory") + ")"
}

// model is the one that answers next; its zero value when there is none.
func (p *chatPage) model() admin.ModelInfo {
	for _, m := range p.usable {
		if m.ID == p.chosen {
			return m
		}
	}
	return admin.ModelInfo{}
}

func (p *chatPage) pick(string) {
	if i := p.picker.SelectedIndex(); i >= 0 && i < len(p.usable) {
		p.chosen, p.chosenName = p.usable[i].ID, model.ModelName(p.usable[i])
		p.refreshInput()
		p.showEmpty()
	}
}

// showEmpty says in an empty conversation what the chosen model does with what is written.
func (p *chatPage) showEmpty() { p.empty.set(&p.shell.snap, p.model()) }

// useModel makes a model the one that answers next. It gets a conversation of its own: it may run on other PCs than
// the one that the open conversation was written to.
func (p *chatPage) useModel(id string) {
	p.chosen = id
	if len(p.open.Turns) > 0 && p.open.ModelID != id {
		p.startNew()
	}
	p.chosenName = model.ModelName(p.model())
	p.showChosen()
	p.refreshInput()
	p.showEmpty()
}

// showChosen puts the chosen model into the picker without picking it again.
func (p *chatPage) showChosen() {
	i := slices.IndexFunc(p.usable, func(m admin.ModelInfo) bool { return m.ID == p.chosen })
	switch {
	case i < 0:
		p.picker.ClearSelected()
	case p.picker.Selected != p.picker.Options[i]:
		p.picker.Selected = p.picker.Options[i]
		p.picker.Refresh()
	}
}

// refreshInput says by the button whether a message can be sent or an answer stopped.
func (p *chatPage) refreshInput() {
	if p.open.Running() != nil {
		p.send.Set("", "stop")
		p.send.SetEnabled(true)
		return
	}
	hint := lang.L("Enter sends, Shift+Enter starts a new line. Models make mistakes: check what matters.")
	if p.model().ID == "" && p.chosenName != "" {
		hint = lang.L("{{.Model}} cannot answer now. Wait for it, or choose another model above.", map[string]string{"Model": p.chosenName})
	}
	p.hint.SetText(hint)
	p.send.Set("", "send")
	p.send.SetEnabled(p.model().ID != "" && model.Line(p.input.Text, 2) != "")
}

func (p *chatPage) sendOrStop() {
	if p.open.Running() != nil {
		p.stopAnswer()
		return
	}
	p.ask(p.input.Text)
}

// redrawThread draws the open conversation.
func (p *chatPage) redrawThread() {
	t := p.open
	for len(t.turns) < len(t.Turns) {
		t.turns = append(t.turns, p.newTurn(t, t.Turns[len(t.turns)]))
	}
	t.turns = t.turns[:len(t.Turns)]
	p.thread.Objects = p.thread.Objects[:0]
	for i, w := range t.turns {
		if w.Turn().User != t.Turns[i].User { // a retry replaced it
			w = p.newTurn(t, t.Turns[i])
			t.turns[i] = w
		}
		w.Set(t.Turns[i], i == len(t.turns)-1)
		p.thread.Objects = append(p.thread.Objects, w)
	}
	title := t.Title()
	if title == "" {
		title = lang.L("New chat")
	}
	t.item.SetText(title)
	p.title.SetText(title)
	if len(t.Turns) == 0 {
		p.empty.content.Show()
	} else {
		p.empty.content.Hide()
	}
	p.layOutThread()
	p.refreshInput()
}

// layOutThread gives every turn its place, without drawing those that did not change.
func (p *chatPage) layOutThread() {
	p.thread.Layout.Layout(p.thread.Objects, p.thread.Size())
	p.scroll.Content.Resize(p.scroll.Content.MinSize().Max(p.scroll.Size()))
	canvas.Refresh(p.scroll)
}

func (p *chatPage) newTurn(t *talk, m model.Turn) *widget.Turn {
	w := widget.NewTurn(m)
	w.OnCopy = p.shell.copyText
	w.OnRetry = func() { p.retry(t) }
	return w
}
