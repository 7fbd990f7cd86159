package widget

import (
	"image/color"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/lang"
	base "fyne.io/fyne/v2/theme"
	fynewidget "fyne.io/fyne/v2/widget"

	"github.com/shoal-p2p/shoal/ui/model"
	"github.com/shoal-p2p/shoal/ui/theme"
)

// Say is a view-model's text in the user's language.
func Say(t model.Text) string {
	if t.IsZero() {
		return ""
	}
	return lang.L(t.Key, t.Args)
}

// Role is what a text is for; it decides size, weight and colour.
type Role int

// The roles of text.
const (
	RoleBody   Role = iota
	RoleTitle       // the name of a page
	RoleHead        // the name of a card
	RoleStrong      // the name of a thing
	RoleMuted       // second rank
	RoleSmall       // labels and facts
	RoleFigure      // the number of a tile
	RoleMono        // addresses, keys, code
	RoleAccent
	RoleGood
	RoleWarn
	RoleBad
)

func (r Role) size() fyne.ThemeSizeName {
	switch r {
	case RoleTitle:
		return theme.SizeTitle
	case RoleHead:
		return base.SizeNameSubHeadingText
	case RoleFigure:
		return theme.SizeFigure
	case RoleSmall, RoleMono, RoleGood, RoleWarn, RoleBad, RoleAccent:
		return theme.SizeSmallText
	}
	return base.SizeNameText
}

func (r Role) color() fyne.ThemeColorName {
	switch r {
	case RoleMuted, RoleSmall:
		return theme.ColorMuted
	case RoleAccent:
		return base.ColorNamePrimary
	case RoleGood:
		return base.ColorNameSuccess
	case RoleWarn:
		return base.ColorNameWarning
	case RoleBad:
		return base.ColorNameError
	}
	return base.ColorNameForeground
}

func (r Role) style() fyne.TextStyle {
	switch r {
	case RoleTitle, RoleHead, RoleStrong, RoleFigure:
		return fyne.TextStyle{Bold: true}
	case RoleMono:
		return fyne.TextStyle{Monospace: true}
	}
	return fyne.TextStyle{}
}

// Text is one line in a role. Where it does not fit it ends in an ellipsis.
type Text struct {
	fynewidget.BaseWidget
	text   string
	role   Role
	align  fyne.TextAlign
	shrink bool
}

// NewText makes a line that is as wide as its text.
func NewText(role Role, text string) *Text {
	t := &Text{text: text, role: role}
	t.ExtendBaseWidget(t)
	return t
}

// NewShrinkingText makes a line that gives way when there is little room.
func NewShrinkingText(role Role, text string) *Text {
	t := &Text{text: text, role: role, shrink: true}
	t.ExtendBaseWidget(t)
	return t
}

// Text is what is shown.
func (t *Text) Text() string { return t.text }

// SetText changes what is shown.
func (t *Text) SetText(s string) {
	if t.text != s {
		t.text = s
		t.Refresh()
	}
}

// SetRole changes how it is shown.
func (t *Text) SetRole(r Role) {
	if t.role != r {
		t.role = r
		t.Refresh()
	}
}

// CreateRenderer implements fyne.Widget.
func (t *Text) CreateRenderer() fyne.WidgetRenderer {
	r := &textRenderer{t: t, line: canvas.NewText("", color.Transparent)}
	r.Refresh()
	return r
}

type textRenderer struct {
	t    *Text
	line *canvas.Text
}

func (r *textRenderer) Layout(size fyne.Size) {
	setLine(r.line, ellipsis(r.t.text, size.Width, r.line.TextSize, r.line.TextStyle))
	r.line.Resize(size)
	r.line.Refresh()
}

// shrunk is the width, in points, down to which a shrinking text goes.
const shrunk = 32

func (r *textRenderer) MinSize() fyne.Size {
	full := sizeOf(r.t.text, r.line.TextSize, r.line.TextStyle)
	if r.t.shrink {
		full.Width = min(full.Width, shrunk)
	}
	return full
}

func (r *textRenderer) Refresh() {
	r.line.TextSize = theme.Size(r.t.role.size())
	r.line.TextStyle = r.t.role.style()
	r.line.Color = theme.Color(r.t.role.color())
	r.line.Alignment = r.t.align
	r.Layout(r.t.Size())
}

func (r *textRenderer) Objects() []fyne.CanvasObject { return []fyne.CanvasObject{r.line} }

func (r *textRenderer) Destroy() {}

// ellipsis cuts text so that it is at most width points wide.
func ellipsis(text string, width, size float32, style fyne.TextStyle) string {
	fits := func(s string) bool { return sizeOf(s, size, style).Width <= width+0.5 }
	if width <= 0 || fits(text) {
		return text
	}
	runes := []rune(text)
	low, high := 0, len(runes)
	for low < high {
		mid := (low + high + 1) / 2
		if fits(string(runes[:mid]) + "…") {
			low = mid
		} else {
			high = mid - 1
		}
	}
	return string(runes[:low]) + "…"
}

// NewParagraph makes text that wraps, in a role.
func NewParagraph(role Role, text string) *Paragraph {
	p := &Paragraph{role: role}
	p.rich = fynewidget.NewRichText()
	p.rich.Wrapping = fyne.TextWrapWord
	p.ExtendBaseWidget(p)
	if text != "" { // measuring nothing would load the fonts of a style that may never be used
		p.SetText(text)
	}
	return p
}

// Paragraph is text that wraps. Unlike Fyne's rich text it has no padding of its own, so it lines up with the rest.
type Paragraph struct {
	fynewidget.BaseWidget
	rich *fynewidget.RichText
	role Role
	text string
}

// Text is what is shown; styles are left out.
func (p *Paragraph) Text() string { return p.text }

// SetText changes what is shown.
func (p *Paragraph) SetText(s string) {
	p.SetSpans([]model.Span{{Text: s}})
}

// SetSpans changes what is shown to runs of text in several styles.
func (p *Paragraph) SetSpans(spans []model.Span) {
	p.text = ""
	p.rich.Segments = p.rich.Segments[:0]
	for _, s := range spans {
		p.text += s.Text
		p.rich.Segments = append(p.rich.Segments, &fynewidget.TextSegment{Text: s.Text, Style: p.spanStyle(s)})
	}
	p.rich.Refresh()
	p.Refresh()
}

func (p *Paragraph) spanStyle(s model.Span) fynewidget.RichTextStyle {
	style := fynewidget.RichTextStyle{
		Inline: true, ColorName: p.role.color(), SizeName: p.role.size(), TextStyle: p.role.style(),
	}
	style.TextStyle.Bold = style.TextStyle.Bold || s.Bold
	style.TextStyle.Italic = s.Italic
	if s.Code {
		style.TextStyle = fyne.TextStyle{Monospace: true}
		style.ColorName = base.ColorNamePrimary
	}
	return style
}

// CreateRenderer implements fyne.Widget.
func (p *Paragraph) CreateRenderer() fyne.WidgetRenderer { return &paragraphRenderer{p} }

type paragraphRenderer struct{ p *Paragraph }

func (r *paragraphRenderer) Layout(size fyne.Size) {
	pad := theme.Size(base.SizeNameInnerPadding)
	r.p.rich.Move(fyne.NewPos(-pad, -pad))
	r.p.rich.Resize(size.AddWidthHeight(2*pad, 2*pad))
}

func (r *paragraphRenderer) MinSize() fyne.Size {
	pad := theme.Size(base.SizeNameInnerPadding)
	return r.p.rich.MinSize().SubtractWidthHeight(2*pad, 2*pad)
}

func (r *paragraphRenderer) Refresh() {
	r.Layout(r.p.Size())
	r.p.rich.Refresh()
}

func (r *paragraphRenderer) Objects() []fyne.CanvasObject { return []fyne.CanvasObject{r.p.rich} }

func (r *paragraphRenderer) Destroy() {}
