package widget

import (
	"fyne.io/fyne/v2"
	base "fyne.io/fyne/v2/theme"
	fynewidget "fyne.io/fyne/v2/widget"

	"github.com/shoal-p2p/shoal/ui/theme"
)

// Choice is one of the values a setting can have: what is stored, and the word shown.
type Choice struct {
	Value string
	Word  string
}

// Segments is a row of words of which one is chosen; all choices can be seen at once.
type Segments struct {
	fynewidget.BaseWidget
	OnChanged func(value string)

	choices []Choice
	items   []*NavItem
	chosen  string
	body    fyne.CanvasObject
}

// NewSegments makes a row of choices.
func NewSegments(choices ...Choice) *Segments {
	s := &Segments{choices: choices}
	width := float32(0)
	objects := make([]fyne.CanvasObject, len(choices))
	for _, c := range choices {
		m := sizeOf(c.Word, theme.Size(base.SizeNameText), fyne.TextStyle{Bold: true})
		width = max(width, m.Width+2*navPad+4)
	}
	for i, c := range choices {
		item := NewNavItem(c.Word, "", func() { s.choose(c.Value) })
		item.centred = true
		s.items = append(s.items, item)
		objects[i] = Fixed(width, 32, item)
	}
	s.body = newPanel(Row(2, objects...), base.ColorNameInputBackground, base.ColorNameInputBorder, base.SizeNameInputRadius, 3, 3)
	s.ExtendBaseWidget(s)
	return s
}

func (s *Segments) choose(value string) {
	if value == s.chosen {
		return
	}
	s.Set(value)
	if s.OnChanged != nil {
		s.OnChanged(value)
	}
}

// Set marks a choice without telling OnChanged.
func (s *Segments) Set(value string) {
	s.chosen = value
	for i, c := range s.choices {
		s.items[i].SetSelected(c.Value == value)
	}
}

// Chosen is the value chosen.
func (s *Segments) Chosen() string { return s.chosen }

// Items are the words, for tests and keyboards.
func (s *Segments) Items() []*NavItem { return s.items }

// CreateRenderer implements fyne.Widget.
func (s *Segments) CreateRenderer() fyne.WidgetRenderer { return newBody(s.body) }
