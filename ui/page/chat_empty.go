package page

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/lang"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/ui/model"
	"github.com/shoal-p2p/shoal/ui/widget"
)

// emptyChat is what a conversation without messages shows: what to do, and questions to start with.
type emptyChat struct {
	content   *fyne.Container
	onAsk     func(text string)
	title     *widget.Text
	sentence  *widget.Text
	starters  *fyne.Container
	questions []*widget.Button // in starters
	add       *widget.Button
}

func newEmptyChat(s *Shell) *emptyChat {
	e := &emptyChat{title: widget.NewText(widget.RoleTitle, ""), sentence: widget.NewText(widget.RoleMuted, ""), starters: widget.Column(8)}
	for range startersOf(admin.ModelInfo{}) {
		b := widget.NewButton(widget.ButtonPlain, "", "", nil)
		b.OnTapped = func() { e.onAsk(b.Text()) }
		e.questions = append(e.questions, b)
		e.starters.Add(b)
	}
	e.ask(admin.ModelInfo{})
	e.add = widget.NewLargeButton(lang.L("Add a model"), "plus", func() { s.next(model.Action{Kind: model.ActionAdd}) })
	body := container.NewVBox(container.NewCenter(widget.NewIcon("chat", "primary", 44)),
		container.NewCenter(e.title), container.NewCenter(e.sentence),
		widget.Inset(0, 14, 0, 0, container.NewCenter(e.starters)), container.NewCenter(e.add))
	e.content = container.NewCenter(body)
	return e
}

// set shows what there is to do, and who could read along.
func (e *emptyChat) set(s *model.Snapshot, m admin.ModelInfo) {
	e.ask(m)
	switch {
	case m.ID != "":
		title := lang.L("Ask {{.Model}}", map[string]string{"Model": model.Line(model.ModelName(m), 36)})
		e.show(title, widget.Say(chatSentence(s, m)), true, false)
	case !s.Known:
		e.show(lang.L("Starting…"), "", false, false)
	default:
		e.show(lang.L("Add a model first"), lang.L("Chat needs a model file (GGUF) on this PC."), false, true)
	}
}

// ask offers the questions that m can answer.
func (e *emptyChat) ask(m admin.ModelInfo) {
	for i, q := range startersOf(m) {
		e.questions[i].Set(widget.Say(q), "")
	}
}

func chatSentence(s *model.Snapshot, m admin.ModelInfo) model.Text {
	switch {
	case len(s.Together(m.ID)) > 0:
		return model.Privacy(s, m.ID)
	case m.Status != admin.StatusLoaded:
		return model.T("It is loaded with your first message, which takes a moment.")
	}
	return model.T("What you write stays on this PC.")
}

func (e *emptyChat) show(title, sentence string, ask, add bool) {
	if e.title.Text() == title && e.sentence.Text() == sentence && e.starters.Visible() == ask && e.add.Visible() == add {
		return
	}
	e.title.SetText(title)
	e.sentence.SetText(sentence)
	if ask {
		e.starters.Show()
	} else {
		e.starters.Hide()
	}
	if add {
		e.add.Show()
	} else {
		e.add.Hide()
	}
	e.content.Refresh()
}
