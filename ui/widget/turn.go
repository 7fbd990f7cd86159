package widget

import (
	"image/color"
	"reflect"
	"slices"
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/lang"
	base "fyne.io/fyne/v2/theme"
	fynewidget "fyne.io/fyne/v2/widget"

	"github.com/shoal-p2p/shoal/ui/model"
	"github.com/shoal-p2p/shoal/ui/theme"
)

// Turn is one message of a conversation: the user's in a bubble at the right, an answer over the whole width with
// its Markdown, its figures and its actions below.
type Turn struct {
	fynewidget.BaseWidget
	OnCopy  func(text string)
	OnRetry func()

	turn                  model.Turn
	blocks                []model.Block
	text, actions         *fyne.Container
	who, thinking, footer *Text
	together              *Text
	spinner               *fyne.Container
	waiting               *fynewidget.Activity
	problem               *Problem
	copy, retry           *Button
	body                  fyne.CanvasObject
	question              *Paragraph
	last, drawn           bool
}

// NewTurn makes the widget of a message.
func NewTurn(t model.Turn) *Turn {
	w := &Turn{}
	if t.User {
		w.layOutQuestion()
	} else {
		w.layOutAnswer()
	}
	w.ExtendBaseWidget(w)
	w.Set(t, false)
	return w
}

func (w *Turn) layOutQuestion() {
	w.question = NewParagraph(RoleBody, "")
	bubble := newPanel(w.question, theme.ColorAccentSoft, "", theme.SizeRadius, 14, 10)
	w.body = container.New(&rightBubble{share: 0.78, padX: 28, text: w}, bubble)
}

func (w *Turn) layOutAnswer() {
	w.who = NewText(RoleStrong, "")
	w.thinking, w.together = NewShrinkingText(RoleSmall, ""), NewShrinkingText(RoleSmall, "")
	w.text = Column(10)
	w.footer = NewText(RoleSmall, "")
	w.waiting = fynewidget.NewActivity()
	w.problem = NewProblem()
	w.problem.OnCopy = func(text string) { w.OnCopy(text) }
	w.copy = NewButton(ButtonGhost, lang.L("Copy"), "copy", func() {
		if w.OnCopy != nil {
			w.OnCopy(w.turn.Text)
		}
	})
	w.retry = NewButton(ButtonGhost, lang.L("Retry"), "retry", func() {
		if w.OnRetry != nil {
			w.OnRetry()
		}
	})
	w.actions = Row(2, w.copy, w.retry, Inset(10, 0, 0, 0, w.footer))
	w.spinner = Fixed(18, 18, w.waiting)
	head := Lead(10, Row(10, newAvatar(), w.who, w.spinner), Inset(0, 2.5, 0, 0, w.together))
	content := Column(8, w.thinking, w.text, w.problem, Inset(-9, 0, 0, 0, w.actions))
	w.body = Column(8, head, Inset(36, 0, 0, 0, content))
}

// newAvatar is the sign of an answer.
func newAvatar() fyne.CanvasObject {
	return newPanel(NewIcon("models", base.ColorNamePrimary, 16), theme.ColorAccentSoft, "", base.SizeNameInputRadius, 5, 5)
}

// Turn is the view-model shown.
func (w *Turn) Turn() model.Turn { return w.turn }

// Set shows the message as it is now; last is true for the newest of the conversation, which can be retried.
func (w *Turn) Set(t model.Turn, last bool) {
	if w.drawn && w.last == last && reflect.DeepEqual(w.turn, t) {
		return
	}
	w.turn, w.last, w.drawn = t, last, true
	if t.User {
		w.question.SetText(model.Clean(t.Text))
		w.Refresh()
		return
	}
	w.who.SetText(t.Model)
	w.together.SetText(Say(t.Together))
	w.setText(t.Text)
	show(t.State == model.TurnWaiting, w.spinner)
	if t.State == model.TurnWaiting {
		w.waiting.Start()
	} else {
		w.waiting.Stop()
	}
	w.thinking.SetText(thought(t))
	show(t.Reasoning != "", w.thinking)
	w.problem.Set(t.Problem)
	var footer []string
	for _, f := range t.Footer {
		footer = append(footer, Say(f))
	}
	w.footer.SetText(strings.Join(footer, "  ·  "))
	show(!t.Running(), w.actions)
	show(t.Text != "", w.copy)
	show(last, w.retry)
	w.Refresh()
}

// thought is the last line of what a thinking model writes before its answer.
func thought(t model.Turn) string {
	if t.Text != "" || !t.Running() {
		return lang.L("Thought about it first.")
	}
	lines := strings.Split(strings.TrimSpace(t.Reasoning), "\n")
	return lang.L("Thinking:") + " " + model.Line(lines[len(lines)-1], 200)
}

// setText redraws the blocks that changed; while an answer streams that is the last one.
func (w *Turn) setText(text string) {
	blocks := model.ParseMarkup(text)
	same := 0
	for same < min(len(blocks), len(w.blocks), len(w.text.Objects)) && equalBlock(blocks[same], w.blocks[same]) {
		same++
	}
	objects := slices.Clone(w.text.Objects[:same])
	for _, b := range blocks[same:] {
		objects = append(objects, w.drawBlock(b))
	}
	w.blocks, w.text.Objects = blocks, objects
}

func equalBlock(a, b model.Block) bool {
	return a.Kind == b.Kind && a.Level == b.Level && a.Marker == b.Marker && a.Code == b.Code && a.Language == b.Language && slices.Equal(a.Spans, b.Spans)
}

func (w *Turn) drawBlock(b model.Block) fyne.CanvasObject {
	switch b.Kind {
	case model.BlockCode:
		return w.drawCode(b)
	case model.BlockRule:
		return NewArea(theme.ColorBorder, Fixed(1, 1, canvas.NewRectangle(color.Transparent)))
	case model.BlockHeading:
		return paragraph(headingRole(b.Level), b.Spans)
	case model.BlockItem:
		marker := NewText(RoleMuted, b.Marker)
		return Inset(float32(b.Level)*18, 0, 0, 0, Lead(8, Fixed(16, 18, marker), paragraph(RoleBody, b.Spans)))
	case model.BlockQuote:
		line := NewArea(theme.ColorBorder, Fixed(3, 3, canvas.NewRectangle(color.Transparent)))
		return container.NewBorder(nil, nil, line, nil, Inset(10, 0, 0, 0, paragraph(RoleMuted, b.Spans)))
	}
	return paragraph(RoleBody, b.Spans)
}

func headingRole(level int) Role {
	if level <= 2 {
		return RoleHead
	}
	return RoleStrong
}

func paragraph(r Role, spans []model.Span) *Paragraph {
	p := NewParagraph(r, "")
	p.SetSpans(spans)
	return p
}

// drawCode shows code in a well with its language and a copy button; long lines scroll.
func (w *Turn) drawCode(b model.Block) fyne.CanvasObject {
	code := Column(2)
	for _, line := range strings.Split(b.Code, "\n") {
		code.Add(NewText(RoleMono, strings.ReplaceAll(line, "\t", "    ")))
	}
	scroll := container.NewHScroll(code)
	copyCode := NewButton(ButtonGhost, lang.L("Copy"), "copy", func() {
		if w.OnCopy != nil {
			w.OnCopy(b.Code)
		}
	})
	return NewWell(Column(4, Ends(NewShrinkingText(RoleSmall, b.Language), copyCode), scroll))
}

// CreateRenderer implements fyne.Widget.
func (w *Turn) CreateRenderer() fyne.WidgetRenderer { return newBody(w.body) }

// rightBubble puts a bubble at the right, as wide as its text needs and at most a share of the room.
type rightBubble struct {
	share, padX float32
	text        *Turn
}

func (l *rightBubble) Layout(objects []fyne.CanvasObject, size fyne.Size) {
	o := objects[0]
	w := min(l.natural(), size.Width*l.share)
	o.Resize(fyne.NewSize(w, max(o.Size().Height, o.MinSize().Height)))
	h := o.MinSize().Height
	o.Resize(fyne.NewSize(w, h))
	o.Move(fyne.NewPos(size.Width-w, 0))
}

// natural is the width of the bubble whose longest line does not wrap.
func (l *rightBubble) natural() float32 {
	size := theme.Size(base.SizeNameText)
	widest := float32(0)
	for _, line := range strings.Split(model.Clean(l.text.turn.Text), "\n") {
		if len(line) > 400 {
			line = line[:400] // wider than any bubble
		}
		widest = max(widest, fyne.MeasureText(line, size, fyne.TextStyle{}).Width)
	}
	return widest + l.padX + 2
}

func (l *rightBubble) MinSize(objects []fyne.CanvasObject) fyne.Size {
	return fyne.NewSize(80, objects[0].MinSize().Height)
}
