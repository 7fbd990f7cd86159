package transfer

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/gguf/gguftest"
	"github.com/shoal-p2p/shoal/daemon/identity"
	"github.com/shoal-p2p/shoal/daemon/secret"
	"github.com/shoal-p2p/shoal/daemon/shard"
	"github.com/shoal-p2p/shoal/daemon/store"
	"github.com/shoal-p2p/shoal/daemon/swarm"
)

// host starts a real node of a swarm on loopback.
func host(t testing.TB, name string) *swarm.Swarm {
	t.Helper()
	dir := t.TempDir()
	id, err := identity.Open(filepath.Join(dir, "identity.key"))
	if err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(t.Context(), filepath.Join(dir, "shoal.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	s, err := swarm.New(swarm.Config{
		Identity: id, Store: db, Listen: "127.0.0.1:0", Version: "test", NoMDNS: true, NoPortMap: true,
		Vault:    secret.Open(t.Context(), secret.Config{Dir: dir, Owner: "test", Getenv: func(string) string { return "" }}),
		Nickname: func() string { return name }, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	background(t, s.Run)
	return s
}

// friends starts a node and others that it invites.
func friends(t testing.TB, names ...string) (list []*swarm.Swarm) {
	t.Helper()
	for i, name := range names {
		s := host(t, name)
		if list = append(list, s); i == 0 {
			continue
		}
		ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
		code, err := list[0].NewInvite(ctx, 0)
		if err == nil {
			_, err = s.Join(ctx, code.Code)
		}
		if stop(); err != nil {
			t.Fatal(err)
		}
	}
	return list
}

func TestOverRealHosts(t *testing.T) {
	m, _ := source(t)
	nodes := friends(t, "me", "a", "b")
	me := nodes[0]
	var sources []*counted
	var holders []Holder
	for _, n := range nodes[1:] {
		serve(t, n)
		s := &counted{Source: peerSource{me, n.Self(), nil}}
		sources = append(sources, s)
		holders = append(holders, Holder{Peer: n.Self(), Shards: all(m), Source: s})
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
}

// TestMemoryStaysFlat watches the heap while shards of far more bytes than that come in.
func TestMemoryStaysFlat(t *testing.T) {
	m, _ := source(t)
	nodes := friends(t, "me", "a")
	serve(t, nodes[1])
	c := newClient(t, t.TempDir(), nodes[0], fixed(Holder{Peer: nodes[1].Self(), Shards: all(m)}))
	background(t, c.Run)
	heap := func() int64 {
		var s runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&s)
		return int64(s.HeapAlloc)
	}
	before, most := heap(), int64(0)
	c.add(t)
	eventually(t, "all of it", time.Minute, func() bool {
		most = max(most, heap())
		return c.state() == core.DownloadDone
	})
	if grown := most - before; grown > 16<<20 {
		t.Errorf("the heap grew by %d KiB", grown>>10)
	}
}

// large is a model of about 320 MiB.
var large = sync.OnceValues(func() (*shard.Model, error) {
	dir, err := sharedDir()
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "m.gguf")
	if err := gguftest.WriteFile(path, gguftest.Config{Layers: 8, Embedding: 1024, FeedForward: 2048}); err != nil {
		return nil, err
	}
	defer os.Remove(path)
	return disk(filepath.Join(dir, "models"), func(c *shard.Config) { c.Rule = shard.DefaultRule() }).Import(context.Background(), shard.Import{Path: path})
})

// BenchmarkTransfer brings a model over two real hosts on loopback: encrypted, proved, written, flushed and named.
func BenchmarkTransfer(b *testing.B) {
	m, size := largeModel(b)
	digest, err := m.Manifest.Digest()
	if err != nil {
		b.Fatal(err)
	}
	nodes := friends(b, "me", "a")
	serve(b, nodes[1], func(c *ServerConfig) { c.Store = disk(filepath.Dir(m.Dir)) })
	b.SetBytes(size)
	for b.Loop() {
		c := newClient(b, b.TempDir(), nodes[0], fixed(Holder{Peer: nodes[1].Self(), Shards: all(m)}), func(c *Config) { c.Log = slog.New(slog.DiscardHandler) })
		c.id, c.digest = m.Manifest.ModelID, digest
		stop := background(b, c.Run)
		c.add(b)
		c.await(b, core.DownloadDone)
		stop()
	}
}

// BenchmarkPlainCopy copies the same files over TCP on loopback and flushes them.
func BenchmarkPlainCopy(b *testing.B) {
	m, size := largeModel(b)
	b.SetBytes(size)
	for b.Loop() {
		for i := range m.Manifest.Shards {
			if err := plainCopy(m.Path(i), filepath.Join(b.TempDir(), "copy")); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func largeModel(b *testing.B) (m *shard.Model, size int64) {
	m, err := large()
	if err != nil {
		b.Fatal(err)
	}
	for _, s := range m.Manifest.Shards {
		size += s.Size
	}
	return m, size
}

// plainCopy sends a file through a TCP connection.
func plainCopy(from, to string) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer l.Close()
	sent := make(chan error, 1)
	go func() {
		sent <- func() error {
			conn, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				return err
			}
			f, err := os.Open(from)
			if err != nil {
				return errors.Join(err, conn.Close())
			}
			_, err = io.Copy(struct{ io.Writer }{conn}, struct{ io.Reader }{f}) // by hand, not by sendfile
			return errors.Join(err, f.Close(), conn.Close())
		}()
	}()
	conn, err := l.Accept()
	if err != nil {
		return err
	}
	defer conn.Close()
	f, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(struct{ io.Writer }{f}, struct{ io.Reader }{conn})
	return errors.Join(err, f.Sync(), f.Close(), <-sent)
}
