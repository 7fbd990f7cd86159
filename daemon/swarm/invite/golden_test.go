package invite

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/multiformats/go-multiaddr"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/swarm/record"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func nameOf(t *testing.T, seed byte) core.PeerID {
	t.Helper()
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
	name, err := record.PeerOf(key.Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// A code of version 1 is read the same by every later one. Each is sealed with a key of its own, so it is only read.
func TestCodeOfVersion1(t *testing.T) {
	id := bytes.Repeat([]byte{7}, idSize)
	want := Invite{
		Network: record.Network{8}, NetworkKey: [32]byte{1, 2, 3}, Founder: nameOf(t, 1), Issuer: nameOf(t, 2), Expires: time.Unix(1_800_000_000, 0),
		Addresses: []multiaddr.Multiaddr{multiaddr.StringCast("/ip4/192.0.2.1/tcp/8810"), multiaddr.StringCast("/ip4/192.0.2.1/udp/8810/quic-v1")},
		Anchors:   []multiaddr.Multiaddr{multiaddr.StringCast("/dns4/example.org/tcp/8810/p2p/" + nameOf(t, 3).String())},
		ID:        hex.EncodeToString(id), Secret: Secret(bytes.Repeat([]byte{6}, idSize)),
	}
	path := filepath.Join("testdata", "v1", "invite.txt")
	if *update {
		code, err := Encode(want)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(code+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	code, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Decode(strings.TrimSpace(string(code))); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
}
