package transfer

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/shard"
	"github.com/shoal-p2p/shoal/daemon/swarm/swarmtest"
)

// TestDiskFullInTheMiddle fetches onto a disk that is smaller than it says: the download stops with a reason, nothing
// that is not whole has a shard's name, and once there is room it goes on where it was.
func TestDiskFullInTheMiddle(t *testing.T) {
	m, _ := source(t)
	dir := t.TempDir()
	small := filepath.Join(dir, "models")
	if err := os.Mkdir(small, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", small, "tmpfs", 0, "size=20m"); err != nil {
		t.Skipf("a small disk cannot be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(small, 0); err != nil {
			t.Error(err)
		}
	})
	net := swarmtest.New()
	me, p := net.Join("me"), net.Join("p")
	serve(t, p)
	s := &counted{Source: peerSource{me, p.Self(), nil}}
	c := newClient(t, dir, me, fixed(Holder{Peer: p.Self(), Shards: all(m), Source: s}), func(cfg *Config) {
		cfg.Models = disk(small, func(sc *shard.Config) { sc.Space = func(string) (int64, error) { return 1 << 40, nil } })
	})
	stop := background(t, c.Run)
	c.add(t)
	c.await(t, core.DownloadFailed)
	for _, d := range c.List() {
		if d.Error == "" || !strings.Contains(d.Error, "full") {
			t.Errorf("the reason is %q", d.Error)
		}
	}
	got, err := c.models.Open(c.id)
	if err != nil {
		t.Fatal(err)
	}
	if damaged, err := got.Verify(t.Context(), nil); err != nil || len(damaged) > 0 || got.Complete() {
		t.Errorf("shards %v are damaged, %v; %v are here", damaged, err, got.Present())
	}
	before := s.count()
	if before < 10 {
		t.Errorf("%d chunks came before the disk was full", before)
	}

	if err := syscall.Mount("tmpfs", small, "tmpfs", syscall.MS_REMOUNT, "size=100m"); err != nil {
		t.Fatal(err)
	}
	if err := c.Resume(context.Background(), c.id); err != nil {
		t.Fatal(err)
	}
	c.await(t, core.DownloadDone)
	c.same(t)
	stop()
	total := 0
	for _, s := range m.Manifest.Shards {
		total += shard.Chunks(s.Size)
	}
	// The chunk that did not fit is fetched again, and with it what was asked for and on its way.
	if again := s.count() - total; again < 0 || again > 1+inFlight*batch {
		t.Errorf("%d chunks were fetched again: %d before, %d in all, of %d", again, before, s.count(), total)
	}
}
