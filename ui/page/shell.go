// Package page puts the widgets together to the pages of the window and connects them to the Backend.
//
// The Shell owns everything that is shown and runs on the goroutine that draws. Work that may block runs elsewhere
// and comes back through one function, Config.Post.
package page

import (
	"context"
	"slices"
	"sync"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/lang"

	"github.com/shoal-p2p/shoal/daemon/bell"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/ui"
	"github.com/shoal-p2p/shoal/ui/model"
	"github.com/shoal-p2p/shoal/ui/theme"
	"github.com/shoal-p2p/shoal/ui/widget"
)

// Config is what a Shell needs. All fields but OnState are required.
type Config struct {
	Backend ui.Backend
	Window  fyne.Window
	Post    func(func())     // runs a function on the goroutine that draws
	Copy    func(string)     // puts a text on the clipboard
	Mode    theme.Mode       // the look at the start
	SetMode func(theme.Mode) // applies and remembers a look
	Now     func() time.Time
	Close   func() // puts the window away
	Quit    func() // ends the program
	// OnState is called, on the goroutine that draws, when the node's state or sentence changed.
	// The sentence says the state too.
	OnState func(s model.State, sentence string)
}

// Name is a page.
type Name string

// The pages, in the order of the rail.
const (
	Home     Name = "Home"
	Chat     Name = "Chat"
	Models   Name = "Models"
	Friends  Name = "Friends"
	Settings Name = "Settings"
)

// pageOrder is the rail from top to bottom, and the keys Ctrl+1 to Ctrl+5.
var pageOrder = [...]Name{Home, Chat, Models, Friends, Settings}

// Shell is the content of the window. Its methods run on the goroutine that draws, Run aside.
type Shell struct {
	cfg  Config
	snap model.Snapshot

	rail     *rail
	home     *homePage
	chat     *chatPage
	models   *modelsPage
	friends  *friendsPage
	settings *settingsPage
	pages    *fyne.Container
	toast    *toast
	root     fyne.CanvasObject
	current  Name
	told     string // what OnState was told last

	life    context.Context // ends when Run does
	stop    context.CancelFunc
	work    sync.WaitGroup
	refresh bell.Bell

	// Of the goroutine of Run.
	fetching bool     // something is being downloaded
	company  []string // the friends' PCs and how they are reached
	engine   string   // the state of the engine
}

// New makes the shell; nothing is asked of the Backend before Run.
func New(cfg Config) *Shell {
	s := &Shell{cfg: cfg, refresh: bell.New()}
	s.life, s.stop = context.WithCancel(context.Background())
	s.home, s.chat = newHomePage(s), newChatPage(s)
	s.models, s.friends, s.settings = newModelsPage(s), newFriendsPage(s), newSettingsPage(s)
	s.pages = container.New(onlyShown{}, s.home.content, s.chat.content, s.models.content, s.friends.content, s.settings.content)
	s.rail = newRail(s)
	s.toast = newToast()
	body := container.New(&railLayout{rail: s.rail}, s.rail.content, widget.NewArea("background", s.pages))
	s.root = container.NewStack(body, s.toast.content)
	s.bindKeys(cfg.Window.Canvas())
	s.Show(Home)
	s.redraw()
	return s
}

// Content is what the window shows.
func (s *Shell) Content() fyne.CanvasObject { return s.root }

// redraw shows the snapshot everywhere.
func (s *Shell) redraw() {
	home := model.NewHome(&s.snap)
	s.home.set(home)
	s.models.set(model.NewModelRows(&s.snap))
	s.models.setDisk(home.Disk)
	s.friends.set(&s.snap)
	s.chat.setModels(&s.snap)
	s.rail.set(home.State)
	sentence := lang.L(string(home.State))
	if home.State == model.StateLoading || home.State == model.StateWarning {
		sentence = widget.Say(home.Headline) // says what is loaded, or wrong
	}
	if friends := model.FriendsOnline(&s.snap); !friends.IsZero() {
		sentence += " · " + widget.Say(friends)
	}
	if s.cfg.OnState != nil && s.told != string(home.State)+sentence {
		s.told = string(home.State) + sentence
		s.cfg.OnState(home.State, sentence)
	}
}

// Show opens a page.
func (s *Shell) Show(n Name) {
	s.current = n
	for i, o := range s.pages.Objects {
		if pageOrder[i] == n {
			o.Show()
		} else {
			o.Hide()
		}
	}
	s.pages.Layout.Layout(s.pages.Objects, s.pages.Size())
	s.rail.select_(n)
	s.cfg.Window.Canvas().Unfocus() // a field of a page that is not shown must not take the keys
	switch n {
	case Chat:
		s.chat.focus()
	case Friends:
		s.friends.set(&s.snap)
		s.friends.focus()
	}
}

// onlyShown lays out the page that is shown. The others take their place, and the memory for it, when they are opened.
type onlyShown struct{}

func (onlyShown) Layout(objects []fyne.CanvasObject, size fyne.Size) {
	for _, o := range objects {
		if o.Visible() {
			o.Resize(size)
		}
	}
}

func (onlyShown) MinSize([]fyne.CanvasObject) fyne.Size { return fyne.NewSize(1, 1) }

// Current is the page shown.
func (s *Shell) Current() Name { return s.current }

// background runs work that may block, off the goroutine that draws; the work posts what it finds. It ends with Run.
func (s *Shell) background(work func(ctx context.Context)) {
	s.work.Go(func() { work(s.life) })
}

// say shows a short note that goes away by itself.
func (s *Shell) say(key string) { s.toast.show(lang.L(key), s.cfg.Post) }

// copyText puts a text on the clipboard and says so.
func (s *Shell) copyText(text string) {
	s.cfg.Copy(text)
	s.say("Copied")
}

// startJob shows a job from now on; false if one about the same model runs already.
func (s *Shell) startJob(j model.Job) bool {
	if old := s.snap.JobFor(j.ModelID); old != nil {
		if old.Problem == nil {
			return false
		}
		s.dropJob(j.ModelID)
	}
	s.snap.Jobs = append(s.snap.Jobs, j)
	s.redraw()
	return true
}

func (s *Shell) dropJob(id string) {
	s.snap.Jobs = slices.DeleteFunc(s.snap.Jobs, func(j model.Job) bool { return j.ModelID == id })
}

// endJob takes a finished job away; a failed one stays with its problem. The row keeps looking busy until the node
// has been asked again, so that it never shows the old state in between.
func (s *Shell) endJob(ctx context.Context, id string, err error) {
	stats, statsErr := s.cfg.Backend.Stats(ctx)
	models, modelsErr := s.cfg.Backend.Models(ctx)
	downloads, downloadsErr := s.cfg.Backend.Downloads(ctx)
	s.cfg.Post(func() {
		if statsErr == nil && modelsErr == nil {
			s.snap.Known, s.snap.Stats, s.snap.Models = true, stats, models
		}
		if downloadsErr == nil {
			s.snap.Downloads = downloads
		}
		j := s.snap.JobFor(id)
		switch {
		case err == nil || core.CodeOf(err) == core.CodeCancelled:
			s.dropJob(id)
		case j != nil:
			p := model.ProblemOf(err)
			j.Problem = &p
		}
		s.redraw()
	})
	s.refreshSoon()
}
