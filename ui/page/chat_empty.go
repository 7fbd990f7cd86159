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
	content  *fyne.Container
	onAsk    func(text string)
	title    *widget.Text
	sentence *widget.Text
	starters *fyne.Container
	add      *widget.Button
}

// starters are questions that every model can say something about.
var starters = [...]string{"What is Shoal?", "Explain how a language model writes", "Write a haiku about the sea"}

func newEmptyChat(s *Shell) *emptyChat {
	e := &emptyChat{title: widget.NewText(widget.RoleTitle, ""), sentence: widget.NewText(widget.RoleMuted, ""), starters: widget.Column(8)}
	for _, key := range starters {
		question := lang.L(key)
		e.starters.Add(widget.NewButton(widget.ButtonPlain, question, "", func() { e.onAsk(question) }))
	}
	e.add = widget.NewLargeButton(lang.L("Add a model"), "plus", func() { s.next(model.Action{Kind: model.ActionAdd}) })
	body := container.NewVBox(container.NewCenter(widget.NewIcon("chat", "primary", 44)),
		container.NewCenter(e.title), container.NewCenter(e.sentence),
		widget.Inset(0, 14, 0, 0, container.NewCenter(e.starters)), container.NewCenter(e.add))
	e.content = container.NewCenter(body)
	return e
}

// set shows what there is to do, and who could read along.
func (e *emptyChat) set(s *model.Snapshot, m admin.ModelInfo) {
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
