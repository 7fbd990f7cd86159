package record

import (
	"bytes"
	"encoding/pem"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/identity"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// fixed is an identity that is the same in every run.
func fixed(t *testing.T, seed byte) (*identity.Identity, core.PeerID) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "k")
	text := pem.EncodeToMemory(&pem.Block{Type: "SHOAL IDENTITY SEED", Bytes: bytes.Repeat([]byte{seed}, 32)})
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	key, err := identity.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	name, err := PeerOf(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return key, name
}

// golden reads testdata/v1/name, and writes it first where -update asks for that.
func golden(t *testing.T, name string, made []byte) []byte {
	t.Helper()
	path := filepath.Join("testdata", "v1", name+".bin")
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, made, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return kept
}

func goldenAnnouncement(t *testing.T) core.Announcement {
	t.Helper()
	id, err := core.ParseModelID("llama-7b")
	if err != nil {
		t.Fatal(err)
	}
	return core.Announcement{
		Sequence: 7, Time: time.UnixMilli(1_800_000_000_123), Nickname: "attic", Version: "1.0.0", Engine: "b9000", Region: "DE", GPU: "RTX", VRAMMB: 8192,
		RAMMB: 16384, Paused: true, Holdings: []core.Holding{{Model: id, Manifest: core.Digest{1, 2}, Shards: core.Bitmap{7}, Loaded: core.Bitmap{3}}},
		Speeds: []core.Speed{{Model: id, LayerTime: time.Millisecond, PrefillRow: time.Microsecond}}, Demand: []core.Demand{{Model: id, Requests: 2}},
		Addresses: []string{"/ip4/192.0.2.1/tcp/8810", "/ip4/192.0.2.1/udp/8810/quic-v1"},
	}
}

// What version 1 of the wire says stays as it is: nodes of different ages must understand each other.
func TestMessagesOfVersion1(t *testing.T) {
	key, name := fixed(t, 1)
	_, other := fixed(t, 2)
	net := Network{9}
	admitted, err := Admit(key, net, other, time.Unix(1_800_000_000, 0))
	if err != nil {
		t.Fatal(err)
	}
	told, err := Announce(key, net, goldenAnnouncement(t))
	if err != nil {
		t.Fatal(err)
	}
	place, err := PlaceOf(other, []string{"/ip4/192.0.2.1/tcp/8810"})
	if err != nil {
		t.Fatal(err)
	}
	chain := []*Signed{admitted.Record}
	for file, m := range map[string]proto.Message{
		"admission": admitted.Record, "announcement": told, "greeting": &Greeting{Members: []byte{1, 2}, Chain: chain, Clock: 1_800_000_000_123, Head: []byte{3}},
		"members":      &Members{Admissions: chain, Places: []*Place{place}, Last: true},
		"join-request": &JoinRequest{Id: []byte("0123456789abcdef"), Secret: []byte("fedcba9876543210"), Nickname: "attic"},
		"join-reply":   &JoinReply{Chain: chain}, "join-refused": &JoinReply{Code: string(core.CodeInviteUsed), Message: "used"},
		"handover-end": &Handover{Key: bytes.Repeat([]byte{5}, 32), Last: true},
	} {
		made, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if kept := golden(t, file, made); !bytes.Equal(made, kept) {
			t.Errorf("%s is written as %x, version 1 is %x", file, made, kept)
		}
		back := m.ProtoReflect().New().Interface()
		if err := proto.Unmarshal(made, back); err != nil || !proto.Equal(back, m) {
			t.Errorf("%s is read as %v, %v", file, back, err)
		}
	}
	kept, err := os.ReadFile(filepath.Join("testdata", "v1", "announcement.bin"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := Decode(kept)
	if err != nil {
		t.Fatal(err)
	}
	want := goldenAnnouncement(t)
	want.Peer = name
	if got, err := OpenAnnouncement(net, s); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("the announcement says %+v, %v; want %+v", got, err, want)
	}
}

// A change is sealed with a key that is made for it, so it is never written the same twice; what is kept is read.
func TestPutOutOfVersion1(t *testing.T) {
	founder, name := fixed(t, 1)
	stays, remains := fixed(t, 2)
	_, gone := fixed(t, 3)
	net, key, at := Network{9}, [32]byte{4, 5, 6}, time.Unix(1_800_000_000, 0)
	a, err := Alter(founder, net, Alteration{Number: 1, Out: gone, Time: at}, key, []core.PeerID{name, remains})
	if err != nil {
		t.Fatal(err)
	}
	made, err := proto.Marshal(a.Record)
	if err != nil {
		t.Fatal(err)
	}
	var kept Change
	if err := proto.Unmarshal(golden(t, "put-out", made), &kept); err != nil {
		t.Fatal(err)
	}
	got, err := OpenChange(net, &kept)
	if err != nil || got.Number != 1 || got.By != name || got.Out != gone || !got.Delegate.IsZero() || !got.Time.Equal(at) || got.KeyHash != HashKey(key) {
		t.Errorf("the change says %+v, %v", got, err)
	}
	if opened, ok := got.Key(stays); !ok || opened != key {
		t.Error("a member that remains cannot open the key")
	}
}
