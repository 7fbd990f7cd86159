package main

import (
	"context"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/app"
	"fyne.io/fyne/v2/lang"

	"github.com/shoal-p2p/shoal/assets"
	"github.com/shoal-p2p/shoal/ui"
	"github.com/shoal-p2p/shoal/ui/page"
	"github.com/shoal-p2p/shoal/ui/theme"
)

// settled is when everything has been drawn once; reading fonts and pictures takes memory that is free then.
const settled = 4 * time.Second

const (
	appID = "io.github.shoal_p2p.Shoal"

	// Keys of what is remembered from one start to the next.
	prefLook     = "look"
	prefTrayTold = "trayTold"
)

// screen is what the desktop shows of Shoal: the window and the tray.
type screen struct {
	app     fyne.App
	window  fyne.Window
	shell   *page.Shell
	backend ui.Backend
	tray    *tray // nil where the desktop has none

	mu    sync.Mutex // guards what follows
	phase phase
	early []func() // posted before the screen was there, oldest first
}

// phase is how far the screen's life is.
type phase int

const (
	phaseEarly phase = iota // not there yet: what is posted waits
	phaseLive
	phaseGone // nothing is left to draw on: what is posted is dropped
)

// newApp makes the Fyne app in the look that the user chose.
func newApp() (fyne.App, theme.Mode) {
	if !sessionBus() {
		// Without this, asking for the desktop's colours would start a message bus that outlives us.
		_ = os.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent")
	}
	icon := fyne.NewStaticResource("shoal.png", assets.Icon)
	app.SetMetadata(fyne.AppMetadata{ID: appID, Name: "Shoal", Version: version, Icon: icon, Migrations: map[string]bool{"fyneDo": true}})
	a := app.NewWithID(appID)
	a.SetIcon(icon)
	_ = lang.AddTranslationsFS(assets.Translations, "translations") // without them the words are English
	look := theme.Mode(a.Preferences().StringWithFallback(prefLook, string(theme.ModeDark)))
	a.Settings().SetTheme(theme.New(look))
	return a, look
}

// newWindow makes the window, which is not shown yet.
func newWindow(a fyne.App) fyne.Window {
	w := a.NewWindow("Shoal")
	w.SetIcon(a.Icon())
	w.SetMaster()
	w.SetPadded(false)
	w.Resize(fyne.NewSize(1280, 800))
	return w
}

// showFailure shows why the node cannot start, until the user closes the window.
func showFailure(err error) {
	a, _ := newApp()
	w := newWindow(a)
	w.SetContent(page.NewFailure(err, a.Clipboard().SetContent, a.Quit))
	w.ShowAndRun()
}

// newDesktop makes the window and the tray; nothing is shown before run.
func newDesktop(b ui.Backend) *screen {
	a, look := newApp()
	d := &screen{app: a, backend: b, window: newWindow(a)}
	d.tray = newTray(d)
	config := page.Config{
		Backend: b, Window: d.window, Post: d.post, Copy: d.app.Clipboard().SetContent,
		Mode: look, SetMode: d.setLook, Now: time.Now,
		Close: d.close, Quit: d.quit,
	}
	if d.tray != nil {
		config.OnState = d.tray.show
	}
	d.shell = page.New(config)
	d.window.SetContent(d.shell.Content())
	d.window.SetOnDropped(func(_ fyne.Position, uris []fyne.URI) { d.shell.Drop(uris) })
	d.window.SetCloseIntercept(d.close)
	return d
}

// nodeEnded is called when the node has ended by itself. After an error the window says so; else, as after
// `POST /api/admin/shutdown`, there is nothing left to show.
func (d *screen) nodeEnded(err error) {
	if err == nil {
		d.quit()
		return
	}
	d.window.SetContent(page.NewFailure(err, d.app.Clipboard().SetContent, d.quit))
	d.window.SetCloseIntercept(d.quit)
	d.open()
}

// post runs fn on the goroutine that draws. It is the only way from anywhere else to the screen. Before the screen is
// there fn waits for it: the end of the node or a further start may come that early. After it has gone fn is dropped.
func (d *screen) post(fn func()) {
	d.mu.Lock()
	phase := d.phase
	if phase == phaseEarly {
		d.early = append(d.early, fn)
	}
	d.mu.Unlock()
	if phase == phaseLive {
		draw(fn) // outside of the mutex: while Fyne ends it runs fn at once, and fn may post or quit
	}
}

// draw runs fn on the goroutine that draws, after what runs there now.
func draw(fn func()) {
	// When a signal ends the program, Fyne closes its queue while others may still write to it, which panics.
	defer func() { _ = recover() }()
	fyne.Do(fn)
}

// begin opens the way to the screen, and draws what was posted before.
func (d *screen) begin() {
	d.mu.Lock()
	early := d.early
	if d.early = nil; d.phase == phaseEarly {
		d.phase = phaseLive
	}
	d.mu.Unlock()
	for _, fn := range early {
		draw(fn)
	}
}

// end closes the way to the screen.
func (d *screen) end() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.phase, d.early = phaseGone, nil
}

// quit ends the program in order. It runs on the goroutine that draws.
func (d *screen) quit() {
	d.end()
	d.app.Quit()
}

func (d *screen) setLook(m theme.Mode) {
	d.app.Preferences().SetString(prefLook, string(m))
	d.app.Settings().SetTheme(theme.New(m))
}

// run shows the window and returns when the user quits, or ctx ends; then the shell's work has ended too.
func (d *screen) run(ctx context.Context, o options) {
	ctx, cancel := context.WithCancel(ctx)
	var work sync.WaitGroup
	d.app.Lifecycle().SetOnStarted(func() {
		d.begin()
		work.Go(func() { d.shell.Run(ctx) })
		time.AfterFunc(settled, debug.FreeOSMemory)
		d.receive(message{Files: absolute(o.files), Hidden: o.hidden && d.tray != nil && trayShown()})
	})
	d.app.Run()
	d.end()
	cancel()
	work.Wait()
}

// receive does what a start of the program asks for, this one or a further one.
func (d *screen) receive(m message) {
	for _, f := range m.Files {
		d.shell.Import(f)
	}
	if !m.Hidden {
		d.open()
	}
}

// open shows the window in front of the others.
func (d *screen) open() {
	d.window.Show()
	d.window.RequestFocus()
}

// close puts the window into the tray, or quits where there is none to put it in.
func (d *screen) close() {
	if d.tray == nil || !trayShown() {
		d.quit()
		return
	}
	d.window.Hide()
	if !d.app.Preferences().Bool(prefTrayTold) {
		d.app.Preferences().SetBool(prefTrayTold, true)
		d.notify(lang.L("Shoal keeps running"), lang.L("You find it in the tray. Quit it there."))
	}
}

// notify shows a note of the desktop. Both texts must be our own words: on Windows Fyne hands them to a shell.
func (d *screen) notify(title, text string) {
	d.app.SendNotification(fyne.NewNotification(title, text))
}
