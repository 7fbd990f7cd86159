package transfer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/shard"
	"github.com/shoal-p2p/shoal/daemon/swarm/wire"
)

// ServerConfig is what a Server works with. Fields may be left out where that is said.
type ServerConfig struct {
	Network core.Network
	Store   *shard.Store
	Slots   int                             // requests served at once; 0 is 8
	Upload  func() int64                    // cap in bytes a second over all peers; nil or 0 is none
	LAN     func(core.PeerID) bool          // who is exempt from the cap; nil is nobody
	Report  func(core.PeerID, core.Conduct) // what peers did; may be nil
	// Sound tells whether a shard was read since its file last changed. Chunks of others are checked as they are sent;
	// nil says that all were.
	Sound func(ctx context.Context, model core.ModelID, index int) bool
	// Damaged is called with a shard of which a chunk is not what it was; may be nil.
	Damaged func(model core.ModelID, index int)
	Log     *slog.Logger
}

// Server gives shards to other nodes.
type Server struct {
	cfg   ServerConfig
	slots chan struct{}
	limit *limit
	shelf shelf

	mu      sync.Mutex // guards the rest
	closed  bool
	streams map[core.Stream]struct{}
	perPeer map[core.PeerID]int
	work    sync.WaitGroup
}

// NewServer makes a Server. It answers nobody before Run.
func NewServer(cfg ServerConfig) *Server {
	if cfg.Slots == 0 {
		cfg.Slots = defaultSlots
	}
	return &Server{
		cfg: cfg, slots: make(chan struct{}, cfg.Slots), limit: newLimit(cfg.Upload), shelf: shelf{store: cfg.Store},
		streams: map[core.Stream]struct{}{}, perPeer: map[core.PeerID]int{},
	}
}

// Run answers until ctx ends, and returns when the last stream is closed.
func (s *Server) Run(ctx context.Context) error {
	s.cfg.Network.Handle(Protocol, func(stream core.Stream) { s.serve(ctx, stream) })
	<-ctx.Done()
	s.cfg.Network.Handle(Protocol, nil)
	s.mu.Lock()
	s.closed = true
	for stream := range s.streams {
		_ = stream.Reset()
	}
	s.mu.Unlock()
	s.work.Wait()
	return nil
}

// enter counts a stream; too many are refused.
func (s *Server) enter(stream core.Stream) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	peer := stream.Peer()
	if s.closed || len(s.streams) >= maxStreams || s.perPeer[peer] >= maxPeerStreams {
		return false
	}
	s.streams[stream] = struct{}{}
	s.perPeer[peer]++
	s.work.Add(1)
	return true
}

func (s *Server) leave(stream core.Stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.streams, stream)
	if s.perPeer[stream.Peer()]--; s.perPeer[stream.Peer()] == 0 {
		delete(s.perPeer, stream.Peer())
	}
	s.work.Done()
}

// serve answers the requests of one stream in order. Any doubt resets it.
func (s *Server) serve(ctx context.Context, stream core.Stream) {
	if !s.enter(stream) {
		_ = stream.Reset()
		return
	}
	defer s.leave(stream)
	c := &conn{Server: s, peer: stream.Peer()}
	in := &patience{Stream: stream}
	c.in = wire.NewReader(in, requestTime, 1)
	up := s.limit
	if s.cfg.LAN != nil && s.cfg.LAN(c.peer) {
		up = nil
	}
	c.out = wire.NewWriter(capped{stream, ctx, up, nil}, stallTime)
	for {
		in.until = time.Now().Add(requestTime)
		if err := c.answer(ctx); errors.Is(err, io.EOF) {
			_ = stream.Close()
			return
		} else if err != nil {
			c.blame(err)
			_ = stream.Reset()
			return
		}
	}
}

// conn is one stream of a peer.
type conn struct {
	*Server
	peer core.PeerID
	in   *wire.Reader
	out  *wire.Writer
	data []byte
	head []byte
}

// blame reports a peer that sent what no honest program sends.
func (c *conn) blame(err error) {
	c.cfg.Log.Debug("shard stream ended", "peer", c.peer.String(), "err", err)
	if code := core.CodeOf(err); c.cfg.Report != nil && (code == core.CodeTooLarge || code == core.CodeInvalidRequest) {
		c.cfg.Report(c.peer, core.ConductMalformed)
	}
}

// answer reads one request and serves it. What cannot be served is refused in words and no error.
func (c *conn) answer(ctx context.Context) error {
	kind, body, err := c.in.Next()
	if err != nil {
		return err
	}
	w, err := decodeWant(kind, body)
	if err != nil {
		return err
	}
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	default:
		return c.refuse(core.Errorf(core.CodeOverloaded, "all %d upload slots are taken", cap(c.slots)))
	}
	m, err := c.shelf.open(w.model)
	if err != nil || m.digest != w.manifest {
		return c.refuse(core.Errorf(core.CodeNotFound, "this cut of the model is not here"))
	}
	switch kind {
	case kindManifest:
		text, err := m.Manifest.Encode()
		if err != nil {
			return err
		}
		return c.sendWhole(bytes.NewReader(text), int64(len(text)))
	case kindHeader:
		f, err := m.OpenHeader()
		if err != nil {
			return c.refuse(core.Errorf(core.CodeNotFound, "the header is not here"))
		}
		defer f.Close()
		return c.sendWhole(f, m.Manifest.HeaderSize)
	default:
		return c.sendChunks(ctx, m, w)
	}
}

// refuse says why a request is not served.
func (c *conn) refuse(err *core.Error) error {
	return c.out.Send(kindRefused, &wire.ShardRefused{Code: string(err.Code), Text: err.Msg})
}

// room is the buffer that data is read into, of one chunk.
func (c *conn) room() []byte {
	if c.data == nil {
		c.data = make([]byte, shard.ChunkSize)
	}
	return c.data
}

// sendWhole sends size bytes of r in parts.
func (c *conn) sendWhole(r io.Reader, size int64) error {
	if err := c.out.Send(kindSize, &wire.ShardSize{Bytes: uint64(size)}); err != nil {
		return err
	}
	for size > 0 {
		part := c.room()[:min(size, wholePart)]
		if _, err := io.ReadFull(r, part); err != nil {
			return err
		}
		if err := c.out.SendPayload(kindPart, part); err != nil {
			return err
		}
		size -= int64(len(part))
	}
	return nil
}

// sendChunks sends the chunks of a request that there are. A shard that turns out not to be here is refused, also
// in the middle.
func (c *conn) sendChunks(ctx context.Context, m *book, w want) error {
	if !m.Has(w.shard) {
		return c.refuse(core.Errorf(core.CodeNotFound, "shard %d is not here", w.shard))
	}
	size := m.Manifest.Shards[w.shard].Size
	if w.first+w.count > shard.Chunks(size) {
		return core.Errorf(core.CodeInvalidRequest, "chunks past the end of shard %d", w.shard)
	}
	tree, err := m.tree(ctx, w.shard)
	if err != nil {
		return c.refuse(core.Errorf(core.CodeNotFound, "shard %d is damaged", w.shard))
	}
	f, err := os.Open(m.Path(w.shard))
	if err != nil {
		return c.refuse(core.Errorf(core.CodeNotFound, "shard %d is gone", w.shard))
	}
	defer f.Close()
	sound := c.cfg.Sound == nil || c.cfg.Sound(ctx, w.model, w.shard)
	for i := w.first; i < w.first+w.count; i++ {
		off := int64(i) * shard.ChunkSize
		data := c.room()[:min(shard.ChunkSize, size-off)]
		if n, err := f.ReadAt(data, m.Manifest.Reserved+off); n < len(data) {
			return err
		}
		if !sound && !tree.Sound(i, data) { // whoever gets it would blame this node
			if c.cfg.Damaged != nil {
				c.cfg.Damaged(w.model, w.shard)
			}
			return c.refuse(core.Errorf(core.CodeNotFound, "shard %d is damaged", w.shard))
		}
		c.head = appendHead(c.head[:0], i, tree.Proof(i))
		if err := c.out.SendPayload(kindChunk, c.head, data); err != nil {
			return err
		}
	}
	return nil
}

// shelf keeps a few models open, with the trees of their shards: reading them again for every request takes long.
type shelf struct {
	store *shard.Store

	mu    sync.Mutex // guards books
	books map[core.ModelID]*book
}

// maxBooks is how many models are kept open.
const maxBooks = 8

// book is an open model.
type book struct {
	*shard.Model
	digest core.Digest
	stamp  time.Time // of the manifest's file
	size   int64

	mu    sync.Mutex // guards trees
	trees map[int]*shard.Tree
}

// open returns a model as it is on the disk now.
func (s *shelf) open(id core.ModelID) (*book, error) {
	info, err := os.Stat(filepath.Join(s.store.ModelDir(id), shard.ManifestFile))
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if b, ok := s.books[id]; ok && b.stamp.Equal(info.ModTime()) && b.size == info.Size() {
		return b, nil
	}
	m, err := s.store.Open(id)
	if err != nil {
		return nil, err
	}
	digest, err := m.Manifest.Digest()
	if err != nil {
		return nil, err
	}
	if s.books == nil || len(s.books) >= maxBooks {
		s.books = map[core.ModelID]*book{}
	}
	b := &book{Model: m, digest: digest, stamp: info.ModTime(), size: info.Size(), trees: map[int]*shard.Tree{}}
	s.books[id] = b
	return b, nil
}

func (b *book) tree(ctx context.Context, index int) (*shard.Tree, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if t, ok := b.trees[index]; ok {
		return t, nil
	}
	t, err := b.Tree(ctx, index)
	if err == nil {
		b.trees[index] = t
	}
	return t, err
}
