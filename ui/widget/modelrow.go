package widget

import (
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/lang"
	base "fyne.io/fyne/v2/theme"
	fynewidget "fyne.io/fyne/v2/widget"

	"github.com/shoal-p2p/shoal/ui/model"
)

// ModelRow is the card of one model: what it is, whether it fits, its state, and what can be done with it.
type ModelRow struct {
	fynewidget.BaseWidget
	OnLoad, OnUnload, OnDelete, OnChat, OnGet, OnCancel, OnDismiss func(id string)
	OnCopy                                                         func(text string)

	row               model.ModelRow
	name              *Text
	details           *Text
	handle            *Text
	status            *Status
	badge             *Badge
	reason, way       *Paragraph
	progress          *Progress
	problem           *Problem
	load, unload, del *Button
	chat, get, cancel *Button
	card              *Panel
	compact           bool
}

// NewModelRow makes an empty card. A compact one, for Home, has no Delete and no reasons.
func NewModelRow(compact bool) *ModelRow {
	m := &ModelRow{
		compact: compact,
		name:    NewText(RoleStrong, ""), handle: NewShrinkingText(RoleSmall, ""), details: NewShrinkingText(RoleSmall, ""),
		status: NewStatus(model.StateReady), badge: NewBadge(model.FitRuns),
		reason: NewParagraph(RoleSmall, ""), way: NewParagraph(RoleSmall, ""), progress: NewProgress(), problem: NewProblem(),
	}
	tap := func(on *func(string)) func() {
		return func() {
			if *on != nil {
				(*on)(m.row.ID)
			}
		}
	}
	m.load = NewButton(ButtonPlain, lang.L("Load"), "load", tap(&m.OnLoad))
	m.chat = NewButton(ButtonPlain, lang.L("Chat"), "chat", tap(&m.OnChat))
	m.get = NewButton(ButtonPlain, lang.L("Get it"), "drop", tap(&m.OnGet))
	m.cancel = NewButton(ButtonGhost, lang.L("Cancel"), "close", tap(&m.OnCancel))
	m.unload = NewButton(ButtonGhost, lang.L("Unload"), "unload", tap(&m.OnUnload))
	m.del = NewButton(ButtonGhost, "", "trash", tap(&m.OnDelete))
	m.card = m.layOut()
	m.ExtendBaseWidget(m)
	return m
}

func (m *ModelRow) layOut() *Panel {
	facts := Row(16, m.status, m.badge)
	text := Column(5, Title(10, m.name, m.handle), m.details, facts)
	buttons := Row(6, m.chat, m.load, m.get, m.cancel, m.unload, m.del)
	return NewCard(Column(12, Ends(text, buttons), m.progress, m.way, m.reason, m.problem))
}

// Row is the view-model shown.
func (m *ModelRow) Row() model.ModelRow { return m.row }

// Set shows a model.
func (m *ModelRow) Set(row model.ModelRow) {
	m.row = row
	m.name.SetText(row.Name)
	m.handle.SetText(row.Handle)
	m.details.SetText(strings.Join(describe(row), "  ·  "))
	m.status.Set(row.State, Say(row.Status))
	m.badge.Set(row.Fit)
	m.reason.SetText(Say(row.FitReason))
	about := row.Fit == model.FitSlow || row.Fit == model.FitTooBig // this PC's memory, which is in the way
	show(!m.compact && about && !row.FitReason.IsZero(), m.reason)
	m.way.SetText(join(Say(row.Way), Say(row.Speed)))
	show(!row.Way.IsZero(), m.way)
	m.progress.Set(row.Bar)
	m.problem.OnDismiss, m.problem.OnCopy = nil, m.OnCopy
	if row.CanDismiss {
		m.problem.OnDismiss = func() { m.OnDismiss(m.row.ID) }
	}
	m.problem.Set(row.Problem)
	show(row.CanLoad, m.load)
	show(row.CanChat, m.chat)
	show(row.CanUnload, m.unload)
	show(row.CanGet && !m.compact, m.get)
	show(row.CanCancel && !m.compact, m.cancel)
	show(row.CanDelete && !m.compact, m.del)
	m.Refresh()
}

func describe(row model.ModelRow) []string {
	var words []string
	if row.Size != "" {
		words = append(words, row.Size)
	}
	words = append(words, row.Details...)
	for _, f := range row.Facts {
		words = append(words, Say(f))
	}
	return words
}

// CreateRenderer implements fyne.Widget.
func (m *ModelRow) CreateRenderer() fyne.WidgetRenderer { return newBody(m.card) }

// Progress is a bar with the amount, the speed and the time left. A bar whose end is not known moves.
type Progress struct {
	fynewidget.BaseWidget
	bar        *Bar
	activity   *fynewidget.ProgressBarInfinite
	done, left *Text
	line, body *fyne.Container
}

// NewProgress makes a hidden progress bar.
func NewProgress() *Progress {
	p := &Progress{bar: NewBar(6), activity: fynewidget.NewProgressBarInfinite(), done: NewShrinkingText(RoleSmall, ""), left: NewText(RoleSmall, "")}
	p.activity.Stop()
	p.line = Ends(p.done, p.left)
	p.body = Column(6, p.bar, Fixed(0, 6, p.activity), p.line)
	p.ExtendBaseWidget(p)
	p.Hide()
	return p
}

// Set shows a bar; nil hides it.
func (p *Progress) Set(b *model.Bar) {
	if b == nil {
		p.activity.Stop()
		p.Hide()
		return
	}
	known := b.Fraction >= 0
	if known {
		p.activity.Stop()
		p.bar.SetParts(Part{Weight: b.Fraction, Color: base.ColorNamePrimary})
	} else if !p.activity.Running() {
		p.activity.Start()
	}
	show(known, p.bar)
	show(!known, p.body.Objects[1])
	p.done.SetText(join(b.Text, Say(b.From)))
	p.left.SetText(Say(b.Left))
	show(p.done.Text() != "" || !b.Left.IsZero(), p.line)
	p.Show()
	p.Refresh()
}

// join puts two texts side by side, of which one may be empty.
func join(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + " · " + b
}

// CreateRenderer implements fyne.Widget.
func (p *Progress) CreateRenderer() fyne.WidgetRenderer { return newBody(p.body) }

// Problem says what went wrong and what to do. It stays until it is put away.
type Problem struct {
	fynewidget.BaseWidget
	OnDismiss func()
	OnCopy    func(text string)

	problem       *model.Problem
	title         *Paragraph
	hint, details *Paragraph
	dismiss, copy *Button
	body          fyne.CanvasObject
}

// NewProblem makes a hidden problem.
func NewProblem() *Problem {
	p := &Problem{title: NewParagraph(RoleStrong, ""), hint: NewParagraph(RoleMuted, ""), details: NewParagraph(RoleSmall, "")}
	p.dismiss = NewButton(ButtonGhost, "", "close", func() {
		if p.OnDismiss != nil {
			p.OnDismiss()
		}
	})
	p.copy = NewButton(ButtonGhost, lang.L("Copy details"), "copy", func() {
		if p.OnCopy != nil && p.problem != nil {
			p.OnCopy(p.problem.Details)
		}
	})
	text := Column(4, p.title, p.hint, p.details)
	mark := NewIcon("warning", base.ColorNameError, 20)
	line := Lead(12, mark, Ends(text, Row(2, p.copy, p.dismiss)))
	panel := newPanel(line, base.ColorNameInputBackground, base.ColorNameError, base.SizeNameInputRadius, 14, 12)
	p.body = panel
	p.ExtendBaseWidget(p)
	p.Hide()
	return p
}

// Set shows a problem; nil hides it.
func (p *Problem) Set(m *model.Problem) {
	p.problem = m
	if m == nil {
		p.Hide()
		return
	}
	p.title.SetText(Say(m.Title))
	p.hint.SetText(Say(m.Hint))
	p.details.SetText(m.Details)
	show(!m.Hint.IsZero(), p.hint)
	show(m.Details != "", p.details)
	show(p.OnDismiss != nil, p.dismiss)
	show(p.OnCopy != nil && m.Details != "", p.copy)
	p.Show()
	p.Refresh()
}

// Shown is the problem shown, or nil.
func (p *Problem) Shown() *model.Problem { return p.problem }

// CreateRenderer implements fyne.Widget.
func (p *Problem) CreateRenderer() fyne.WidgetRenderer { return newBody(p.body) }
