package transfer

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/event"
	"github.com/shoal-p2p/shoal/daemon/gguf/gguftest"
	"github.com/shoal-p2p/shoal/daemon/shard"
	"github.com/shoal-p2p/shoal/daemon/store"
	"github.com/shoal-p2p/shoal/daemon/swarm/swarmtest"
)

func TestMain(m *testing.M) {
	if os.Getenv(envDir) != "" {
		fetchAndDie()
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(cleanUp),
		goleak.IgnoreTopFunction("github.com/ipfs/go-log/v2/writer.(*MirrorWriter).logRoutine"),
		goleak.IgnoreTopFunction("go.opencensus.io/stats/view.(*worker).start"))
}

// made are the folders of models that tests share.
var made struct {
	sync.Mutex
	dirs []string
}

// sharedDir makes a folder that is removed when all tests are through.
func sharedDir() (string, error) {
	made.Lock()
	defer made.Unlock()
	dir, err := os.MkdirTemp("", "shoal-transfer-")
	made.dirs = append(made.dirs, dir)
	return dir, err
}

func cleanUp(code int) {
	for _, dir := range made.dirs {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

// signer is a fixed identity.
type signer struct{ ed25519.PrivateKey }

func (s signer) Public() ed25519.PublicKey { return s.PrivateKey.Public().(ed25519.PublicKey) }
func (s signer) Sign(m []byte) []byte      { return ed25519.Sign(s.PrivateKey, m) }

func disk(dir string, change ...func(*shard.Config)) *shard.Store {
	c := shard.Config{
		Dir: dir, Key: signer{ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))},
		Rule: shard.Rule{Number: 1, ShardSize: 6 << 20, MinShards: 1},
	}
	for _, f := range change {
		f(&c)
	}
	return shard.NewStore(c)
}

// origin is a model of about 40 MiB in several shards of several chunks, made once.
var origin = sync.OnceValues(func() (*shard.Model, error) {
	dir, err := sharedDir()
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "m.gguf")
	if err := gguftest.WriteFile(path, gguftest.Config{Layers: 4, Embedding: 512, FeedForward: 1024}); err != nil {
		return nil, err
	}
	return disk(filepath.Join(dir, "models")).Import(context.Background(), shard.Import{Path: path})
})

// source returns the model's folder and its digest.
func source(t testing.TB) (*shard.Model, core.Digest) {
	t.Helper()
	m, err := origin()
	if err != nil {
		t.Fatal(err)
	}
	d, err := m.Manifest.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Manifest.Shards) < 3 || shard.Chunks(m.Manifest.Shards[0].Size) < 4 {
		t.Fatalf("the model has %d shards, the first of %d chunks", len(m.Manifest.Shards), shard.Chunks(m.Manifest.Shards[0].Size))
	}
	return m, d
}

func all(m *shard.Model) (b core.Bitmap) {
	for i := range m.Manifest.Shards {
		b = b.With(i)
	}
	return b
}

// serve makes a peer give what is in the origin's folder, until the test ends.
func serve(t testing.TB, n core.Network, change ...func(*ServerConfig)) {
	t.Helper()
	m, _ := source(t)
	cfg := ServerConfig{Network: n, Store: disk(filepath.Dir(m.Dir)), Log: slog.New(slog.DiscardHandler)}
	for _, f := range change {
		f(&cfg)
	}
	background(t, NewServer(cfg).Run)
}

// background runs a service until the test ends or the function returned is called.
func background(t testing.TB, run func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := run(ctx); err != nil {
			t.Error(err)
		}
	}()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return stop
}

// client is a node that fetches.
type client struct {
	*Manager
	dir    string
	models *shard.Store
	id     core.ModelID
	digest core.Digest

	mu         sync.Mutex // guards the rest
	reports    map[core.PeerID][]core.Conduct
	arrived    []int
	introduced int // times that the manifest came
}

// newClient makes a Manager that does not run yet.
func newClient(t testing.TB, dir string, network core.Network, holders func() []Holder, change ...func(*Config)) *client {
	t.Helper()
	m, d := source(t)
	db, err := store.Open(context.Background(), filepath.Join(dir, "shoal.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	c := &client{dir: dir, id: m.Manifest.ModelID, digest: d, reports: map[core.PeerID][]core.Conduct{}, models: disk(filepath.Join(dir, "models"))}
	cfg := Config{
		Network: network, Models: c.models, Store: db, Events: &event.Bus{},
		Log:     slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})),
		Holders: func(core.ModelID, core.Digest) []Holder { return holders() },
		Report: func(p core.PeerID, a core.Conduct) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.reports[p] = append(c.reports[p], a)
		},
		Done: func(_ core.ModelID, index int) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.arrived = append(c.arrived, index)
		},
		Introduced: func(core.ModelID) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.introduced++
		},
	}
	for _, f := range change {
		f(&cfg)
	}
	c.Manager = New(cfg)
	return c
}

func (c *client) add(t testing.TB, shards ...int) {
	t.Helper()
	if err := c.Add(context.Background(), c.id, c.digest, shards, "test"); err != nil {
		t.Fatal(err)
	}
}

// state is that of the only download.
func (c *client) state() string {
	for _, d := range c.List() {
		return d.State
	}
	return ""
}

// await polls until the download has a state.
func (c *client) await(t testing.TB, state string) {
	t.Helper()
	eventually(t, state, 10*time.Minute, func() bool { return c.state() == state })
}

func eventually(t testing.TB, what string, within time.Duration, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("%s: not within %s", what, within)
		}
	}
}

// same checks that shards are here and are those of the origin.
func (c *client) same(t testing.TB, shards ...int) {
	t.Helper()
	want, _ := source(t)
	m, err := c.models.Open(c.id)
	if err != nil {
		t.Fatal(err)
	}
	if len(shards) == 0 {
		for i := range want.Manifest.Shards {
			shards = append(shards, i)
		}
	}
	if got := m.Present(); !slices.Equal(got, shards) {
		t.Errorf("shards %v are here, want %v", got, shards)
	}
	for _, i := range shards {
		a, err := os.ReadFile(want.Path(i))
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(m.Path(i))
		if err != nil || !bytes.Equal(a[m.Manifest.Reserved:], b[m.Manifest.Reserved:]) {
			t.Errorf("shard %d is another: %v", i, err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(m.Dir, "*.part*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func (c *client) reported(peer core.PeerID) []core.Conduct {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.reports[peer])
}

func bits(indexes ...int) (b core.Bitmap) {
	for _, i := range indexes {
		b = b.With(i)
	}
	return b
}

func fixed(list ...Holder) func() []Holder { return func() []Holder { return slices.Clone(list) } }

// counted is a source that counts its chunks.
type counted struct {
	Source
	mu     sync.Mutex
	asked  []int // the shard of each request
	chunks []Chunk
	each   func(n int)
}

func (c *counted) Open(ctx context.Context) (Session, error) {
	s, err := c.Source.Open(ctx)
	return countedSession{s, c}, err
}

func (c *counted) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.chunks)
}

type countedSession struct {
	Session
	*counted
}

func (s countedSession) Ask(model core.ModelID, manifest core.Digest, index, first, count int) error {
	s.mu.Lock()
	s.asked = append(s.asked, index)
	s.mu.Unlock()
	return s.Session.Ask(model, manifest, index, first, count)
}

func (s countedSession) Next() (Chunk, error) {
	c, err := s.Session.Next()
	if err == nil {
		s.mu.Lock()
		s.chunks = append(s.chunks, Chunk{Index: c.Index})
		n := len(s.chunks)
		s.mu.Unlock()
		if s.each != nil {
			s.each(n)
		}
	}
	return c, err
}

func TestFetchFromSeveral(t *testing.T) {
	m, _ := source(t)
	last := len(m.Manifest.Shards) - 1
	for name, shards := range map[string][]core.Bitmap{
		"one":               {all(m)},
		"two with all":      {all(m), all(m)},
		"three with parts":  {bits(0, 1), bits(1, 2), all(m)},
		"none has them all": {bits(0, 2), all(m)[:1]},
	} {
		t.Run(name, func(t *testing.T) {
			net := swarmtest.New()
			me := net.Join("me")
			var holders []Holder
			var sources []*counted
			for i, b := range shards {
				p := net.Join("p" + string(rune('a'+i)))
				serve(t, p)
				s := &counted{Source: peerSource{me, p.Self(), nil}}
				sources = append(sources, s)
				holders = append(holders, Holder{Peer: p.Self(), Shards: b, Source: s})
			}
			c := newClient(t, t.TempDir(), me, fixed(holders...))
			background(t, c.Run)
			c.add(t)
			c.await(t, core.DownloadDone)
			c.same(t)
			for i, s := range sources {
				if s.count() == 0 {
					t.Errorf("source %d was not used", i)
				}
			}
			if p, ok := c.Progress(c.id); !ok || p.State != admin.StatusReady || p.DownloadedShards != last+1 || p.Progress != 1 {
				t.Errorf("progress %+v", p)
			}
			c.mu.Lock()
			defer c.mu.Unlock()
			if slices.Sort(c.arrived); len(c.arrived) != last+1 || c.introduced != 1 {
				t.Errorf("told of %v, and %d times of the model", c.arrived, c.introduced)
			}
		})
	}
}

func TestRarestFirst(t *testing.T) {
	m, _ := source(t)
	net := swarmtest.New()
	me, p := net.Join("me"), net.Join("p")
	serve(t, p)
	s := &counted{Source: peerSource{me, p.Self(), nil}}
	// Others have all but the last shard, and do not answer.
	last := len(m.Manifest.Shards) - 1
	rest := bits(0)
	for i := range last {
		rest = rest.With(i)
	}
	c := newClient(t, t.TempDir(), me, fixed(Holder{Peer: p.Self(), Shards: all(m), Source: s}, Holder{Peer: swarmtest.ID("gone"), Shards: rest}))
	background(t, c.Run)
	c.add(t)
	c.await(t, core.DownloadDone)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asked[0] != last { // a shard that is complete is checked beside the next, which may overtake it
		t.Errorf("shards were asked for as %v; the rarest is %d", s.asked, last)
	}
}

func TestNearBeforeFar(t *testing.T) {
	m, _ := source(t)
	net := swarmtest.New()
	me, near, far := net.Join("me"), net.Join("near"), net.Join("far")
	serve(t, near)
	serve(t, far)
	c := newClient(t, t.TempDir(), me, fixed(Holder{Peer: far.Self(), Shards: all(m)}, Holder{Peer: near.Self(), LAN: true, Shards: all(m)}))
	background(t, c.Run)
	c.add(t)
	c.await(t, core.DownloadDone)
	c.same(t)
	if near.Streams() == 0 || far.Streams() != 0 {
		t.Errorf("%d streams to the near one, %d to the far one", near.Streams(), far.Streams())
	}
}

// parcel is the manifest and header of the origin.
func parcel(t testing.TB) (manifest, header []byte) {
	t.Helper()
	m, _ := source(t)
	manifest, err := m.Manifest.Encode()
	if err != nil {
		t.Fatal(err)
	}
	header, err = os.ReadFile(filepath.Join(m.Dir, shard.HeaderFile))
	if err != nil {
		t.Fatal(err)
	}
	return manifest, header
}
