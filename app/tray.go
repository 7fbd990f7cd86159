package main

import (
	"context"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/driver/desktop"
	"fyne.io/fyne/v2/lang"
	"fyne.io/systray"

	"github.com/shoal-p2p/shoal/assets"
	"github.com/shoal-p2p/shoal/ui/model"
)

// tray is the icon among the desktop's, with the node's state and the few things that are wanted without a window.
type tray struct {
	screen       *screen
	desktop      desktop.App
	menu         *fyne.Menu
	state, pause *fyne.MenuItem
	icon         string
}

// newTray makes the tray icon; nil where the system has no trays.
func newTray(d *screen) *tray {
	app, ok := d.app.(desktop.App)
	if !ok || !sessionBus() {
		return nil
	}
	t := &tray{screen: d, desktop: app}
	t.state = fyne.NewMenuItem(lang.L("Starting…"), nil)
	t.state.Disabled = true
	t.pause = fyne.NewMenuItem(lang.L("Pause"), func() { d.shell.TogglePause() })
	quit := fyne.NewMenuItem(lang.L("Quit"), d.quit)
	quit.IsQuit = true
	t.menu = fyne.NewMenu("Shoal", t.state, fyne.NewMenuItemSeparator(),
		fyne.NewMenuItem(lang.L("Open Shoal"), d.open),
		fyne.NewMenuItem(lang.L("New chat"), func() { d.open(); d.shell.NewChat() }),
		t.pause,
		fyne.NewMenuItem(lang.L("Copy API address"), t.copyAddress),
		fyne.NewMenuItemSeparator(), quit)
	t.setIcon("paused")
	app.SetSystemTrayMenu(t.menu)
	// Not SetSystemTrayWindow: it shows the window from the goroutine of the bus, which must not draw.
	systray.SetOnTapped(func() { d.post(d.open) })
	return t
}

// show tells the node's state by icon, menu and tooltip. Fyne has no way to set the tooltip; the tray library that it
// runs has.
func (t *tray) show(s model.State, sentence string) {
	t.setIcon(trayIcon(s))
	t.state.Label = sentence
	t.pause.Label = lang.L("Pause")
	if s == model.StatePaused {
		t.pause.Label = lang.L("Resume")
	}
	t.pause.Disabled = s == model.StateStarting
	t.menu.Refresh()
	systray.SetTooltip("Shoal: " + t.state.Label)
}

func trayIcon(s model.State) string {
	switch s {
	case model.StateReady:
		return "ready"
	case model.StateBusy, model.StateLoading:
		return "busy"
	case model.StateWarning:
		return "warning"
	}
	return "paused"
}

func (t *tray) setIcon(name string) {
	if t.icon == name {
		return
	}
	png, err := assets.Tray.ReadFile("tray/" + name + ".png")
	if err != nil {
		return // the icon before stays
	}
	t.icon = name
	t.desktop.SetSystemTrayIcon(fyne.NewStaticResource("tray-"+name+".png", png))
}

func (t *tray) copyAddress() {
	go func() {
		access, err := t.screen.backend.Access(context.Background())
		if err == nil {
			t.screen.post(func() { t.screen.app.Clipboard().SetContent(access.Address) })
		}
	}()
}
