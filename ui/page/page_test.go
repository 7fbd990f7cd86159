package page

import (
	"context"
	"image/png"
	"os"
	"path/filepath"
	"testing"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/test"

	"github.com/shoal-p2p/shoal/ui/theme"
	"github.com/shoal-p2p/shoal/ui/uitest"
)

// screen is a shell in a test window. The test's goroutine draws: what the shell posts waits until wait runs it.
type screen struct {
	*Shell
	t       *testing.T
	window  fyne.Window
	backend *uitest.Backend
	posts   chan func()
	copied  string
	ends    []string // "close" and "quit", as the shell asked for them
}

// patience is how long a test waits for something that should take no time.
const patience = 10 * time.Second

func newScreen(t *testing.T, b *uitest.Backend) *screen {
	return newScreenIn(t, b, theme.ModeDark, 1280, 800)
}

func newScreenIn(t *testing.T, b *uitest.Backend, mode theme.Mode, width, height float32) *screen {
	t.Helper()
	test.NewTempApp(t)
	test.ApplyTheme(t, theme.New(mode))
	s := &screen{t: t, backend: b, window: test.NewTempWindow(t, nil), posts: make(chan func(), 1024)}
	s.Shell = New(Config{
		Backend: b, Window: s.window, Post: func(f func()) { s.posts <- f },
		Copy: func(text string) { s.copied = text }, Mode: mode,
		SetMode: func(m theme.Mode) { test.ApplyTheme(t, theme.New(m)) }, Now: time.Now,
		Close: func() { s.ends = append(s.ends, "close") }, Quit: func() { s.ends = append(s.ends, "quit") },
	})
	s.window.SetPadded(false)
	s.window.SetContent(s.Content())
	s.window.Resize(fyne.NewSize(width, height))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		s.until("the shell's work has ended", func() bool {
			select {
			case <-ended:
				return true
			default:
				return false
			}
		})
	})
	s.until("the node has answered", func() bool { return s.snap.Known && s.snap.Plans != nil && s.settings.known })
	return s
}

// until draws until cond holds.
func (s *screen) until(what string, cond func() bool) {
	s.t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case f := <-s.posts:
			f()
		case <-tick.C:
		case <-deadline:
			s.t.Fatalf("waited %v until %s", patience, what)
		}
	}
}

// shoot saves a picture of the window in build/screenshots when SHOAL_SCREENSHOTS is set, for people to look at.
func (s *screen) shoot(name string) {
	s.t.Helper()
	img := s.window.Canvas().Capture()
	if os.Getenv("SHOAL_SCREENSHOTS") == "" {
		return
	}
	dir := filepath.Join("..", "..", "build", "screenshots")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		s.t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(dir, name+".png"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	if err := png.Encode(f, img); err != nil {
		s.t.Fatal(err)
	}
}
