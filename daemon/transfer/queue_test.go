package transfer

import (
	"errors"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/shard"
	"github.com/shoal-p2p/shoal/daemon/swarm/swarmtest"
)

// pair is a node that fetches under a cap and one that serves.
func pair(t testing.TB, dir string, perSecond int64, change ...func(*Config)) (*client, *swarmtest.Network) {
	m, _ := source(t)
	net := swarmtest.New()
	me, p := net.Join("me"), net.Join("p")
	serve(t, p)
	change = append(change, func(c *Config) { c.Download = func() int64 { return perSecond } })
	return newClient(t, dir, me, fixed(Holder{Peer: p.Self(), Shards: all(m)}), change...), net
}

func (c *client) bytes() int64 {
	for _, d := range c.List() {
		return d.DownloadedBytes
	}
	return 0
}

func TestPauseResumeCancelAndRestart(t *testing.T) {
	dir := t.TempDir()
	c, _ := pair(t, dir, 4<<20)
	stop := background(t, c.Run)
	c.add(t)
	eventually(t, "some of it", 20*time.Second, func() bool { return c.bytes() > 3<<20 && c.state() == core.DownloadRunning })
	if d := c.List()[0]; d.SpeedBytesPerSec <= 0 || d.TotalBytes <= d.DownloadedBytes || d.Shards[0].Source != "p2p" {
		t.Errorf("while it runs: %+v", d)
	}
	if err := c.Pause(t.Context(), c.id); err != nil {
		t.Fatal(err)
	}
	here := c.bytes()
	if c.state() != core.DownloadPaused || here < 3<<20 {
		t.Errorf("paused: %s with %d bytes", c.state(), here)
	}
	stop()
	if err := c.cfg.Store.Close(); err != nil {
		t.Fatal(err)
	}
	c, _ = pair(t, dir, 0)
	stop = background(t, c.Run)
	eventually(t, "the queue", 5*time.Second, func() bool { return c.state() == core.DownloadPaused })
	if c.bytes() != here {
		t.Errorf("%d bytes after a restart, %d before", c.bytes(), here)
	}
	if err := c.Resume(t.Context(), c.id); err != nil {
		t.Fatal(err)
	}
	c.await(t, core.DownloadDone)
	c.same(t)
	if err := c.Cancel(t.Context(), c.id); err != nil || len(c.List()) != 0 {
		t.Errorf("cancel when done: %v, %v", err, c.List())
	}
	c.same(t)
	for name, err := range map[string]error{"pause": c.Pause(t.Context(), c.id), "resume": c.Resume(t.Context(), c.id), "cancel": c.Cancel(t.Context(), c.id)} {
		if core.CodeOf(err) != core.CodeNotFound {
			t.Errorf("%s of nothing: %v", name, err)
		}
	}
	stop()
}

func TestCancelRemovesParts(t *testing.T) {
	c, _ := pair(t, t.TempDir(), 2<<20)
	background(t, c.Run)
	c.add(t)
	eventually(t, "some of it", 20*time.Second, func() bool { return c.bytes() > 1<<20 && c.state() == core.DownloadRunning })
	if err := c.Cancel(t.Context(), c.id); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(c.models.ModelDir(c.id), "*.part*")); len(left) > 0 || len(c.List()) > 0 {
		t.Errorf("left behind: %v, %v", left, c.List())
	}
}

func TestAddWhileItRuns(t *testing.T) {
	c, _ := pair(t, t.TempDir(), 0)
	background(t, c.Run)
	c.add(t, 1)
	c.add(t, 0)
	c.add(t, 0)
	eventually(t, "both", 20*time.Second, func() bool { return c.state() == core.DownloadDone && len(c.List()[0].Shards) == 2 })
	c.same(t, 0, 1)
	c.add(t, 999)
	eventually(t, "a shard that is not there", 20*time.Second, func() bool { return c.state() == core.DownloadFailed })
	if err := c.Add(t.Context(), c.id, core.Digest{7}, nil, "test"); core.CodeOf(err) != core.CodeConflict {
		t.Errorf("another cut: %v", err)
	}
	if err := c.Add(t.Context(), c.id, c.digest, []int{-2}, "test"); core.CodeOf(err) != core.CodeInvalidRequest {
		t.Errorf("shard -2: %v", err)
	}
}

func TestNoRoom(t *testing.T) {
	full := func(c *Config) {
		c.Models = disk(filepath.Join(t.TempDir(), "models"), func(s *shard.Config) { s.Space = func(string) (int64, error) { return 70 << 20, nil } })
	}
	quota := func(c *Config) { c.Quota, c.Used = func() int64 { return 20 << 20 }, func() int64 { return 0 } }
	taken := func(c *Config) { c.Quota, c.Used = func() int64 { return 1 << 40 }, func() int64 { return 1<<40 - 1 } }
	broken := func(c *Config) {
		c.Models = disk(filepath.Join(t.TempDir(), "models"), func(s *shard.Config) { s.Space = func(string) (int64, error) { return 0, errors.New("no disk") } })
	}
	for name, change := range map[string]func(*Config){"disk": full, "quota": quota, "taken": taken, "broken": broken} {
		c, _ := pair(t, t.TempDir(), 0, change)
		background(t, c.Run)
		c.add(t)
		eventually(t, name, 20*time.Second, func() bool { return c.state() == core.DownloadFailed || c.state() == core.DownloadDone })
		if d := c.List()[0]; d.Error == "" || d.DownloadedBytes != 0 {
			t.Errorf("%s: %+v", name, d)
		}
		if p, _ := c.Progress(c.id); p.State != "failed" || p.Message == "" {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

// TestCaps measures by a virtual clock how long things take.
func TestCaps(t *testing.T) {
	m, _ := source(t)
	size := m.Manifest.Shards[0].Size + m.Manifest.HeaderSize
	const perSecond = 512 << 10
	want := time.Duration(float64(size) / perSecond * float64(time.Second))
	for name, c := range map[string]struct {
		up, down, lan bool
		limited       bool
	}{
		"upload":       {up: true, limited: true},
		"download":     {down: true, limited: true},
		"both":         {up: true, down: true, limited: true},
		"upload LAN":   {up: true, lan: true},
		"download LAN": {down: true, lan: true},
		"none":         {},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				net := swarmtest.New()
				me, p := net.Join("me"), net.Join("p")
				rate := func(on bool) func() int64 {
					return func() int64 {
						if on {
							return perSecond
						}
						return 0
					}
				}
				serve(t, p, func(s *ServerConfig) {
					s.Upload, s.LAN = rate(c.up), func(core.PeerID) bool { return c.lan }
				})
				synctest.Wait()
				node := newClient(t, t.TempDir(), me, fixed(Holder{Peer: p.Self(), LAN: c.lan, Shards: all(m)}), func(cfg *Config) { cfg.Download = rate(c.down) })
				stop := background(t, node.Run)
				began := time.Now()
				node.add(t, 0)
				node.await(t, core.DownloadDone)
				took := time.Since(began)
				stop()
				if c.limited && (took < want*9/10 || took > want*13/10) || !c.limited && took > 3*time.Second {
					t.Errorf("took %s for %d bytes; the cap asks for %s", took, size, want)
				}
			})
		})
	}
}

// TestStalledSourceIsReplaced suspends the only source in use; another takes over.
func TestStalledSourceIsReplaced(t *testing.T) {
	m, _ := source(t)
	synctest.Test(t, func(t *testing.T) {
		net := swarmtest.New()
		me := net.Join("me")
		var holders []Holder
		for _, name := range []string{"a", "b"} {
			p := net.Join(name)
			serve(t, p)
			holders = append(holders, Holder{Peer: p.Self(), Shards: all(m)})
		}
		synctest.Wait()
		c := newClient(t, t.TempDir(), me, fixed(holders...), func(cfg *Config) { cfg.Download = func() int64 { return 1 << 20 } })
		stop := background(t, c.Run)
		began := time.Now()
		c.add(t)
		eventually(t, "the beginning", time.Minute, func() bool { return c.bytes() > 4<<20 })
		net.Stall("a")
		c.await(t, core.DownloadDone)
		c.same(t)
		stop()
		if took := time.Since(began); took > 50*time.Second {
			t.Errorf("took %s", took)
		}
	})
}

// TestSlowSourceIsReplaced has one source behind a very slow line and one that appears later.
func TestSlowSourceIsReplaced(t *testing.T) {
	m, _ := source(t)
	synctest.Test(t, func(t *testing.T) {
		net := swarmtest.New()
		me, slow, fast := net.Join("me"), net.Join("slow"), net.Join("fast")
		serve(t, slow, func(c *ServerConfig) { c.Upload = func() int64 { return 8 << 10 } })
		serve(t, fast)
		synctest.Wait()
		holders := []Holder{{Peer: slow.Self(), Shards: all(m)}}
		began := time.Now()
		c := newClient(t, t.TempDir(), me, func() []Holder {
			if time.Since(began) > 10*time.Second {
				return append(holders, Holder{Peer: fast.Self(), Shards: all(m)})
			}
			return holders
		})
		// The manifest and header would take long from the slow one; they are here already.
		text, header := parcel(t)
		if _, err := c.models.Adopt(text, header); err != nil {
			t.Fatal(err)
		}
		stop := background(t, c.Run)
		c.add(t)
		eventually(t, "all of it", 10*time.Minute, func() bool { return c.state() == core.DownloadDone })
		c.same(t)
		stop()
		if took := time.Since(began); took > 40*time.Second {
			t.Errorf("took %s", took)
		}
	})
}

// TestSourcesComeLater adds a download that nobody can serve yet.
func TestSourcesComeLater(t *testing.T) {
	m, _ := source(t)
	synctest.Test(t, func(t *testing.T) {
		net := swarmtest.New()
		me, p := net.Join("me"), net.Join("p")
		serve(t, p)
		began := time.Now()
		c := newClient(t, t.TempDir(), me, func() []Holder {
			if time.Since(began) > time.Minute {
				return []Holder{{Peer: p.Self(), Shards: all(m)}}
			}
			return []Holder{{Peer: me.Self(), Shards: all(m)}, {Peer: swarmtest.ID("gone"), Shards: all(m)}}
		})
		stop := background(t, c.Run)
		c.add(t)
		time.Sleep(50 * time.Second)
		if p, _ := c.Progress(c.id); c.state() != core.DownloadQueued || p.Message == "" {
			t.Errorf("while nobody has it: %s, %+v", c.state(), p)
		}
		c.await(t, core.DownloadDone)
		c.same(t)
		stop()
	})
}
