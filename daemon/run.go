package daemon

import (
	"context"
	"log/slog"
	"net"
	"time"

	"github.com/shoal-p2p/shoal/daemon/access"
	"github.com/shoal-p2p/shoal/daemon/api"
	"github.com/shoal-p2p/shoal/daemon/config"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine/runtime"
)

// Time that shutting down may take, for all services together and for requests that are running.
const (
	stopIn  = 10 * time.Second
	drainIn = 4 * time.Second
)

// service is a part of the node that runs until its context ends.
type service struct {
	name string
	run  func(context.Context) error
}

// services are the parts in the order in which they start. They stop in the reverse order, each after the one that
// needs it.
func (n *Node) services() []service {
	list := []service{
		{"runtime", n.runtime.Run},
		{"library", n.library.Run},
		{"memory", n.memory.Run},
		{"stats", n.control.Run},
	}
	if n.server == nil { // nor is a node that nobody reaches a member of a swarm
		return list
	}
	list = append(list, n.swarmServices()...)
	return append(list, service{"api", n.server.Run}, service{"address", n.announceAddress})
}

// Run runs the node until ctx ends, Shutdown is called or a service fails, whose error it returns. It closes the
// node. It may be called once.
func (n *Node) Run(ctx context.Context) error {
	defer n.Close()
	failed := make(chan error, 1)
	var running []*running
	for _, s := range n.services() {
		running = append(running, start(ctx, s, failed))
	}
	n.log.Info("node is running", "dataDir", n.cfg.DataDir, "peer", n.identity.NodeID(), "version", n.cfg.Version)
	var err error
	select {
	case <-ctx.Done():
	case <-n.quit:
	case err = <-failed:
	}
	n.log.Info("node is stopping")
	deadline := time.After(stopIn)
	for i := len(running) - 1; i >= 0; i-- {
		if !running[i].stop(deadline) {
			n.log.Error("service did not stop in time", "service", running[i].name)
		}
	}
	return err
}

// running is a started service. Its context is not the caller's, so that it ends in its turn.
type running struct {
	name   string
	cancel context.CancelFunc
	done   chan struct{}
}

// start runs a service. One that ends before it is told to, with an error or not, ends the node.
func start(ctx context.Context, s service, failed chan<- error) *running {
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r := &running{name: s.name, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		err := s.run(own)
		if own.Err() != nil {
			return
		}
		if err == nil {
			err = core.Errorf(core.CodeInternal, "service %s ended by itself", s.name)
		}
		select {
		case failed <- err:
		default: // another service failed first
		}
	}()
	return r
}

// stop ends the service; it is false when that took too long.
func (r *running) stop(deadline <-chan time.Time) bool {
	r.cancel()
	select {
	case <-r.done:
		return true
	case <-deadline:
		return false
	}
}

// newServer makes the API server from the settings.
func (n *Node) newServer() *api.Server {
	set := n.settings.Get()
	if warning := access.Exposed(set.Listen); warning != "" {
		n.log.Warn("the API is open to other machines", "listen", set.Listen)
	}
	return api.New(api.Config{
		Node: n.control, Addr: set.Listen, Hosts: access.Hosts(set.Listen), Origins: set.CORSAllow, Log: n.log, Measures: n.router.Measures,
		Limits: api.Limits{
			DrainTimeout: drainIn, OpenAIPerMin: set.RateLimitRPM, AdminPerMinute: set.RateLimitAdminRPM,
		},
	})
}

// Started is closed when the API listens. Without an API it is nil, which never closes.
func (n *Node) Started() <-chan struct{} {
	if n.server == nil {
		return nil
	}
	return n.server.Ready()
}

// Addr is where the API listens. It may be called after Started is closed.
func (n *Node) Addr() net.Addr { return n.server.Addr() }

// URL is where programs on this PC reach the API. It may be called after Started is closed.
func (n *Node) URL() string { return access.URL(n.Addr()) }

// announceAddress keeps the address file while the API listens.
func (n *Node) announceAddress(ctx context.Context) error {
	select {
	case <-n.Started():
		return access.Announce(ctx, n.cfg.DataDir, n.URL())
	case <-ctx.Done():
		return nil
	}
}

// enginePlace names the worker program and the libraries as the settings do.
func (n hooks) enginePlace() (program, libraries string) {
	set := n.settings.Get()
	return set.WorkerPath, set.RuntimeDir
}

// runtimeChanged is told by the watch of the runtime: others plan with what this node runs on, and the screen shows it.
func (n hooks) runtimeChanged(s runtime.Status) {
	if s.State == runtime.Ready {
		n.hardware.SetRuntime(s.Info)
	}
	n.router.Changed()
	n.presence.Changed()
	n.control.Publish(context.Background())
}

// VerifyConfig implements config.Subscriber.
func (n hooks) VerifyConfig(from, to config.Settings) error {
	if to.Listen != from.Listen {
		if err := access.CheckListen(to.Listen); err != nil {
			return err
		}
	}
	return n.router.Verify(from, to)
}

// CommitConfig implements config.Subscriber.
func (n hooks) CommitConfig(_, to config.Settings) {
	n.router.Resize(to.MaxConcurrentRequests, to.RequestQueue)
	n.setLevel(to.LogLevel)
}

func (n hooks) setLevel(word string) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(word)); err == nil && n.cfg.SetLevel != nil {
		n.cfg.SetLevel(level)
	}
}
