package widget

import (
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/lang"
	base "fyne.io/fyne/v2/theme"
	fynewidget "fyne.io/fyne/v2/widget"

	"github.com/shoal-p2p/shoal/ui/model"
	"github.com/shoal-p2p/shoal/ui/theme"
)

// FriendRow is the card of one PC of the swarm: whose it is, whether it is there and how far away, and what it lends.
type FriendRow struct {
	fynewidget.BaseWidget

	row           model.FriendRow
	name, details *Text
	status        *Status
	picture       *Icon
	reach         *reachBadge
	models        *Paragraph
	warning       *Paragraph
	warningRow    *fyne.Container
	card          *Panel
}

// NewFriendRow makes an empty card.
func NewFriendRow() *FriendRow {
	f := &FriendRow{
		name: NewText(RoleStrong, ""), details: NewShrinkingText(RoleSmall, ""), status: NewStatus(model.StateReady),
		reach: newReachBadge(), models: NewParagraph(RoleSmall, ""), warning: NewParagraph(RoleWarn, ""),
	}
	f.warningRow = Lead(7, NewIcon("warning", base.ColorNameWarning, 16), f.warning)
	f.picture = NewIcon("pc", base.ColorNamePrimary, 22)
	avatar := newPanel(f.picture, theme.ColorAccentSoft, "", base.SizeNameInputRadius, 8, 8)
	text := Column(5, Title(10, f.name, f.details), Row(16, f.status, f.reach), f.models, f.warningRow)
	f.card = NewCard(Lead(14, avatar, text))
	f.ExtendBaseWidget(f)
	return f
}

// Row is the view-model shown.
func (f *FriendRow) Row() model.FriendRow { return f.row }

// Set shows a PC.
func (f *FriendRow) Set(row model.FriendRow) {
	f.row = row
	name := row.Name
	if row.Reach == model.ReachHere {
		name = lang.L("This PC")
	}
	f.name.SetText(name)
	if row.Reach == model.ReachNone {
		f.picture.Set("pc", theme.ColorMuted)
	} else {
		f.picture.Set("pc", base.ColorNamePrimary)
	}
	f.details.SetText(strings.Join(append(row.Details, says(row.Facts)...), "  ·  "))
	f.status.Set(row.State, Say(row.Status))
	f.reach.set(row.Reach, row.Ping)
	models := says(row.Models)
	f.models.SetText(lang.L("Has {{.Models}}", map[string]string{"Models": strings.Join(models, ", ")}))
	show(len(models) > 0, f.models)
	f.warning.SetText(Say(row.Warning))
	show(!row.Warning.IsZero(), f.warningRow)
	f.Refresh()
}

func says(list []model.Text) []string {
	words := make([]string, len(list))
	for i, t := range list {
		words[i] = Say(t)
	}
	return words
}

// CreateRenderer implements fyne.Widget.
func (f *FriendRow) CreateRenderer() fyne.WidgetRenderer { return newBody(f.card) }

// reachBadge says by drawing, word and figure how a PC is reached.
type reachBadge struct {
	fynewidget.BaseWidget
	icon *Icon
	word *Text
	row  *fyne.Container
}

func newReachBadge() *reachBadge {
	b := &reachBadge{icon: NewIcon("near", theme.ColorMuted, 16), word: NewText(RoleSmall, "")}
	b.row = Row(6, b.icon, b.word)
	b.ExtendBaseWidget(b)
	return b
}

func (b *reachBadge) set(r model.Reach, ping string) {
	show(r != model.ReachHere && r != model.ReachNone, b)
	switch r {
	case model.ReachHere, model.ReachNone:
		return
	case model.ReachNear:
		b.icon.Set("near", theme.ColorMuted)
	case model.ReachDirect:
		b.icon.Set("direct", theme.ColorMuted)
	case model.ReachRelay:
		b.icon.Set("relay", theme.ColorMuted)
	}
	word := lang.L(string(r))
	if ping != "" {
		word += "  ·  " + ping
	}
	b.word.SetText(word)
	b.row.Refresh()
}

// CreateRenderer implements fyne.Widget.
func (b *reachBadge) CreateRenderer() fyne.WidgetRenderer { return newBody(b.row) }

// InviteRow is one code that was made here: until when it is good with a button that takes it back, or who joined.
type InviteRow struct {
	fynewidget.BaseWidget
	OnRevoke func(id string)

	row    model.InviteRow
	icon   *Icon
	text   *Text
	revoke *Button
	body   fyne.CanvasObject
}

// NewInviteRow makes an empty row.
func NewInviteRow() *InviteRow {
	i := &InviteRow{icon: NewIcon("link", theme.ColorMuted, 18), text: NewShrinkingText(RoleBody, "")}
	i.revoke = NewButton(ButtonGhost, lang.L("Take back"), "close", func() {
		if i.OnRevoke != nil {
			i.OnRevoke(i.row.ID)
		}
	})
	i.body = Fixed(1, 32, Ends(Lead(10, i.icon, i.text), i.revoke))
	i.ExtendBaseWidget(i)
	return i
}

// Row is the view-model shown.
func (i *InviteRow) Row() model.InviteRow { return i.row }

// Set shows a code.
func (i *InviteRow) Set(row model.InviteRow) {
	i.row = row
	i.text.SetText(Say(row.Text))
	if row.Open {
		i.icon.Set("link", base.ColorNamePrimary)
	} else {
		i.icon.Set("check", base.ColorNameSuccess)
	}
	show(row.Open, i.revoke)
	i.Refresh()
}

// CreateRenderer implements fyne.Widget.
func (i *InviteRow) CreateRenderer() fyne.WidgetRenderer { return newBody(i.body) }
