//go:build linux

package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestDesktop is a user's first quarter of an hour with the real program, on a screen and a session bus of its own:
// the window opens, a model file is imported and chatted with by keyboard and mouse, the tray pauses and resumes,
// closing hides the window, a second start shows it again, Quit ends everything.
//
// Its pictures are in build/screenshots. Places to click are of a window of 1280 by 800.
func TestDesktop(t *testing.T) {
	d := newDesk(t)
	tray := d.watchTray()
	s := d.start("-listen", "127.0.0.1:0")
	d.waitForWindow(s)
	tray.waitForItem()
	s.until("the engine is found", func() bool { return s.version().Engine != "" })
	d.shoot("desktop-1-start")

	second := filepath.Join(t.TempDir(), "second.gguf")
	copyFile(t, filepath.Join("..", "assets", "demo", "shoal-demo.gguf"), second)
	d.press("ctrl+3")
	d.click(600, 160)
	d.typeText(second)
	d.press("Return")
	s.until("the typed file is imported", func() bool { return s.hasModel("second") })
	d.settle()
	d.shoot("desktop-2-models")

	d.press("ctrl+n")
	d.settle()
	before := d.shoot("desktop-3-chat")
	d.typeText("What is Shoal?")
	d.press("Return")
	s.until("an answer is written", func() bool { return s.stats().Inference.TokensGenerated > 0 && s.stats().ActiveRequests == 0 })
	d.settle()
	after := d.shoot("desktop-4-answer")
	if changed := changedShare(t, before, after); changed < 0.002 {
		t.Errorf("the answer changed only %.4f of the screen", changed)
	}
	if len(s.stats().LoadedModels) != 1 {
		t.Errorf("loaded are %v", s.stats().LoadedModels)
	}

	tray.click("Pause")
	s.until("the node pauses", func() bool { return s.stats().State == "paused" })
	tray.until("the tray says so", func() bool { return strings.Contains(tray.tooltip(), "Paused") && tray.has("Resume") })
	d.press("ctrl+1")
	d.settle()
	d.shoot("desktop-5-paused")
	tray.click("Resume")
	s.until("the node resumes", func() bool { return s.stats().State == "idle" })
	tray.until("the tray says so", func() bool { return strings.Contains(tray.tooltip(), "Ready") && tray.has("Pause") })

	d.press("ctrl+comma")
	d.settle()
	d.shoot("desktop-6-settings")

	d.closeWindow()
	if s.ended() {
		t.Fatal("closing the window ended the program")
	}
	tray.click("Open Shoal")
	d.waitForWindow(s)
	d.closeWindow()

	third := filepath.Join(t.TempDir(), "third.gguf")
	copyFile(t, second, third)
	if code := d.run(s.dataDir, third); code != 0 {
		t.Errorf("the second start ends with %d", code)
	}
	d.waitForWindow(s)
	s.until("its file is imported", func() bool { return s.hasModel("third") })

	// While a model arrives the menu changes, and what was clicked may be gone from it.
	tray.until("the tray is at rest", func() bool { return strings.Contains(tray.tooltip(), "Ready") })
	tray.click("Quit")
	s.waitForEnd(0)
	if left := s.workers(); len(left) > 0 {
		t.Errorf("worker processes %v are left", left)
	}
}

// On a desktop without trays a hidden window could not be found again, so closing it quits.
func TestCloseQuitsWithoutTray(t *testing.T) {
	d := newDesk(t)
	s := d.start("-listen", "127.0.0.1:0", "-hidden")
	d.waitForWindow(s)
	d.closeWindow()
	s.waitForEnd(0)
}

// Started with the session, Shoal waits in the tray.
func TestHiddenStart(t *testing.T) {
	d := newDesk(t)
	tray := d.watchTray()
	s := d.start("-listen", "127.0.0.1:0", "-hidden")
	tray.waitForItem()
	tray.until("the node is ready", func() bool { return strings.Contains(tray.tooltip(), "Ready") })
	if id := d.window(); id != "" {
		t.Errorf("window %s is on the screen", id)
	}
	tray.click("New chat")
	d.waitForWindow(s)
	tray.click("Quit")
	s.waitForEnd(0)
}

// A click on the tray icon comes from the bus, not from the goroutine that draws.
func TestTrayIconOpensTheWindow(t *testing.T) {
	d := newDesk(t)
	tray := d.watchTray()
	s := d.start("-listen", "127.0.0.1:0", "-hidden")
	tray.waitForItem()
	for range 30 {
		tray.activate()
		poll(t, "the click opens the window", func() bool { return d.window() != "" }, s.log)
		tray.activate() // it stays open
		d.closeWindow()
		if s.ended() {
			t.Fatalf("a click on the tray icon ended the program\n%s", s.log())
		}
	}
	tray.click("Quit")
	s.waitForEnd(0)
}

// Where shoald serves the data folder already, the window shows that node and leaves it running.
func TestShowsTheNodeOfShoald(t *testing.T) {
	d := newDesk(t)
	d.build("shoald", "./shoald")
	served := d.launch("shoald", "serve", "--listen", "127.0.0.1:0", "--data-dir", filepath.Join(d.dir, "data"))
	served.until("shoald serves", func() bool { return served.version().Engine != "" })
	s := d.start()
	d.waitForWindow(s)
	s.until("the node is found", func() bool { return strings.Contains(s.log(), "showing the node of another process") })
	d.press("ctrl+n")
	d.settle()
	d.typeText("What is Shoal?")
	d.press("Return")
	served.until("shoald answers", func() bool { return served.stats().Inference.TokensGenerated > 0 })
	d.settle()
	d.shoot("desktop-8-shoald")
	d.closeWindow()
	s.waitForEnd(0)
	if served.ended() {
		t.Error("closing the window ended shoald")
	}
	served.interrupt()
	served.waitForEnd(0)
}

// The API's port may be taken by another program: the window says so instead of vanishing.
func TestFailureIsShown(t *testing.T) {
	d := newDesk(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	s := d.start("-listen", taken.Addr().String())
	d.waitForWindow(s)
	d.settle()
	d.shoot("desktop-9-failure")
	d.closeWindow()
	select {
	case <-s.done:
		if s.cmd.ProcessState.ExitCode() == 0 {
			t.Error("it ends as if nothing had been wrong")
		}
	case <-time.After(patience):
		t.Errorf("it did not end\n%s", s.log())
	}
}

func TestSmallWindow(t *testing.T) {
	d := newDesk(t)
	s := d.start("-listen", "127.0.0.1:0")
	d.waitForWindow(s)
	d.xdotool("windowsize", d.window(), "720", "560")
	d.settle()
	d.shoot("desktop-7-small")
	s.interrupt()
	s.waitForEnd(0)
}

func TestNoDisplayIsSaidPlainly(t *testing.T) {
	t.Setenv("DISPLAY", "")
	var out, errOut strings.Builder
	code := run([]string{"-data-dir", t.TempDir()}, &out, &errOut)
	if code == 0 || !strings.Contains(errOut.String(), "shoald serve") {
		t.Errorf("ends with %d and says %q", code, errOut.String())
	}
}

// changedShare is the share of the points that differ between two pictures.
func changedShare(t *testing.T, a, b string) float64 {
	t.Helper()
	first, second := readPNG(t, a), readPNG(t, b)
	bounds := first.Bounds()
	changed := 0
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			if first.At(x, y) != second.At(x, y) {
				changed++
			}
		}
	}
	return float64(changed) / float64(bounds.Dx()*bounds.Dy())
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// patience is how long the tests wait for one thing on a busy machine.
const patience = 60 * time.Second
