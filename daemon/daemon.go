// Package daemon is the node: it wires settings, store, secrets, hardware, models, chat and API together and runs
// them. It knows no screen and no command line; app builds two programs on it.
package daemon

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/gofrs/flock"

	"github.com/shoal-p2p/shoal/daemon/access"
	"github.com/shoal-p2p/shoal/daemon/api"
	"github.com/shoal-p2p/shoal/daemon/atomicfile"
	"github.com/shoal-p2p/shoal/daemon/catalog"
	"github.com/shoal-p2p/shoal/daemon/chat/template"
	"github.com/shoal-p2p/shoal/daemon/config"
	"github.com/shoal-p2p/shoal/daemon/control"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/runtime"
	"github.com/shoal-p2p/shoal/daemon/event"
	"github.com/shoal-p2p/shoal/daemon/hardware"
	"github.com/shoal-p2p/shoal/daemon/identity"
	"github.com/shoal-p2p/shoal/daemon/library"
	"github.com/shoal-p2p/shoal/daemon/memory"
	"github.com/shoal-p2p/shoal/daemon/presence"
	"github.com/shoal-p2p/shoal/daemon/router"
	"github.com/shoal-p2p/shoal/daemon/secret"
	"github.com/shoal-p2p/shoal/daemon/store"
)

// Config is what a node is made from. Only DataDir is required.
type Config struct {
	DataDir    string
	ConfigFile string              // "" is config.toml in DataDir
	Environ    []string            // as os.Environ; SHOAL_* variables override the file
	Flags      map[string]string   // settings given on the command line, by key; they override the variables
	Getenv     func(string) string // tells whether there is a keyring; nil is os.Getenv
	Version    string              // of the program, for example "0.1.0"
	Commit     string              // of the source it was built from
	Demo       []byte              // GGUF that is imported at the first start when there is no model
	DemoName   string              // its file name, which makes the model's id
	Engine     engine.Engine       // nil starts worker processes on the llama.cpp libraries
	Renderer   template.Renderer   // of chat templates; nil renders in this process, which no stranger's model should get
	NoAPI      bool                // do not listen; for commands that use a node of their own
	Log        *slog.Logger        // nil discards
	SetLevel   func(slog.Level)    // called when the log level is set; may be nil
}

// Node is a running Shoal. Its methods are safe for concurrent use once New has returned.
type Node struct {
	cfg      Config
	log      *slog.Logger
	lock     *flock.Flock
	settings *config.Manager
	store    *store.Store
	identity *identity.Identity
	key      secret.Text
	vault    secret.Vault
	events   *event.Bus
	hardware *hardware.Monitor
	engine   engine.Engine
	server   *api.Server // nil with NoAPI
	library  *library.Library
	memory   *memory.Memory
	router   *router.Router
	network  *network
	presence *presence.Presence
	catalog  *catalog.Catalog
	control  *control.Control // answers what a user asks

	started  time.Time
	runtime  *runtime.Watch
	quit     chan struct{} // closed by Shutdown
	quitOnce sync.Once
	end      sync.Once
}

// New opens the data folder and makes a Node; Run starts it. A folder that another node has open is an error of code
// CodeConflict. Call Close if Run is not called.
func New(ctx context.Context, cfg Config) (_ *Node, err error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.ConfigFile == "" {
		cfg.ConfigFile = filepath.Join(cfg.DataDir, "config.toml")
	}
	n := opening{&Node{cfg: cfg, log: cfg.Log, events: &event.Bus{}, started: time.Now(), quit: make(chan struct{})}}
	defer func() {
		if err != nil {
			n.Close()
		}
	}()
	for _, step := range []func(context.Context) error{n.openFolder, n.openSettings, n.openState, n.openSecrets, n.assemble} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return n.Node, nil
}

// opening makes the parts of a node, in order.
type opening struct{ *Node }

// openFolder makes the data folder and takes its lock, which the system frees when the process dies.
func (n opening) openFolder(context.Context) error {
	if err := access.MakeFolder(n.cfg.DataDir); err != nil {
		return err
	}
	if err := os.MkdirAll(n.path("models"), 0o700); err != nil {
		return core.Errorf(core.CodeForbidden, "make the data folder: %w", err).WithHint("Choose another with --data-dir.")
	}
	for _, name := range []string{"node.lock", "shoal.db", "shoal.db-wal", "shoal.db-shm"} {
		if err := atomicfile.Regular(n.path(name)); err != nil {
			return err
		}
	}
	lock := flock.New(n.path("node.lock"))
	locked, err := lock.TryLock()
	if err != nil {
		return core.Errorf(core.CodeForbidden, "lock the data folder: %w", err).WithHint("Choose another with --data-dir.")
	}
	if !locked {
		return core.Errorf(core.CodeConflict, "another Shoal is running with the data folder %s", n.cfg.DataDir).
			WithHint("Stop it first, or choose another folder with --data-dir.")
	}
	n.lock = lock
	for _, dir := range []string{n.cfg.DataDir, filepath.Dir(n.cfg.ConfigFile)} {
		if err := atomicfile.Clean(dir, time.Now()); err != nil {
			n.log.Warn("remove temporary files", "dir", dir, "err", err)
		}
	}
	return nil
}

func (n opening) openSettings(context.Context) error {
	m, err := config.Load(config.Options{File: n.cfg.ConfigFile, Environ: n.cfg.Environ, Flags: n.cfg.Flags})
	if err != nil {
		return err
	}
	n.settings = m
	for _, key := range m.UnknownKeys() {
		n.log.Warn("setting means nothing", "key", key, "file", m.Path())
	}
	if _, err := os.Stat(m.Path()); errors.Is(err, os.ErrNotExist) {
		if err := m.Save(); err != nil {
			n.log.Warn("write settings", "err", err) // a folder that only others may write is fine
		}
	}
	hooks{n.Node}.setLevel(m.Get().LogLevel)
	return nil
}

func (n opening) openState(ctx context.Context) (err error) {
	if n.identity, err = identity.Open(n.path("identity.key")); err != nil {
		return err
	}
	n.store, err = store.Open(ctx, n.path("shoal.db"))
	return err
}

func (n opening) openSecrets(ctx context.Context) error {
	n.vault = access.Vault(ctx, n.cfg.DataDir, n.cfg.Getenv, n.identity)
	key, place, err := secret.APIKey(ctx, n.vault, n.cfg.DataDir)
	if err != nil {
		return err
	}
	n.key = key
	n.log.Info("api key is kept", "place", place)
	return nil
}

// assemble makes the parts that need the others.
func (n opening) assemble(ctx context.Context) error {
	n.hardware = hardware.New(hardware.Config{DataDir: n.cfg.DataDir, Region: func() string { return n.settings.Get().Region }})
	if n.engine = n.cfg.Engine; n.engine == nil {
		n.engine = &runtime.Workers{DataDir: n.cfg.DataDir, Set: hooks{n.Node}.enginePlace, Log: n.log}
	}
	n.runtime = runtime.NewWatch(n.engine, hooks{n.Node}.runtimeChanged, n.log)
	n.library = library.New(library.Config{
		Dir: n.path("models"), Store: n.store, Settings: n.settings.Get,
		Key: n.identity, Events: n.events, Log: n.log, Changed: hooks{n.Node}.modelsChanged, Damaged: hooks{n.Node}.shardDamaged,
	})
	n.memory = memory.New(memory.Config{
		Library: n.library, Engine: n.engine, Store: n.store, Hardware: n.hardware, Settings: n.settings.Get, Log: n.log,
	})
	if err := n.openNetwork(); err != nil {
		return err
	}
	n.control = control.New(control.Parts{
		Version: n.cfg.Version, Commit: n.cfg.Commit, NodeID: n.identity.NodeID(), NoAPI: n.cfg.NoAPI, Started: n.started, Key: n.key,
		Quit: func() { n.quitOnce.Do(func() { close(n.quit) }) }, Log: n.log,
		Settings: n.settings, Store: n.store, Events: n.events, Hardware: n.hardware, Runtime: n.runtime, Library: n.library, Memory: n.memory,
		Router: n.router, Catalog: n.catalog, Presence: n.presence, Swarm: n.network.swarm, Downloads: n.network.downloads,
	})
	n.settings.Subscribe(hooks{n.Node})
	if err := n.library.Scan(ctx); err != nil {
		return err
	}
	if err := n.importDemo(ctx); err != nil {
		n.log.Warn("import the demo model", "err", err)
	}
	if !n.cfg.NoAPI {
		n.server = n.newServer()
	}
	return nil
}

// path names a file of the data folder.
func (n *Node) path(name string) string { return filepath.Join(n.cfg.DataDir, name) }

// API is what can be asked of the node.
func (n *Node) API() api.Node { return n.control }

// Close frees what New opened. Run does it too; calling it twice is fine.
func (n *Node) Close() {
	n.end.Do(func() {
		if n.store != nil {
			if err := n.store.Close(); err != nil {
				n.log.Warn("close the store", "err", err)
			}
		}
		if n.lock != nil {
			if err := n.lock.Unlock(); err != nil {
				n.log.Warn("unlock the data folder", "err", err)
			}
		}
	})
}
