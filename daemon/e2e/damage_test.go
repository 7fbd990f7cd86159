package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// TestShardDamagedWhileOff flips a bit of a shard of a node that is off: the node does not load it, and fetches it again
// from another.
func TestShardDamagedWhileOff(t *testing.T) {
	f := launch(t, 2)
	must(t, f.nodes[1].Fetch(f.ctx, f.model, 1, 2))
	f.nodes[1].Kill()
	path := filepath.Join(f.nodes[1].Dir(), "models", f.model.String(), fmt.Sprintf("shard_%03d.bin", 2))
	text, err := os.ReadFile(path)
	must(t, err)
	text[len(text)*2/3] ^= 8
	must(t, os.WriteFile(path, text, 0o600))

	again, err := f.nodes[1].Restart(f.ctx)
	must(t, err)
	t.Cleanup(again.Kill)
	if _, err := again.LoadShard(f.ctx, f.model, 2); core.CodeOf(err) != core.CodeNotReady {
		t.Errorf("the damaged shard was loaded: %v", err)
	}
	must(t, again.Fetch(f.ctx, f.model, 2)) // by itself, if it was connected when it found out
	_, err = again.LoadShard(f.ctx, f.model, 2)
	must(t, err)
}
