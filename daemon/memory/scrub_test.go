package memory

import (
	"os"
	"testing"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine/fake"
	"github.com/shoal-p2p/shoal/daemon/shard"
)

// flip changes one bit in the middle of a shard.
func flip(t *testing.T, m *shard.Model, index int) {
	t.Helper()
	f, err := os.OpenFile(m.Path(index), os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	b := make([]byte, 1)
	at := m.Manifest.Reserved + m.Manifest.Shards[index].Size/2
	_, err = f.ReadAt(b, at)
	must(t, err)
	b[0] ^= 4
	_, err = f.WriteAt(b, at)
	must(t, err)
}

func TestShardDamagedWhileTheNodeWasOffIsNotLoaded(t *testing.T) {
	dir := t.TempDir()
	h := build(t, dir, fake.Config{})
	stop := h.run()
	id := h.bring("m", 0)
	for i := range layers {
		if !h.lib.Sound(t.Context(), id, i) {
			t.Errorf("shard %d does not count as sound after the import", i)
		}
	}
	stop()
	o := h.folder(id)
	flip(t, o, 2)

	h = build(t, dir, fake.Config{})
	h.run()
	if h.lib.Sound(t.Context(), id, 2) || !h.lib.Sound(t.Context(), id, 1) {
		t.Error("the shard that changed counts as sound, or another does not")
	}
	_, err := h.say("m")
	wantCode(t, err, core.CodeNotReady)
	if i := <-h.damaged; i != 2 || h.lib.HasShard(id, 2) || !h.lib.HasShard(id, 1) {
		t.Errorf("shard %d was put aside", i)
	}
	if len(h.engine.Windows()) > 0 {
		t.Error("a worker was started")
	}
	// Whoever fetches it again needs only the chunk that is damaged.
	w, err := o.NewWriter(2)
	must(t, err)
	defer w.Close()
	if n := shard.Chunks(o.Manifest.Shards[2].Size); len(w.Missing()) != 1 {
		t.Errorf("%v of %d chunks are to be fetched again", w.Missing(), n)
	}
}

func TestShardDamagedInUseIsFoundAndUnloaded(t *testing.T) {
	h := buildScrubbed(t, t.TempDir(), fake.Config{}, 20*time.Millisecond)
	h.run()
	id := h.bring("m", 0)
	if _, err := h.say("m"); err != nil {
		t.Fatal(err)
	}
	o := h.folder(id)
	flip(t, o, 1)
	if i := <-h.damaged; i != 1 {
		t.Errorf("shard %d was put aside", i)
	}
	until(t, "the model is unloaded", func() bool { return h.open() == 0 })
	if h.lib.HasShard(id, 1) || !h.lib.HasShard(id, 0) {
		t.Error("another shard is missing")
	}
}

func TestSuspectedShardIsRead(t *testing.T) {
	h := build(t, t.TempDir(), fake.Config{})
	h.run()
	id := h.bring("m", 0)
	h.lib.Suspect(id, 3) // without reason
	o := h.folder(id)
	flip(t, o, 0)
	h.lib.Suspect(id, 0)
	if i := <-h.damaged; i != 0 || !h.lib.HasShard(id, 3) {
		t.Errorf("shard %d was put aside", i)
	}
}
