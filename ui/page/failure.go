package page

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/lang"

	"github.com/shoal-p2p/shoal/ui/model"
	"github.com/shoal-p2p/shoal/ui/theme"
	"github.com/shoal-p2p/shoal/ui/widget"
)

// failureWidth is the width of the card that says why Shoal cannot run, in points.
const failureWidth = 620

// NewFailure is what the window shows when the node cannot start or has stopped: what happened, what to do, and a
// button that quits. copyText puts a text on the clipboard.
func NewFailure(err error, copyText func(string), quit func()) fyne.CanvasObject {
	p := model.ProblemOf(err)
	text := widget.Column(6, widget.NewParagraph(widget.RoleHead, lang.L("Shoal cannot run")), widget.NewParagraph(widget.RoleBody, widget.Say(p.Title)))
	if !p.Hint.IsZero() {
		text.Add(widget.NewParagraph(widget.RoleMuted, widget.Say(p.Hint)))
	}
	details := widget.NewWell(widget.NewParagraph(widget.RoleSmall, p.Details))
	buttons := widget.Row(10, widget.NewButton(widget.ButtonPlain, lang.L("Copy details"), "copy", func() { copyText(p.Details) }),
		widget.NewButton(widget.ButtonPrimary, lang.L("Quit"), "", quit))
	head := widget.Lead(16, widget.NewIcon("warning", "error", 28), text)
	card := widget.NewCard(widget.Inset(10, 10, 10, 10, widget.Column(18, head, details, widget.Ends(widget.NewText(widget.RoleBody, ""), buttons))))
	middle := container.NewVBox(widget.Measure(failureWidth, card))
	return widget.NewArea(theme.ColorRail, widget.Inset(24, 120, 24, 24, middle))
}
