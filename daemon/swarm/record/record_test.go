package record

import (
	"bytes"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/identity"
)

func newKey(t testing.TB) (*identity.Identity, core.PeerID) {
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

func TestNameAndKeyOfAPeer(t *testing.T) {
	key, name := newKey(t)
	got, err := KeyOf(name)
	if err != nil || !bytes.Equal(got, key.Public()) {
		t.Errorf("key %x, %v", got, err)
	}
	other, err := core.ParsePeerID("QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := KeyOf(other); core.CodeOf(err) != core.CodeInvalidRequest {
		t.Errorf("a name without a key: %v", err)
	}
}

// What one kind of statement says must not pass for another kind or another swarm.
func TestStatementsAreNotInterchangeable(t *testing.T) {
	key, name := newKey(t)
	net := Network{1}
	a, err := Admit(key, net, name, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenAnnouncement(net, a.Record); err == nil {
		t.Error("an admission passes for an announcement")
	}
	if _, err := OpenAdmission(Network{2}, a.Record); err == nil {
		t.Error("an admission passes in another swarm")
	}
	s, err := Announce(key, net, core.Announcement{Sequence: 1, Time: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenAdmission(net, s); err == nil {
		t.Error("an announcement passes for an admission")
	}
	s.Payload = append(s.Payload, 0)
	if _, err := OpenAnnouncement(net, s); err == nil {
		t.Error("a changed announcement passes")
	}
}

// The largest announcement a node can make fits its bound, or is refused before it is sent.
func TestLargeAnnouncements(t *testing.T) {
	key, _ := newKey(t)
	a := core.Announcement{Time: time.Now()}
	for i := range 2 * maxModels {
		id, err := core.ParseModelID("model-" + strings.Repeat("x", 20) + string(rune('a'+i%26)))
		if err != nil {
			t.Fatal(err)
		}
		a.Holdings = append(a.Holdings, core.Holding{Model: id, Shards: core.Bitmap{1}, Loaded: core.Bitmap{1}})
	}
	s, err := Announce(key, Network{}, a)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := OpenAnnouncement(Network{}, s); err != nil || len(got.Holdings) != maxModels {
		t.Errorf("%d holdings, %v", len(got.Holdings), err)
	}
	for i := range a.Holdings {
		a.Holdings[i].Shards = make(core.Bitmap, maxWords)
		for w := range a.Holdings[i].Shards {
			a.Holdings[i].Shards[w] = 1
		}
	}
	if _, err := Announce(key, Network{}, a); core.CodeOf(err) != core.CodeTooLarge {
		t.Errorf("an announcement of 150 KiB: %v", err)
	}
}

// Of more than fits, a node tells what is in memory and what is asked for.
func TestAnnouncementsAreMadeToFit(t *testing.T) {
	key, _ := newKey(t)
	a := core.Announcement{Time: time.Now(), Nickname: "n"}
	for i := range 200 {
		id, err := core.ParseModelID(fmt.Sprintf("model-%03d", i))
		if err != nil {
			t.Fatal(err)
		}
		h := core.Holding{Model: id, Shards: slices.Repeat(core.Bitmap{1}, maxWords)}
		if i == 199 {
			h.Loaded = core.Bitmap{1}
		}
		a.Holdings = append(a.Holdings, h)
		a.Speeds = append(a.Speeds, core.Speed{Model: id, LayerTime: 1})
	}
	loaded, wanted := a.Holdings[199].Model, a.Holdings[150].Model
	a.Demand = []core.Demand{{Model: wanted, Requests: 2}}
	fit, left := Fit(a, map[core.ModelID]int{wanted: 2})
	if len(fit.Holdings)+left != 200 || left == 0 || fit.Holdings[0].Model != loaded || fit.Holdings[1].Model != wanted ||
		fit.Holdings[2].Model != a.Holdings[0].Model || fit.Speeds[0].Model != loaded || fit.Nickname != "n" {
		t.Errorf("told %d, left %d, first %v", len(fit.Holdings), left, fit.Holdings[:3])
	}
	s, err := Announce(key, Network{}, fit)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Payload) < MaxSize-1000 {
		t.Errorf("only %d bytes are used", len(s.Payload))
	}
	got, err := OpenAnnouncement(Network{}, s)
	if err != nil || !reflect.DeepEqual(got.Holdings, fit.Holdings) || !reflect.DeepEqual(got.Speeds, fit.Speeds) {
		t.Errorf("read back: %v", err)
	}
	slices.Reverse(a.Holdings)
	if again, _ := Fit(a, map[core.ModelID]int{wanted: 2}); !reflect.DeepEqual(again.Holdings, fit.Holdings) {
		t.Error("another order of the same holdings tells others")
	}
	a.Holdings = a.Holdings[:10]
	if all, left := Fit(a, nil); left != 0 || !reflect.DeepEqual(all, a) {
		t.Error("what fits is changed")
	}
}

func TestAddressesAreBounded(t *testing.T) {
	_, name := newKey(t)
	many := append(slices.Repeat([]string{"/ip4/1.2.3.4/udp/8810/quic-v1"}, maxPlaces), "/ip4/9.9.9.9/tcp/1")
	p, err := PlaceOf(name, append([]string{"nonsense"}, many...))
	if err != nil {
		t.Fatal(err)
	}
	if id, at, err := OpenPlace(p); err != nil || id != name || !slices.Equal(at, many[:maxPlaces-1]) {
		t.Errorf("%s at %q, %v", id, at, err)
	}
	p.Addresses = append(p.Addresses, p.Addresses...)
	if _, _, err := OpenPlace(p); core.CodeOf(err) != core.CodeCorrupt {
		t.Errorf("too many addresses: %v", err)
	}
}

func FuzzPlace(f *testing.F) {
	_, name := newKey(f)
	p, err := PlaceOf(name, []string{"/ip4/1.2.3.4/udp/8810/quic-v1"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(p.Member, p.Addresses[0])
	f.Add(p.Member, []byte{})
	f.Fuzz(func(t *testing.T, member, address []byte) {
		id, at, err := OpenPlace(&Place{Member: member, Addresses: [][]byte{address}})
		if err != nil {
			return
		}
		again, err := PlaceOf(id, at)
		if err != nil || !bytes.Equal(again.Member, member) {
			t.Fatalf("read as %s at %q, which cannot be written: %v", id, at, err)
		}
	})
}

func TestTextsOfStrangersArePlain(t *testing.T) {
	for in, want := range map[string]string{
		"Anna's PC": "Anna's PC", "a\x1b[31mb\n": "a[31mb", "left\u202eright": "leftright", "\xff\xfe": "",
		strings.Repeat("ä", 100): strings.Repeat("ä", 64), "zero\u200bwidth": "zerowidth",
	} {
		if got := Plain(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// sealed signs whatever the fuzzer thinks of, so that it gets past the signature.
func sealed(t testing.TB, key *identity.Identity, k kind, payload []byte) *Signed {
	t.Helper()
	return &Signed{PublicKey: key.Public(), Payload: payload, Signature: key.Sign(signedText(k, Network{}, payload))}
}

func FuzzAnnouncement(f *testing.F) {
	key, _ := newKey(f)
	id, err := core.ParseModelID("m")
	if err != nil {
		f.Fatal(err)
	}
	s, err := Announce(key, Network{}, core.Announcement{
		Sequence: 3, Time: time.Now(), Nickname: "n", Holdings: []core.Holding{{Model: id, Shards: core.Bitmap{5}}},
		Speeds: []core.Speed{{Model: id, LayerTime: 1}}, Demand: []core.Demand{{Model: id, Requests: 1}},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(s.Payload)
	f.Fuzz(func(t *testing.T, payload []byte) {
		a, err := OpenAnnouncement(Network{}, sealed(t, key, announcement, payload))
		if err != nil {
			return
		}
		if len(a.Holdings) > maxModels || len(a.Speeds) > maxModels || len(a.Demand) > maxModels || utf8.RuneCountInString(a.Nickname) > maxText || a.VRAMMB < 0 {
			t.Fatalf("beyond its bounds: %+v", a)
		}
		for _, h := range a.Holdings {
			if len(h.Shards) > maxWords || h.Model.IsZero() {
				t.Fatalf("holding beyond its bounds: %+v", h)
			}
		}
		if _, err := Announce(key, Network{}, a); err != nil && core.CodeOf(err) != core.CodeTooLarge {
			t.Fatalf("cannot be written again: %v", err)
		}
	})
}

func FuzzAdmission(f *testing.F) {
	key, name := newKey(f)
	a, err := Admit(key, Network{}, name, time.Now())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(a.Record.Payload)
	f.Fuzz(func(t *testing.T, payload []byte) {
		a, err := OpenAdmission(Network{}, sealed(t, key, admission, payload))
		if err == nil && (a.Member.IsZero() || a.Issuer != name) {
			t.Fatalf("names nobody: %+v", a)
		}
	})
}

func FuzzDecode(f *testing.F) {
	key, name := newKey(f)
	a, err := Admit(key, Network{}, name, time.Now())
	if err != nil {
		f.Fatal(err)
	}
	data, err := Encode(a.Record)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Decode(data)
		if err != nil {
			return
		}
		again, err := Encode(s)
		if err != nil {
			t.Fatal(err)
		}
		back, err := Decode(again)
		if err != nil || !proto.Equal(s, back) {
			t.Fatalf("another statement after writing it again: %v", err)
		}
	})
}
