package identity

import (
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shoal-p2p/shoal/daemon/core"
)

func TestKeyIsMadeOnceAndKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "identity.key")
	first, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if fi, _ := os.Stat(path); fi.Mode().Perm() != 0o600 {
		t.Errorf("key file has mode %v", fi.Mode().Perm())
	}
	second, err := Open(path)
	if err != nil || second.NodeID() != first.NodeID() || len(first.NodeID()) != 64 {
		t.Fatalf("ids %v and %v, %v", first, second, err)
	}
	message := []byte("manifest")
	sig := second.Sign(message)
	if !Verify(first.NodeID(), message, sig) {
		t.Error("the node's own signature is refused")
	}
	if Verify(first.NodeID(), []byte("other"), sig) || Verify("abc", message, sig) || Verify(first.NodeID(), message, sig[1:]) {
		t.Error("a wrong message, id or signature is accepted")
	}
}

func TestOpenClosesAnOpenKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "identity.key")
	if _, err := Open(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); err != nil {
		t.Fatal(err)
	}
	if fi, _ := os.Stat(path); fi.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, want 0600", fi.Mode().Perm())
	}
}

func TestDamagedFileIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "identity.key")
	if err := os.WriteFile(path, []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); core.CodeOf(err) != core.CodeCorrupt {
		t.Errorf("got %v, want corrupt", err)
	}
	if b, _ := os.ReadFile(path); string(b) != "garbage" {
		t.Error("the damaged file was replaced")
	}
}

func TestPrintingNeverShowsTheKey(t *testing.T) {
	id, err := Open(filepath.Join(t.TempDir(), "k"))
	if err != nil {
		t.Fatal(err)
	}
	seed := hex.EncodeToString(id.key.Seed())
	for _, verb := range []string{"%v", "%s", "%+v"} {
		if out := fmt.Sprintf(verb, id); strings.Contains(out, seed) || strings.Contains(out, fmt.Sprint(id.key.Seed()[:8])) {
			t.Errorf("%s shows the key: %s", verb, out)
		}
	}
}

func FuzzOpen(f *testing.F) {
	f.Add([]byte("-----BEGIN SHOAL IDENTITY SEED-----\nAAAA\n-----END SHOAL IDENTITY SEED-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "k")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if id, err := Open(path); err == nil && len(id.NodeID()) != 64 {
			t.Fatal("accepted a key of the wrong length")
		}
	})
}
