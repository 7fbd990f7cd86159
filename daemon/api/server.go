// Package api is the node's HTTP surface: the OpenAI API, the admin API, health and metrics. One guard stands in
// front of every route, handlers return errors, and one function writes them.
package api

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/core"
)

// Config says what a Server serves and where. Node and Addr are required.
type Config struct {
	Node    Node
	Addr    string   // host:port to listen on; port 0 picks a free one
	Hosts   []string // further exact values of the Host header that are ours, such as "pc.lan:8800"
	Origins []string // web origins that may call the API from a browser, such as "https://chat.example"; none by default
	Limits  Limits
	Log     *slog.Logger // nil discards
	// Measures sums up the replies for /metrics; nil leaves them out.
	Measures func() admin.Measures
}

// Limits bounds what a client may take. A zero field takes its default; a negative rate is no limit.
type Limits struct {
	HeaderTimeout  time.Duration // to receive the header of a request; 5 s
	IdleTimeout    time.Duration // of a connection between requests; 120 s
	StallTimeout   time.Duration // a read or write that makes no progress ends the connection; 30 s
	DrainTimeout   time.Duration // running requests may take this long after Run was told to stop; 10 s
	KeepAlive      time.Duration // between the comments that keep a silent stream open; 10 s
	WrongKeyDelay  time.Duration // before a wrong key is answered; 500 ms
	HeaderBytes    int           // of a request; 64 KiB
	BodyBytes      int64         // of a request; 32 MiB
	JSONDepth      int           // nested objects and lists in a body; 64
	JSONValues     int           // values in a body; 1 Mi
	Connections    int           // open at once; 4096
	BodiesBytes    int64         // memory that reading and decoding all bodies may take at once; 512 MiB
	OpenAIPerMin   int           // requests to /v1 per minute and address that is not loopback; 60
	AdminPerMinute int           // requests to /api/admin per minute and address that is not loopback; 200
}

func (l Limits) withDefaults() Limits {
	orDefault(&l.HeaderTimeout, 5*time.Second)
	orDefault(&l.IdleTimeout, 120*time.Second)
	orDefault(&l.StallTimeout, 30*time.Second)
	orDefault(&l.DrainTimeout, 10*time.Second)
	orDefault(&l.KeepAlive, 10*time.Second)
	orDefault(&l.WrongKeyDelay, 500*time.Millisecond)
	orDefault(&l.HeaderBytes, 64<<10)
	orDefault(&l.BodyBytes, 32<<20)
	orDefault(&l.BodiesBytes, 16*l.BodyBytes)
	orDefault(&l.JSONDepth, 64)
	orDefault(&l.JSONValues, 1<<20)
	orDefault(&l.Connections, 4096)
	orDefault(&l.OpenAIPerMin, 60)
	orDefault(&l.AdminPerMinute, 200)
	return l
}

func orDefault[T int | int64 | time.Duration](v *T, def T) {
	if *v == 0 {
		*v = def
	}
}

// Server serves the API of one node.
type Server struct {
	node    Node
	cfg     Config
	limits  Limits
	log     *slog.Logger
	metrics *metrics
	sockets chan struct{} // one per WebSocket
	guard   *guard        // made by Run, which learns the port
	ready   chan struct{}
	addr    net.Addr        // set before ready is closed
	closing context.Context // ends when Run starts to stop
	started time.Time
	open    sync.WaitGroup // WebSockets, which net/http does not wait for
}

// New makes a Server; Run starts it.
func New(cfg Config) *Server {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	limits := cfg.Limits.withDefaults()
	return &Server{
		node:    cfg.Node,
		cfg:     cfg,
		limits:  limits,
		log:     cfg.Log,
		metrics: newMetrics(cfg.Node, cfg.Measures),
		sockets: make(chan struct{}, maxSockets),
		ready:   make(chan struct{}),
	}
}

// Ready is closed when the server listens.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Addr is the address the server listens on. It may be called after Ready is closed.
func (s *Server) Addr() net.Addr { return s.addr }

// Run listens and serves until ctx ends; then it takes no new requests and gives running ones the drain timeout
// to finish. It may be called once. The error has code core.CodeConflict when the address is taken.
func (s *Server) Run(ctx context.Context) error {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", s.cfg.Addr)
	if err != nil {
		return core.Errorf(core.CodeConflict, "listen on %s: %w", s.cfg.Addr, err).
			WithHint("Is Shoal already running? Choose another address with --listen HOST:PORT.")
	}
	return s.serve(ctx, ln)
}

func (s *Server) serve(ctx context.Context, ln net.Listener) error {
	s.addr = ln.Addr()
	s.guard = newGuard(s.cfg, s.limits, s.addr, s.log)
	running, abort := context.WithCancel(context.WithoutCancel(ctx))
	defer abort()
	closing, stop := context.WithCancel(running)
	defer stop()
	s.closing = closing
	s.started = time.Now()
	server := &http.Server{
		Handler:           s.handler(),
		ReadHeaderTimeout: s.limits.HeaderTimeout,
		IdleTimeout:       s.limits.IdleTimeout,
		MaxHeaderBytes:    s.limits.HeaderBytes,
		BaseContext:       func(net.Listener) context.Context { return running },
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	server.Protocols = new(http.Protocols)
	server.Protocols.SetHTTP1(true)

	var drained sync.WaitGroup
	drained.Go(func() {
		<-closing.Done()
		s.drain(server, abort)
	})
	stopOnCtx := context.AfterFunc(ctx, stop)
	defer stopOnCtx()
	close(s.ready)
	listener := bound(ln, s.limits.Connections, s.limits.StallTimeout)
	server.ConnState = listener.state
	err := server.Serve(listener)
	stop()
	drained.Wait()
	s.open.Wait()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return core.Errorf(core.CodeInternal, "serve the API: %w", err)
}

// drain lets running requests finish within the drain timeout, then cancels them.
func (s *Server) drain(server *http.Server, abort context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.Background(), s.limits.DrainTimeout)
	defer cancel()
	if server.Shutdown(ctx) == nil {
		return
	}
	abort()
	last, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if server.Shutdown(last) != nil {
		s.log.Warn("requests were still running when the API closed")
		server.Close()
	}
}

// handler is the router: the route table behind the guard.
func (s *Server) handler() http.Handler {
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	engine.RedirectTrailingSlash = false // a redirect would be sent before the guard has looked
	engine.RedirectFixedPath = false
	engine.HandleMethodNotAllowed = true
	for _, r := range s.routes() {
		engine.Handle(r.method, r.path, s.entry(r))
		if r.method == http.MethodGet { // net/http leaves the body out
			engine.Handle(http.MethodHead, r.path, s.entry(r))
		}
	}
	engine.NoMethod(s.entry(route{handle: noMethod}))
	engine.NoRoute(s.entry(route{handle: noRoute}))
	return engine
}
