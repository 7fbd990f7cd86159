package invite

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/multiformats/go-multiaddr"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/identity"
	"github.com/shoal-p2p/shoal/daemon/swarm/record"
)

func sample(t testing.TB) Invite {
	t.Helper()
	key, err := identity.Open(filepath.Join(t.TempDir(), "k"))
	if err != nil {
		t.Fatal(err)
	}
	name, err := record.PeerOf(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	i := Invite{
		NetworkKey: [32]byte{1, 2, 3}, Founder: name, Issuer: name, Expires: time.Unix(1_800_000_000, 0),
		Addresses: []multiaddr.Multiaddr{multiaddr.StringCast("/ip4/192.0.2.1/tcp/8810"), multiaddr.StringCast("/ip4/192.0.2.1/udp/8810/quic-v1")},
		Anchors:   []multiaddr.Multiaddr{multiaddr.StringCast("/dns4/example.org/tcp/8810/p2p/" + name.String())},
	}
	i.ID, i.Secret = NewID()
	return i
}

func TestCodesComeBack(t *testing.T) {
	want := sample(t)
	code, err := Encode(want)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{code, " " + code + "\n", code[:60] + "\r\n" + code[60:]} {
		got, err := Decode(text)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%+v, %v; want %+v", got, err, want)
		}
	}
	if strings.Contains(code, "192") || len(code) > 600 {
		t.Errorf("the code has %d characters or shows the address", len(code))
	}
	other, err := Encode(want)
	if err != nil || other == code {
		t.Error("two codes of one invite are the same")
	}
}

func TestEveryDamageIsFound(t *testing.T) {
	code, err := Encode(sample(t))
	if err != nil {
		t.Fatal(err)
	}
	for i := len(Scheme); i < len(code); i++ {
		b := []byte(code)
		if b[i] == 'A' {
			b[i] = 'B'
		} else {
			b[i] = 'A'
		}
		if _, err := Decode(string(b)); core.CodeOf(err) != core.CodeCorrupt {
			t.Fatalf("character %d changed: %v", i, err)
		}
		if _, err := Decode(code[:i]); core.CodeOf(err) != core.CodeCorrupt {
			t.Fatalf("cut at %d: %v", i, err)
		}
	}
}

func TestTooManyAddressesAreLeftOut(t *testing.T) {
	i := sample(t)
	for range 100 {
		i.Addresses = append(i.Addresses, i.Addresses[0])
	}
	code, err := Encode(i)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(code)
	if err != nil || len(got.Addresses) != maxAddresses {
		t.Errorf("%d addresses, %v", len(got.Addresses), err)
	}
}

func FuzzDecode(f *testing.F) {
	code, err := Encode(sample(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(code)
	f.Add(Scheme)
	f.Fuzz(func(t *testing.T, code string) { decodes(t, code) })
}

// FuzzOpened seals whatever the fuzzer thinks of, so that it gets past the seal.
func FuzzOpened(f *testing.F) {
	f.Add([]byte{10, 1, 0})
	f.Fuzz(func(t *testing.T, plain []byte) {
		code, err := seal(plain)
		if err != nil {
			t.Fatal(err)
		}
		decodes(t, code)
	})
}

// decodes checks that what is taken is within its bounds and can be written again.
func decodes(t *testing.T, code string) {
	t.Helper()
	i, err := Decode(code)
	if err != nil {
		if c := core.CodeOf(err); c != core.CodeCorrupt && c != core.CodeInvalidRequest {
			t.Fatalf("code %q: %v", c, err)
		}
		return
	}
	if len(i.Addresses) > maxAddresses || len(i.Anchors) > maxAddresses || i.Issuer.IsZero() || i.Founder.IsZero() {
		t.Fatalf("beyond its bounds: %+v", i)
	}
	if _, err := Encode(i); err != nil {
		t.Fatalf("cannot be written again: %v", err)
	}
}
