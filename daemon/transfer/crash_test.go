package transfer

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/event"
	"github.com/shoal-p2p/shoal/daemon/shard"
	"github.com/shoal-p2p/shoal/daemon/store"
	"github.com/shoal-p2p/shoal/daemon/swarm/swarmtest"
)

// Variables that make the test binary fetch and kill itself, instead of running tests.
const (
	envDir    = "SHOAL_TEST_FETCH_DIR"
	envOrigin = "SHOAL_TEST_FETCH_ORIGIN"
	envAfter  = "SHOAL_TEST_FETCH_KILL"
)

// fetchAndDie fetches over two sources and kills its own process after so many chunks.
func fetchAndDie() {
	after, _ := strconv.Atoi(os.Getenv(envAfter))
	dir, from := os.Getenv(envDir), disk(os.Getenv(envOrigin))
	db, err := store.Open(context.Background(), filepath.Join(dir, "shoal.db"))
	if err != nil {
		fmt.Println(err)
		os.Exit(0)
	}
	models, _, _ := from.Scan()
	net := swarmtest.New()
	me := net.Join("me")
	both := &counted{}
	var holders []Holder
	for _, name := range []string{"a", "b"} {
		p := net.Join(name)
		go NewServer(ServerConfig{Network: p, Store: from, Log: slog.New(slog.DiscardHandler)}).Run(context.Background())
		s := &counted{Source: peerSource{me, p.Self(), nil}}
		s.each = func(int) {
			both.mu.Lock()
			defer both.mu.Unlock()
			if both.chunks = append(both.chunks, Chunk{}); len(both.chunks) == after {
				killSelf()
			}
		}
		holders = append(holders, Holder{Peer: p.Self(), Shards: all(models[0]), Source: s})
	}
	m := New(Config{
		Network: me, Models: disk(filepath.Join(dir, "models")), Store: db, Events: &event.Bus{},
		Log:     slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Holders: func(core.ModelID, core.Digest) []Holder { return holders },
	})
	fmt.Println(m.Run(context.Background()))
	os.Exit(0)
}

func killSelf() {
	p, _ := os.FindProcess(os.Getpid())
	_ = p.Kill()
	select {}
}

// TestKillAfterTheName has what a process leaves that is killed when it has just given a shard its name.
func TestKillAfterTheName(t *testing.T) {
	net := swarmtest.New()
	me, p := net.Join("me"), net.Join("p")
	serve(t, p)
	m, _ := source(t)
	c := newClient(t, t.TempDir(), me, fixed(Holder{Peer: p.Self(), Shards: all(m)}))
	stop := background(t, c.Run)
	c.add(t, 1)
	c.await(t, core.DownloadDone)
	stop()
	here, err := c.models.Open(c.id)
	if err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{".part.log", ".part.have"} {
		if err := os.WriteFile(here.Path(1)+suffix, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c.add(t, 1)
	background(t, c.Run)
	c.await(t, core.DownloadDone)
	c.same(t, 1)
}

// TestKillAndResume kills a process in the middle. Whoever comes after it fetches at most one chunk per source again.
func TestKillAndResume(t *testing.T) {
	m, _ := source(t)
	total := 0
	for _, s := range m.Manifest.Shards {
		total += shard.Chunks(s.Size)
	}
	for _, after := range []int{1, 2, 5, total / 2, total - 1} {
		t.Run(strconv.Itoa(after), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			net := swarmtest.New()
			me, p := net.Join("me"), net.Join("p")
			serve(t, p)
			s := &counted{Source: peerSource{me, p.Self(), nil}}
			c := newClient(t, dir, me, fixed(Holder{Peer: p.Self(), Shards: all(m), Source: s}))
			c.add(t)
			if err := c.cfg.Store.Close(); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), envDir+"="+dir, envOrigin+"="+filepath.Dir(m.Dir), envAfter+"="+strconv.Itoa(after))
			slow := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Signal(syscall.SIGQUIT) })
			defer slow.Stop()
			if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(err.Error(), "killed") {
				t.Fatalf("it did not kill itself: %v\n%s", err, out)
			}
			c = newClient(t, dir, me, fixed(Holder{Peer: p.Self(), Shards: all(m), Source: s}))
			background(t, c.Run)
			c.await(t, core.DownloadDone)
			c.same(t)
			if again := after + s.count() - total; again < 0 || again > 2 {
				t.Errorf("%d chunks before, %d after, of %d", after, s.count(), total)
			}
		})
	}
}
