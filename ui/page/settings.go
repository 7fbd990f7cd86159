package page

import (
	"context"
	"strconv"
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/lang"
	fynewidget "fyne.io/fyne/v2/widget"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/ui"
	"github.com/shoal-p2p/shoal/ui/model"
	"github.com/shoal-p2p/shoal/ui/theme"
	"github.com/shoal-p2p/shoal/ui/widget"
)

// settingsPage holds the API's address and key, how much of this PC models may use, and the look.
type settingsPage struct {
	content fyne.CanvasObject
	shell   *Shell
	known   bool // the settings have been read, so that a change can be stored
	values  ui.Settings

	address, key, curl  *widget.CopyLine
	contribution, look  *widget.Segments
	context, idleUnload *fynewidget.Select
	version             *widget.Text
	problem             *widget.Problem
	body                *fyne.Container
}

// contextSizes and idleTimes are the choices offered; 0 is the node's choice, or never.
var (
	contextSizes = [...]int{0, 2048, 4096, 8192, 16384, 32768, 65536, 131072}
	idleTimes    = [...]int{0, 300, 600, 1800, 3600}
)

func newSettingsPage(s *Shell) *settingsPage {
	p := &settingsPage{shell: s, address: widget.NewCopyLine(false), key: widget.NewCopyLine(true), curl: widget.NewCopyLine(false)}
	for _, line := range []*widget.CopyLine{p.address, p.key, p.curl} {
		line.OnCopy = s.copyText
	}
	p.version, p.problem = widget.NewShrinkingText(widget.RoleMuted, ""), widget.NewProblem()
	p.problem.OnCopy = s.copyText
	p.problem.OnDismiss = func() { p.problem.Set(nil) }
	p.controls()
	gap := theme.Size(theme.SizeGap)
	p.body = widget.Column(gap, widget.Inset(0, 0, 0, 4, widget.NewText(widget.RoleTitle, lang.L("Settings"))),
		p.problem, p.apiCard(), p.pcCard(), p.lookCard())
	p.content = scrollPage(p.body)
	return p
}

func (p *settingsPage) controls() {
	p.contribution = widget.NewSegments(widget.Choice{Value: ui.ContributionMinimal, Word: lang.L("Eco")},
		widget.Choice{Value: ui.ContributionModerate, Word: lang.L("Balanced")}, widget.Choice{Value: ui.ContributionMaximum, Word: lang.L("Full")})
	p.contribution.OnChanged = func(v string) { p.change(func(s *ui.Settings) { s.Contribution = v }) }
	p.look = widget.NewSegments(widget.Choice{Value: string(theme.ModeSystem), Word: lang.L("System")},
		widget.Choice{Value: string(theme.ModeDark), Word: lang.L("Dark")}, widget.Choice{Value: string(theme.ModeLight), Word: lang.L("Light")})
	p.look.Set(string(p.shell.cfg.Mode))
	p.look.OnChanged = func(v string) { p.shell.cfg.SetMode(theme.Mode(v)) }
	p.context = fynewidget.NewSelect(nil, func(string) {
		if i := p.context.SelectedIndex(); i >= 0 && i < len(contextSizes) {
			p.change(func(s *ui.Settings) { s.ContextSize = contextSizes[i] })
		}
	})
	for _, n := range contextSizes {
		p.context.Options = append(p.context.Options, contextWord(n))
	}
	p.idleUnload = fynewidget.NewSelect(nil, func(string) {
		if i := p.idleUnload.SelectedIndex(); i >= 0 && i < len(idleTimes) {
			p.change(func(s *ui.Settings) { s.IdleUnload = idleTimes[i] })
		}
	})
	for _, n := range idleTimes {
		p.idleUnload.Options = append(p.idleUnload.Options, idleWord(n))
	}
}

func contextWord(tokens int) string {
	if tokens == 0 {
		return lang.L("Automatic")
	}
	return lang.L("{{.N}} tokens", map[string]string{"N": model.Count(int64(tokens))})
}

func idleWord(seconds int) string {
	if seconds == 0 {
		return lang.L("Never")
	}
	return lang.L("After {{.N}} min", map[string]string{"N": strconv.Itoa(seconds / 60)})
}

func (p *settingsPage) apiCard() fyne.CanvasObject {
	return section(lang.L("Use it from other programs"),
		lang.L("Programs on this PC that speak the OpenAI API work with this address and key."),
		field(lang.L("Address"), p.address), field(lang.L("Key"), p.key), field(lang.L("Try it in a terminal"), p.curl))
}

func (p *settingsPage) pcCard() fyne.CanvasObject {
	return section(lang.L("This PC"), lang.L("These hold for models that are loaded from now on."),
		setting(lang.L("How much models may use"), lang.L("Eco: half of the processor and graphics memory. Balanced: three quarters. Full: all of it."), p.contribution),
		setting(lang.L("Context"), lang.L("How much text a model keeps in mind. More takes more memory."), widget.Fixed(200, 38, widget.NewFrame(p.context))),
		setting(lang.L("Free the memory"), lang.L("When nobody has used a model for a while."), widget.Fixed(200, 38, widget.NewFrame(p.idleUnload))))
}

func (p *settingsPage) lookCard() fyne.CanvasObject {
	return section(lang.L("Look"), "", setting(lang.L("Colours"), lang.L("System follows your desktop."), p.look),
		field(lang.L("Version"), p.version))
}

// section is a card with a name, a sentence and rows.
func section(title, sentence string, rows ...fyne.CanvasObject) fyne.CanvasObject {
	head := widget.Column(3, widget.NewText(widget.RoleHead, title))
	if sentence != "" {
		head.Add(widget.NewParagraph(widget.RoleMuted, sentence))
	}
	return widget.NewCard(widget.Column(16, append([]fyne.CanvasObject{head}, rows...)...))
}

// field is a label above a wide control.
func field(label string, control fyne.CanvasObject) fyne.CanvasObject {
	return widget.Column(6, widget.NewText(widget.RoleSmall, label), control)
}

// setting is a label with an explanation at the left and a control at the right.
func setting(label, explanation string, control fyne.CanvasObject) fyne.CanvasObject {
	text := widget.Column(2, widget.NewShrinkingText(widget.RoleBody, label))
	if explanation != "" {
		text.Add(widget.NewParagraph(widget.RoleSmall, explanation))
	}
	return widget.Wide(520, text, control)
}

// fetch reads what the page shows from the node. It may block.
func (p *settingsPage) fetch(ctx context.Context) {
	access, err := p.shell.cfg.Backend.Access(ctx)
	settings, settingsErr := p.shell.cfg.Backend.Settings(ctx)
	p.shell.cfg.Post(func() {
		if err == nil {
			p.setAccess(access)
		}
		if settingsErr == nil {
			p.setValues(settings)
		}
	})
}

func (p *settingsPage) setAccess(a ui.Access) {
	p.address.Set(a.Address)
	p.key.Set(a.Key)
	p.curl.SetShown(curlLine(a), curlLine(ui.Access{Address: a.Address, Key: "••••"}))
}

// curlLine is a command that answers when pasted into a terminal.
func curlLine(a ui.Access) string {
	body := `{"model":"auto","messages":[{"role":"user","content":"What is Shoal?"}]}`
	return strings.Join([]string{
		"curl", a.Address + "/chat/completions",
		"-H 'Authorization: Bearer " + a.Key + "'", "-H 'Content-Type: application/json'", "-d '" + body + "'",
	}, " ")
}

func (p *settingsPage) setVersion(v admin.Version) {
	words := []string{"Shoal " + v.Version}
	if v.Engine != "" {
		words = append(words, v.Engine)
	}
	if text := model.Line(strings.Join(words, "  ·  "), 80); text != p.version.Text() {
		p.version.SetText(text)
		p.body.Refresh()
	}
}

func (p *settingsPage) setValues(s ui.Settings) {
	p.known, p.values = true, s
	p.contribution.Set(s.Contribution)
	selectValue(p.context, contextWord(s.ContextSize))
	selectValue(p.idleUnload, idleWord(s.IdleUnload))
}

// selectValue shows a value without choosing it; one that is not among the choices is shown as it is.
func selectValue(sel *fynewidget.Select, word string) {
	sel.Selected = word
	sel.Refresh()
}

// change stores a setting. What the node refuses is taken back.
func (p *settingsPage) change(set func(*ui.Settings)) {
	if !p.known {
		return
	}
	before, after := p.values, p.values
	set(&after)
	if after == before {
		return
	}
	p.values = after
	p.shell.background(func(ctx context.Context) {
		err := p.shell.cfg.Backend.SetSettings(ctx, after)
		p.shell.cfg.Post(func() { p.stored(before, err) })
	})
}

func (p *settingsPage) stored(before ui.Settings, err error) {
	if err != nil {
		p.setValues(before)
		problem := model.ProblemOf(err)
		p.problem.Set(&problem)
		p.body.Refresh()
		return
	}
	p.problem.Set(nil)
	p.shell.say("Saved")
}
