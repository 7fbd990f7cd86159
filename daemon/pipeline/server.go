package pipeline

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/swarm/wire"
)

// ServerConfig is what a Server works with. Warmer, Allow and Limits may be zero.
type ServerConfig struct {
	Network core.Network
	Windows Windows
	Warmer  Warmer // nil keeps no windows warm
	Log     *slog.Logger
	// Allow may refuse a session: peer is who opened the stream, host who it says the chain is for. nil allows all.
	Allow  func(peer, host core.PeerID, model core.ModelID) error
	Limits Limits
}

// Limits bound what others may use of this node.
type Limits struct {
	Sessions        int   // at once; 0 is 32
	SessionsPerPeer int   // opened by one peer; 0 is 8: a chain may pass here more than once
	Bytes           int64 // memory for batches of all sessions; 0 is 1 GiB
	WarmPerPeer     int   // windows kept warm for one peer, a quarter of those for all; 0 is 4
}

func (l Limits) withDefaults() Limits {
	if l.Sessions <= 0 {
		l.Sessions = 32
	}
	if l.SessionsPerPeer <= 0 {
		l.SessionsPerPeer = 8
	}
	if l.Bytes <= 0 {
		l.Bytes = 1 << 30
	}
	if l.WarmPerPeer <= 0 {
		l.WarmPerPeer = 4
	}
	return l
}

// sessionID names a session, chosen at random by its host.
type sessionID [16]byte

// Server runs windows of this node as stages of others' chains.
type Server struct {
	cfg  ServerConfig
	work sync.WaitGroup // streams and stations

	mu       sync.Mutex // guards all below
	ctx      context.Context
	closed   bool
	streams  map[core.PeerID]int // in all, sessions or not
	total    int
	sessions int
	perPeer  map[core.PeerID]int
	bytes    int64
	meetings map[sessionID]*meeting
	attached map[core.PeerID]int // streams that wait for their session
	stations map[engine.Window]*station
	warmed   map[core.PeerID]int // windows kept warm
}

// meeting is where the last stage of a session meets the stream that its host opened for the results.
type meeting struct {
	stream chan core.Stream // holds one
	taken  chan struct{}    // closed when a session waits or has taken it
	once   sync.Once
}

// NewServer makes a Server. It takes no streams before Run.
func NewServer(cfg ServerConfig) *Server {
	cfg.Limits = cfg.Limits.withDefaults()
	return &Server{
		cfg: cfg, streams: map[core.PeerID]int{}, perPeer: map[core.PeerID]int{}, meetings: map[sessionID]*meeting{},
		attached: map[core.PeerID]int{}, stations: map[engine.Window]*station{},
		warmed: map[core.PeerID]int{},
	}
}

// Run takes streams until ctx ends. It returns when every session has ended.
func (s *Server) Run(ctx context.Context) error {
	s.mu.Lock()
	s.ctx = ctx
	s.mu.Unlock()
	s.cfg.Network.Handle(Protocol, s.handle)
	<-ctx.Done()
	s.cfg.Network.Handle(Protocol, nil)
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.work.Wait()
	return nil
}

// Sessions is how many sessions there are.
func (s *Server) Sessions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions
}

// begin counts a stream. It is refused when the server is closing, or when there are too many: each takes memory
// before it has said what it wants.
func (s *Server) begin(peer core.PeerID) (context.Context, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.ctx == nil || s.total >= 4*s.cfg.Limits.Sessions || s.streams[peer] >= 4*s.cfg.Limits.SessionsPerPeer {
		return nil, false
	}
	s.total++
	s.streams[peer]++
	s.work.Add(1)
	return s.ctx, true
}

func (s *Server) end(peer core.PeerID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total--
	if s.streams[peer]--; s.streams[peer] == 0 {
		delete(s.streams, peer)
	}
	s.work.Done()
}

// handle takes a stream of another node: the beginning of a session, the line for its results, or a wish for a window.
func (s *Server) handle(stream core.Stream) {
	ctx, ok := s.begin(stream.Peer())
	if !ok {
		_ = stream.Reset()
		return
	}
	defer s.end(stream.Peer())
	defer context.AfterFunc(ctx, func() { _ = stream.Reset() })()
	in := wire.NewReader(stream, firstFrame, 0)
	kind, body, err := in.Next()
	if err == nil {
		switch kind {
		case kindOpen:
			err = s.open(ctx, stream, in, body)
		case kindAttach:
			err = s.attach(ctx, stream, body)
		case kindWarm:
			err = s.warm(ctx, stream, in, body)
		default:
			err = core.Errorf(core.CodeInvalidRequest, "stream begins with a frame of kind %d", kind)
		}
	}
	if err != nil {
		s.cfg.Log.Info("pipeline stream refused", "peer", stream.Peer().String(), "err", err)
	}
	_ = stream.Reset()
}

// open runs a session until it ends.
func (s *Server) open(ctx context.Context, stream core.Stream, in *wire.Reader, body []byte) error {
	out := wire.NewWriter(stream, stallLimit)
	o, err := readOpen(body, s.cfg.Network.Self(), stream.Peer())
	if err == nil && s.cfg.Allow != nil {
		err = s.cfg.Allow(stream.Peer(), o.host, o.model)
	}
	if err == nil {
		err = s.admit(stream.Peer())
	}
	if err != nil {
		sendFault(out, err, core.PeerID{})
		_ = stream.CloseWrite()
		s.linger(stream)
		return err
	}
	defer s.dismiss(stream.Peer())
	return newSession(s, o, stream, in, out).run(ctx)
}

// linger gives the last frame of a stream time to arrive before the stream is reset.
func (s *Server) linger(stream core.Stream) {
	_ = stream.SetReadDeadline(time.Now().Add(blameDelay * 4))
	var b [512]byte
	for range 64 {
		if _, err := stream.Read(b[:]); err != nil {
			return
		}
	}
}

// admit counts a session of a peer, or refuses it.
func (s *Server) admit(peer core.PeerID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sessions >= s.cfg.Limits.Sessions || s.perPeer[peer] >= s.cfg.Limits.SessionsPerPeer {
		return core.Errorf(core.CodeOverloaded, "%d sessions are open already, %d of them this peer's", s.sessions, s.perPeer[peer])
	}
	s.sessions++
	s.perPeer[peer]++
	return nil
}

func (s *Server) dismiss(peer core.PeerID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions--
	if s.perPeer[peer]--; s.perPeer[peer] == 0 {
		delete(s.perPeer, peer)
	}
}

// reserve counts memory, or refuses it.
func (s *Server) reserve(n int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bytes+n > s.cfg.Limits.Bytes {
		return core.Errorf(core.CodeOverloaded, "batches of all sessions would take %d bytes, most are %d", s.bytes+n, s.cfg.Limits.Bytes)
	}
	s.bytes += n
	return nil
}

func (s *Server) free(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bytes -= n
}

// meet returns the meeting of a session.
func (s *Server) meet(id sessionID) *meeting {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.meetings[id]
	if m == nil {
		m = &meeting{stream: make(chan core.Stream, 1), taken: make(chan struct{})}
		s.meetings[id] = m
	}
	return m
}

func (s *Server) part(id sessionID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.meetings, id)
}

// attach brings the stream for the results to its session and stays until that has ended.
func (s *Server) attach(ctx context.Context, stream core.Stream, body []byte) error {
	var m wire.PipelineAttach
	if err := wire.Unmarshal(body, &m); err != nil {
		return err
	}
	if len(m.Session) != len(sessionID{}) {
		return core.Errorf(core.CodeInvalidRequest, "session name of %d bytes", len(m.Session))
	}
	peer := stream.Peer()
	s.mu.Lock()
	if s.attached[peer] >= 2*s.cfg.Limits.SessionsPerPeer || len(s.attached) >= 4*s.cfg.Limits.Sessions {
		s.mu.Unlock()
		return core.Errorf(core.CodeOverloaded, "%d streams wait for their session", s.attached[peer])
	}
	s.attached[peer]++
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.attached[peer]--; s.attached[peer] == 0 {
			delete(s.attached, peer)
		}
	}()
	return s.wait(ctx, sessionID(m.Session), stream)
}

func (s *Server) wait(ctx context.Context, id sessionID, stream core.Stream) error {
	m := s.meet(id)
	offer := &attachedStream{Stream: stream, ended: make(chan struct{})}
	select {
	case m.stream <- offer:
	default:
		return core.Errorf(core.CodeConflict, "the session has a stream for its results")
	}
	limit := time.NewTimer(attachLimit)
	defer limit.Stop()
	select {
	case <-m.taken:
	case <-limit.C:
		s.part(id)
		return core.Errorf(core.CodeTimeout, "no session came for the stream of its results")
	case <-ctx.Done():
		return nil
	}
	select {
	case <-offer.ended:
	case <-ctx.Done():
	}
	return nil
}

// attachedStream tells when its session is done with it.
type attachedStream struct {
	core.Stream
	once  sync.Once
	ended chan struct{}
}

// Reset implements core.Stream.
func (a *attachedStream) Reset() error {
	a.once.Do(func() { close(a.ended) })
	return a.Stream.Reset()
}

// sendFault tells the host's side why a session ends; an empty peer is the sender.
func sendFault(out *wire.Writer, err error, peer core.PeerID) {
	text := err.Error()
	_ = out.Send(kindFault, &wire.PipelineFault{Code: string(core.CodeOf(err)), Text: text[:min(len(text), maxFaultText)], Peer: peer.String()})
}
