package swarm

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/p2p/transport/quicreuse"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/bell"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/identity"
	"github.com/shoal-p2p/shoal/daemon/secret"
	"github.com/shoal-p2p/shoal/daemon/store"
	"github.com/shoal-p2p/shoal/daemon/swarm/record"
)

// Config is what a swarm is made from.
type Config struct {
	Identity  *identity.Identity
	Vault     secret.Vault // keeps the network key
	Store     *store.Store // keeps invites, admissions and peers
	Listen    string       // host:port for TCP and QUIC; port 0 takes a free one
	Version   string       // of the program
	Nickname  func() string
	Anchors   func() []string // multiaddrs of nodes that can always be reached, each ending in /p2p/ and its id
	Anchor    bool            // be one: bootstrap and relay only
	NoMDNS    bool            // do not look for peers on the local network
	NoPortMap bool            // do not ask the router to open a port
	Limits    Limits
	Publish   func(core.EventType, any) // told when peers change; may be nil
	Log       *slog.Logger              // nil discards

	options     []libp2p.Option // for tests
	quicOptions []quicreuse.Option
	behindNAT   bool
	listenUDP   func(network string, at *net.UDPAddr) (net.PacketConn, error)
	interfaces  func() ([]net.Addr, error)
}

// Swarm is this node among others. It is safe for concurrent use and implements core.Network. Nothing happens on the
// network before the node makes or joins a swarm.
type Swarm struct {
	cfg  Config
	self core.PeerID
	log  *slog.Logger
	wake bell.Bell // the network to be in may have changed

	joining sync.Mutex // one change of network at a time

	coding sync.Mutex // guards code
	code   admin.NetworkCode

	mu       sync.Mutex
	stopped  bool // Run has ended
	restarts int  // how often restart was called
	current  *session
	failed   error         // why there is no session
	changed  chan struct{} // closed and replaced when current or failed change
	handlers map[string]func(core.Stream)
	own      core.Announcement
}

// New makes a Swarm. It does not touch the network.
func New(cfg Config) (*Swarm, error) {
	self, err := record.PeerOf(cfg.Identity.Public())
	if err != nil {
		return nil, err
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Nickname == nil {
		cfg.Nickname = func() string { return "" }
	}
	if cfg.Anchors == nil {
		cfg.Anchors = func() []string { return nil }
	}
	if cfg.Publish == nil {
		cfg.Publish = func(core.EventType, any) {}
	}
	if cfg.listenUDP == nil {
		cfg.listenUDP = func(network string, at *net.UDPAddr) (net.PacketConn, error) { return net.ListenUDP(network, at) }
	}
	if cfg.interfaces == nil {
		cfg.interfaces = interfaceAddrs
	}
	return &Swarm{
		cfg: cfg, self: self, log: cfg.Log, wake: bell.New(), changed: make(chan struct{}),
		handlers: map[string]func(core.Stream){},
	}, nil
}

// Self is this node's name.
func (s *Swarm) Self() core.PeerID { return s.self }

// The waits between attempts to start the host, for example while the port is taken.
const restartAfter = 5 * time.Second

// Run keeps the node in its swarm until ctx ends. While the node has no swarm it only waits.
func (s *Swarm) Run(ctx context.Context) error {
	defer s.set(func() { s.stopped = true })
	for ctx.Err() == nil {
		since := s.restarted()
		in, err := s.loadRealm(ctx)
		if err != nil {
			s.fail(ctx, err, since)
			continue
		}
		if in == nil {
			select {
			case <-s.wake:
			case <-ctx.Done():
			}
			continue
		}
		s.stay(ctx, *in, since)
	}
	return nil
}

// fail remembers why there is no session, and waits before the next attempt.
func (s *Swarm) fail(ctx context.Context, err error, since int) {
	s.log.Warn("start the swarm", "err", err)
	s.set(func() {
		if s.restarts == since {
			s.failed = err
		}
	})
	select {
	case <-time.After(restartAfter):
	case <-s.wake:
	case <-ctx.Done():
	}
}

// stay runs one session until ctx ends or the network to be in has changed since then.
func (s *Swarm) stay(ctx context.Context, in realm, since int) {
	session, err := s.start(ctx, in)
	if err != nil {
		s.fail(ctx, err, since)
		return
	}
	s.set(func() {
		if s.restarts != since {
			return
		}
		s.current, s.failed = session, nil
		for name, handler := range s.handlers {
			session.handle(name, handler)
		}
	})
	for ctx.Err() == nil && s.restarted() == since { // wake may still tell of a change that the session knows
		select {
		case <-ctx.Done():
		case <-s.wake:
		}
	}
	s.set(func() { s.current = nil })
	session.close()
}

// set changes the state and tells those who wait for it.
func (s *Swarm) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
	close(s.changed)
	s.changed = make(chan struct{})
}

// restart makes Run look again which network to be in. What is saved before is known to the session that follows; the
// one under way is given to nobody any more.
func (s *Swarm) restart() {
	s.set(func() { s.restarts++; s.current, s.failed = nil, nil })
	s.wake.Ring()
}

// restarted tells how often restart was called.
func (s *Swarm) restarted() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.restarts
}

// session returns the session under way.
func (s *Swarm) session() (*session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.current != nil:
		return s.current, nil
	case s.failed != nil:
		return nil, core.Errorf(core.CodeNotReady, "the swarm does not run: %w", s.failed)
	}
	return nil, core.Errorf(core.CodeNotReady, "this node is in no swarm").
		WithHint("Join one with an invite code, or make one by writing an invite.")
}

// await returns the session in a network as soon as it is there.
func (s *Swarm) await(ctx context.Context, in realm) (*session, error) {
	for {
		s.mu.Lock()
		current, failed, stopped, changed := s.current, s.failed, s.stopped, s.changed
		s.mu.Unlock()
		switch {
		case current != nil && current.realm == in:
			return current, nil
		case failed != nil:
			return nil, core.Errorf(core.CodeNotReady, "the swarm does not run: %w", failed)
		case stopped:
			return nil, core.Errorf(core.CodeNotReady, "the node is stopping")
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, core.Errorf(core.CodeTimeout, "the swarm did not start in time: %w", ctx.Err())
		}
	}
}

// realm is what makes a swarm the one it is.
type realm struct {
	key     networkKey
	founder core.PeerID
	net     record.Network // of the first key and the founder; it stays when the key changes
	former  string         // the keys before, the last one first, 32 bytes each
}

// firstRealm is that of a swarm whose key never changed.
func firstRealm(key networkKey, founder core.PeerID) realm {
	return realm{key: key, founder: founder, net: record.NetworkOf(key, founder)}
}

func (in realm) name() record.Network { return in.net }

// formerKeys lists the keys before, the last one first.
func (in realm) formerKeys() (out []networkKey) {
	for at := 0; at+len(networkKey{}) <= len(in.former); at += len(networkKey{}) {
		out = append(out, networkKey([]byte(in.former[at:at+len(networkKey{})])))
	}
	return out
}

// text is the form in which the vault keeps a realm.
func (in realm) text() string {
	text := hex.EncodeToString(in.key[:]) + " " + in.founder.String()
	if in.former != "" || in.net != record.NetworkOf(in.key, in.founder) {
		text += " " + hex.EncodeToString(in.net[:]) + " " + hex.EncodeToString([]byte(in.former))
	}
	return text
}

// parseRealm reads what text wrote. A swarm whose key never changed is kept as its key and its founder.
func parseRealm(text string) (in realm, ok bool) {
	fields := strings.Split(text, " ")
	if len(fields) != 2 && len(fields) != 4 {
		return in, false
	}
	key, err := hex.DecodeString(fields[0])
	founder, idErr := core.ParsePeerID(fields[1])
	if err != nil || idErr != nil || len(key) != len(in.key) {
		return in, false
	}
	in = firstRealm(networkKey(key), founder)
	if len(fields) == 2 {
		return in, true
	}
	net, err := hex.DecodeString(fields[2])
	former, formerErr := hex.DecodeString(fields[3])
	if err != nil || formerErr != nil || len(net) != len(in.net) || len(former)%len(key) != 0 || len(former) > maxChanges*len(key) {
		return in, false
	}
	in.net, in.former = record.Network(net), string(former)
	return in, true
}

// networkSecret is the name of the network key in the vault; its text is the key in hexadecimal and the founder,
// and after a change of the key the name of the swarm and the keys before, with spaces between.
const networkSecret = "network_key"

// loadRealm returns the network that the node is in, or nil.
func (s *Swarm) loadRealm(ctx context.Context) (*realm, error) {
	text, err := s.cfg.Vault.Get(ctx, networkSecret)
	if errors.Is(err, secret.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	in, ok := parseRealm(text.Reveal())
	if !ok {
		return nil, core.Errorf(core.CodeCorrupt, "the saved network key is damaged").
			WithHint("Leave the swarm and join it again with a new invite.")
	}
	return &in, nil
}

func (s *Swarm) saveRealm(ctx context.Context, in realm) error {
	return s.cfg.Vault.Set(ctx, networkSecret, secret.NewText(in.text()))
}

// found returns the session, and makes this node the founder of a new swarm if it is in none.
func (s *Swarm) found(ctx context.Context) (*session, error) {
	s.joining.Lock()
	defer s.joining.Unlock()
	in, err := s.loadRealm(ctx)
	if err != nil {
		return nil, err
	}
	if in == nil {
		var key networkKey
		rand.Read(key[:]) // never fails
		first := firstRealm(key, s.self)
		in = &first
		if err := s.saveRealm(ctx, *in); err != nil {
			return nil, err
		}
		s.restart()
	}
	return s.await(ctx, *in)
}

// leaveInTheEnd leaves the swarm that has put this node out.
func (s *Swarm) leaveInTheEnd() {
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
		defer cancel()
		if err := s.Leave(ctx); err != nil {
			s.log.Warn("leave the swarm", "err", err)
		}
	}()
}

// Leave forgets the network key, the members, the peers and the invites. The others still know this node as a member.
func (s *Swarm) Leave(ctx context.Context) error {
	s.joining.Lock()
	defer s.joining.Unlock()
	if err := s.cfg.Vault.Delete(ctx, networkSecret); err != nil {
		return err
	}
	defer s.restart()
	return s.cfg.Store.ForgetSwarm(ctx)
}
