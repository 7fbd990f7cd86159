package record

import (
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/identity"
)

func someoneNew(t testing.TB) (*identity.Identity, core.PeerID) {
	t.Helper()
	key, err := identity.Open(filepath.Join(t.TempDir(), "k"))
	if err != nil {
		t.Fatal(err)
	}
	name, err := PeerOf(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return key, name
}

func TestKeyIsSealedToThoseWhoRemain(t *testing.T) {
	founder, f := someoneNew(t)
	stays, s := someoneNew(t)
	out, o := someoneNew(t)
	key := [32]byte{1, 2, 3}
	a, err := Alter(founder, Network{1}, Alteration{Number: 1, Out: o, Time: time.Now()}, key, []core.PeerID{f, s})
	if err != nil {
		t.Fatal(err)
	}
	for _, who := range []*identity.Identity{founder, stays} {
		if got, ok := a.Key(who); !ok || got != key {
			t.Errorf("a member that remains cannot read the key: %v %v", got, ok)
		}
	}
	if _, ok := a.Key(out); ok {
		t.Error("who was put out reads the new key")
	}
	if left := a.Remaining(); !left(s) || left(o) {
		t.Error("the list of who remains is wrong")
	}
	if _, err := OpenChange(Network{2}, a.Record); core.CodeOf(err) != core.CodeCorrupt {
		t.Errorf("a change of another swarm: %v", err)
	}
	forged := proto.Clone(a.Record).(*Change)
	forged.Sealed[20] ^= 1
	if _, err := OpenChange(Network{1}, forged); core.CodeOf(err) != core.CodeCorrupt {
		t.Errorf("another key list: %v", err)
	}
}

func FuzzChange(f *testing.F) {
	founder, name := someoneNew(f)
	a, err := Alter(founder, Network{1}, Alteration{Number: 1, Delegate: name, Time: time.Unix(1, 0)}, [32]byte{}, []core.PeerID{name})
	if err != nil {
		f.Fatal(err)
	}
	seed, err := proto.Marshal(a.Record)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		var c Change
		if proto.Unmarshal(data, &c) != nil {
			return
		}
		if a, err := OpenChange(Network{1}, &c); err == nil {
			a.Key(founder)
			a.Remaining()(name)
		}
	})
}
