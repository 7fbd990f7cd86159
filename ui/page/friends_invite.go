package page

import (
	"context"
	"reflect"
	"slices"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/lang"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/ui/model"
	"github.com/shoal-p2p/shoal/ui/widget"
)

// inviteCard makes a code, shows it with a big button that copies it, and lists the codes made before.
type inviteCard struct {
	content fyne.CanvasObject
	list    *fyne.Container // of the codes made here, a card of its own
	shell   *Shell

	code    admin.NetworkCode // that is shown; its zero value when none is
	making  bool
	line    *widget.CopyLine
	left    *widget.Text
	make    *widget.Button
	copy    *widget.Button
	again   *widget.Button
	actions *fyne.Container
	problem *widget.Problem
	rows    *fyne.Container
	body    *fyne.Container
}

func newInviteCard(s *Shell) *inviteCard {
	c := &inviteCard{shell: s, line: widget.NewCopyLine(false), left: widget.NewShrinkingText(widget.RoleSmall, ""), problem: widget.NewProblem()}
	c.line.OnCopy = s.copyText
	c.problem.OnCopy = s.copyText
	c.problem.OnDismiss = func() { c.problem.Set(nil); c.refresh() }
	c.make = widget.NewLargeButton(lang.L("Make a code"), "plus", c.newCode)
	c.copy = widget.NewLargeButton(lang.L("Copy the code"), "copy", func() { s.copyText(c.code.Code) })
	c.again = widget.NewButton(widget.ButtonGhost, lang.L("New code"), "retry", c.newCode)
	c.actions = widget.Row(8, c.make, c.copy, c.again)
	c.body = widget.Column(12, cardHead("plus", lang.L("Invite a friend"),
		lang.L("A code lets one PC in and is good for a quarter of an hour. Whoever has it can use it, so send it like a password.")),
		c.line, c.left, c.actions, c.problem)
	c.content = widget.NewCard(c.body)
	c.rows = widget.Column(2)
	c.list = widget.Column(0, widget.NewCard(widget.Column(8, widget.NewText(widget.RoleHead, lang.L("Codes you made")), c.rows)))
	c.show()
	return c
}

// cardHead is the drawing, the name and the sentence of a card.
func cardHead(icon, title, sentence string) fyne.CanvasObject {
	return widget.Lead(12, widget.Inset(0, 3, 0, 0, widget.NewIcon(icon, "primary", 22)), widget.Column(4,
		widget.NewText(widget.RoleHead, title), widget.NewParagraph(widget.RoleSmall, sentence)))
}

// newCode asks the node for a code.
func (c *inviteCard) newCode() {
	if c.making {
		return
	}
	c.making = true
	c.problem.Set(nil)
	c.refresh()
	c.shell.background(func(ctx context.Context) {
		code, err := c.shell.cfg.Backend.NewInvite(ctx)
		c.shell.cfg.Post(func() { c.made(code, err) })
		c.shell.fetchInvites(ctx)
	})
}

func (c *inviteCard) made(code admin.NetworkCode, err error) {
	c.making = false
	if err != nil {
		p := model.ProblemOf(err)
		c.problem.Set(&p)
	} else {
		c.code = code
		c.line.Set(code.Code)
	}
	c.set(&c.shell.snap, c.shell.cfg.Now())
	c.refresh()
	if err == nil {
		c.shell.cfg.Window.Canvas().Focus(c.copy)
	}
}

// set says what became of the code shown, and tells whether anything changed.
func (c *inviteCard) set(s *model.Snapshot, now time.Time) (changed bool) {
	if c.code.Code == "" {
		return false
	}
	text, open := model.CodeNow(c.code, s.Invites, now)
	said := widget.Say(text)
	changed = said != c.left.Text()
	c.left.SetText(said)
	if !open {
		c.code = admin.NetworkCode{} // nobody can use it any more
		changed = true
	}
	c.show()
	return changed
}

func (c *inviteCard) refresh() {
	c.show()
	c.shell.friends.body.Refresh()
}

// show shows what there is to do.
func (c *inviteCard) show() {
	there := c.code.Code != ""
	setVisible(there, c.line, c.copy, c.again)
	setVisible(!there, c.make)
	setVisible(c.left.Text() != "", c.left)
	c.make.SetEnabled(!c.making)
	c.again.SetEnabled(!c.making)
}

// setRows lists the codes made here.
func (c *inviteCard) setRows(rows []model.InviteRow) {
	for len(c.rows.Objects) < len(rows) {
		r := widget.NewInviteRow()
		r.OnRevoke = c.shell.revoke
		c.rows.Add(r)
	}
	c.rows.Objects = slices.Clip(c.rows.Objects[:len(rows)])
	for i, o := range c.rows.Objects {
		if r, ok := o.(*widget.InviteRow); ok && !reflect.DeepEqual(r.Row(), rows[i]) {
			r.Set(rows[i])
		}
	}
	setVisible(len(rows) > 0, c.list)
}

// setVisible shows or hides things.
func setVisible(on bool, objects ...fyne.CanvasObject) {
	for _, o := range objects {
		if on {
			o.Show()
		} else {
			o.Hide()
		}
	}
}
