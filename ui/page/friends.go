package page

import (
	"context"
	"reflect"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/lang"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/ui/model"
	"github.com/shoal-p2p/shoal/ui/theme"
	"github.com/shoal-p2p/shoal/ui/widget"
)

// friendsPage shows the PCs of the swarm, makes codes that let further ones in, and takes the code of a friend.
type friendsPage struct {
	content fyne.CanvasObject
	shell   *Shell
	body    *fyne.Container
	summary *widget.Text
	hero    fyne.CanvasObject
	list    *fyne.Container
	rows    []*widget.FriendRow
	invite  *inviteCard
	join    *joinCard
	shown   *model.Friends
}

func newFriendsPage(s *Shell) *friendsPage {
	p := &friendsPage{shell: s, summary: widget.NewText(widget.RoleSmall, ""), invite: newInviteCard(s), join: newJoinCard(s)}
	gap := theme.Size(theme.SizeGap)
	p.list = widget.Grid(420, gap)
	p.hero = newHero()
	p.body = widget.Column(gap, widget.Inset(0, 0, 0, 4, widget.Ends(widget.NewText(widget.RoleTitle, lang.L("Friends")), p.summary)),
		p.hero, p.list, widget.Grid(320, gap, p.invite.content, p.join.content), p.invite.list, newPrivacyNote())
	p.content = scrollPage(p.body)
	return p
}

// newHero says what a swarm is to who has none.
func newHero() fyne.CanvasObject {
	words := widget.Column(8, widget.NewShrinkingText(widget.RoleHead, lang.L("Run bigger models together")),
		widget.NewParagraph(widget.RoleMuted, lang.L("A swarm is a group of PCs whose owners trust each other. Each keeps a part of a model, and together they answer what none of them could alone.")))
	return widget.NewCard(widget.Inset(8, 8, 4, 8, widget.Roomy(560, words, widget.NewIcon("friends", theme.ColorRaisedMore, 96))))
}

// newPrivacyNote says who could read along.
func newPrivacyNote() fyne.CanvasObject {
	text := widget.NewParagraph(widget.RoleSmall, lang.L("Friends whose PCs run a part of a model for you could reconstruct what you write and what it answers. Only let PCs in whose owners you trust."))
	return widget.Inset(4, 4, 4, 0, widget.Lead(10, widget.NewIcon("shield", theme.ColorMuted, 20), text))
}

// focus puts the cursor where a code is pasted, while there is nobody to show.
func (p *friendsPage) focus() {
	if p.shown != nil && p.shown.Alone {
		p.shell.cfg.Window.Canvas().Focus(p.join.code)
	}
}

// set shows the swarm as it is now.
func (p *friendsPage) set(s *model.Snapshot) {
	now := p.shell.cfg.Now()
	changed := p.invite.set(s, now)
	changed = p.join.set(s) || changed
	f := model.NewFriends(s, now)
	if p.shown == nil || !reflect.DeepEqual(*p.shown, f) {
		p.shown, changed = &f, true
		p.redraw(f)
	}
	if changed {
		p.body.Refresh()
	}
}

func (p *friendsPage) redraw(f model.Friends) {
	p.summary.SetText(widget.Say(f.Summary))
	if f.Alone {
		p.hero.Show()
	} else {
		p.hero.Hide()
	}
	for len(p.rows) < len(f.Rows) {
		p.rows = append(p.rows, widget.NewFriendRow())
	}
	p.list.Objects = p.list.Objects[:0]
	for i, row := range f.Rows {
		if !reflect.DeepEqual(p.rows[i].Row(), row) {
			p.rows[i].Set(row)
		}
		p.list.Objects = append(p.list.Objects, p.rows[i])
	}
	if len(f.Rows) == 0 {
		p.list.Hide()
	} else {
		p.list.Show()
	}
	p.invite.setRows(f.Invites)
}

// fetchInvites asks the node for the codes that were made here.
func (s *Shell) fetchInvites(ctx context.Context) {
	invites, err := s.cfg.Backend.Invites(ctx)
	if err != nil {
		return // what is shown stays; the next event asks again
	}
	s.cfg.Post(func() {
		s.snap.Invites = invites
		s.friends.set(&s.snap)
	})
}

// revoke takes a code back.
func (s *Shell) revoke(id string) {
	s.background(func(ctx context.Context) {
		err := s.cfg.Backend.RevokeInvite(ctx, id)
		s.fetchInvites(ctx)
		if err != nil && core.CodeOf(err) != core.CodeCancelled {
			s.cfg.Post(func() { s.toast.show(widget.Say(model.ProblemOf(err).Title), s.cfg.Post) })
		}
	})
}
