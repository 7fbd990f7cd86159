package transfer

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/swarm/swarmtest"
)

// TestDamagedDiskIsNotServed has a source whose disk damaged a chunk: it does not send that as good, and is not blamed.
func TestDamagedDiskIsNotServed(t *testing.T) {
	m, _ := source(t)
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, m.Manifest.ModelID.String()), os.DirFS(m.Dir)); err != nil {
		t.Fatal(err)
	}
	damaged := filepath.Join(dir, m.Manifest.ModelID.String(), filepath.Base(m.Path(1)))
	text, err := os.ReadFile(damaged)
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)/2] ^= 1
	if err := os.WriteFile(damaged, text, 0o600); err != nil {
		t.Fatal(err)
	}
	net := swarmtest.New()
	me, bad, good := net.Join("me"), net.Join("bad"), net.Join("good")
	found := make(chan int, 100)
	serve(t, bad, func(c *ServerConfig) {
		c.Store = disk(dir)
		c.Sound = func(_ context.Context, _ core.ModelID, index int) bool { return index != 1 }
		c.Damaged = func(_ core.ModelID, index int) { found <- index }
	})
	serve(t, good)
	// The good one has only the damaged shard.
	c := newClient(t, t.TempDir(), me, fixed(Holder{Peer: bad.Self(), LAN: true, Shards: all(m)}, Holder{Peer: good.Self(), Shards: bits(1)}))
	background(t, c.Run)
	c.add(t)
	c.await(t, core.DownloadDone)
	c.same(t)
	if i := <-found; i != 1 {
		t.Errorf("shard %d was found damaged", i)
	}
	if r := c.reported(bad.Self()); len(r) > 0 {
		t.Errorf("the source was reported: %v", r)
	}
}
