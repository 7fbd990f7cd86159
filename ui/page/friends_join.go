package page

import (
	"context"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/lang"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/ui/model"
	"github.com/shoal-p2p/shoal/ui/widget"
)

// joinCard takes the code of a friend.
type joinCard struct {
	content fyne.CanvasObject
	shell   *Shell

	code    *widget.LineEntry
	join    *widget.Button
	stop    *widget.Button
	entry   fyne.CanvasObject
	wait    *fyne.Container
	bar     *widget.Progress
	done    *fyne.Container
	welcome *widget.Paragraph
	problem *widget.Problem

	cancel context.CancelFunc // of the attempt that is under way; nil when none is
	host   string             // id of the PC that let this one in; empty before
}

func newJoinCard(s *Shell) *joinCard {
	c := &joinCard{shell: s, bar: widget.NewProgress(), welcome: widget.NewParagraph(widget.RoleBody, ""), problem: widget.NewProblem()}
	c.code = widget.NewLineEntry(lang.L("swarm://…"))
	c.code.OnShortcut = s.shortcut
	c.code.OnSubmitted = func(string) { c.start() }
	c.code.OnChanged = func(text string) { c.join.SetEnabled(model.Line(text, 2) != "") }
	c.problem.OnDismiss = func() { c.problem.Set(nil); s.friends.body.Refresh() }
	c.join = widget.NewButton(widget.ButtonPrimary, lang.L("Join"), "", c.start)
	c.join.SetEnabled(false)
	c.entry = widget.Ends(c.code, c.join)
	c.stop = widget.NewButton(widget.ButtonGhost, lang.L("Cancel"), "close", func() {
		if c.cancel != nil {
			c.cancel()
		}
	})
	c.wait = widget.Column(8, widget.Ends(widget.NewParagraph(widget.RoleSmall, lang.L("Looking for your friend's PC…")), c.stop), c.bar)
	c.done = widget.Lead(10, widget.NewIcon("check", "success", 20), c.welcome)
	body := widget.Column(12, cardHead("link", lang.L("Join a friend"),
		lang.L("Paste the code that your friend sent you. This PC then belongs to the same swarm.")),
		c.entry, c.wait, c.done, c.problem)
	c.content = widget.NewCard(body)
	c.show()
	return c
}

// start shows the code to the friend's PC.
func (c *joinCard) start() {
	code := c.code.Text
	if model.Line(code, 2) == "" || c.cancel != nil {
		return
	}
	ctx, cancel := context.WithCancel(c.shell.life)
	c.cancel, c.host = cancel, ""
	c.problem.Set(nil)
	c.refresh()
	c.shell.background(func(context.Context) {
		defer cancel()
		joined, err := c.shell.cfg.Backend.Join(ctx, code)
		if err != nil && ctx.Err() != nil {
			err = core.Errorf(core.CodeCancelled, "join: %w", ctx.Err())
		}
		c.shell.cfg.Post(func() { c.ended(joined, err) })
		if err == nil {
			c.shell.refreshSoon()
		}
	})
}

func (c *joinCard) ended(joined admin.Joined, err error) {
	c.cancel = nil
	switch {
	case core.CodeOf(err) == core.CodeCancelled:
	case err != nil:
		p := model.JoinProblem(err)
		c.problem.Set(&p)
	default:
		c.host = joined.PeerID
		c.code.SetText("")
		c.welcomeTo(&c.shell.snap)
	}
	c.refresh()
}

// set shows the name of the PC that let this one in once it is known, and tells whether anything changed.
func (c *joinCard) set(s *model.Snapshot) (changed bool) {
	before := c.welcome.Text()
	c.welcomeTo(s)
	return c.welcome.Text() != before
}

func (c *joinCard) welcomeTo(s *model.Snapshot) {
	if c.host == "" {
		return
	}
	c.welcome.SetText(lang.L("You are in, connected to {{.Name}}.", map[string]string{"Name": s.FriendName(c.host)}))
}

func (c *joinCard) refresh() {
	c.show()
	c.shell.friends.body.Refresh()
}

// show shows how far joining is.
func (c *joinCard) show() {
	busy := c.cancel != nil
	setVisible(!busy, c.entry)
	setVisible(busy, c.wait)
	setVisible(c.host != "", c.done)
	if busy {
		c.bar.Set(&model.Bar{Fraction: -1})
	} else {
		c.bar.Set(nil)
	}
}
