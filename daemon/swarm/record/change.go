package record

import (
	"crypto/ed25519"
	"crypto/sha256"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/identity"
)

// change is the kind of statement by which the founder, or whom it named, changes who belongs.
const change kind = "shoal change 1\n"

// Alteration is one change of a swarm: somebody is put out and the others get a new network key, or somebody is named
// who may do that too. Each names the one before it, so they form one row.
type Alteration struct {
	Number   uint64 // from 1 on
	Previous [32]byte
	By       core.PeerID
	Out      core.PeerID // zero when nobody is put out
	Delegate core.PeerID // zero when nobody is named
	Time     time.Time
	KeyHash  [32]byte // of the network key from here on
	Hash     [32]byte // of this one
	Record   *Change
}

// HashKey is what a change tells of the new network key.
func HashKey(key [32]byte) [32]byte {
	return sha256.Sum256(append([]byte("shoal network key 1\n"), key[:]...))
}

// Alter signs a change. key is the network key from then on, and it is sealed to members.
func Alter(by *identity.Identity, net Network, a Alteration, key [32]byte, members []core.PeerID) (Alteration, error) {
	ephemeral, sealed, err := sealTo(key, members)
	if err != nil {
		return Alteration{}, err
	}
	keyHash, sealedHash := HashKey(key), sha256.Sum256(sealed)
	body := &ChangeBody{
		Number: a.Number, Previous: a.Previous[:], Time: a.Time.Unix(), Ephemeral: ephemeral, SealedHash: sealedHash[:], KeyHash: keyHash[:],
	}
	if !a.Out.IsZero() {
		if body.Out, err = KeyOf(a.Out); err != nil {
			return Alteration{}, err
		}
	}
	if !a.Delegate.IsZero() {
		if body.Delegate, err = KeyOf(a.Delegate); err != nil {
			return Alteration{}, err
		}
	}
	s, err := sign(by, change, net, body)
	if err != nil {
		return Alteration{}, err
	}
	return OpenChange(net, &Change{Statement: s, Sealed: sealed})
}

// OpenChange checks the signature and the form of a change. Whether its author may make it is for the caller to know.
// The error has code CodeCorrupt.
func OpenChange(net Network, c *Change) (Alteration, error) {
	var body ChangeBody
	by, err := verify(c.GetStatement(), change, net, &body)
	if err != nil {
		return Alteration{}, err
	}
	sealed := sha256.Sum256(c.Sealed)
	if len(c.Sealed) > maxSealed || len(c.Sealed)%entrySize != 0 || string(sealed[:]) != string(body.SealedHash) ||
		len(body.Previous) != 32 || len(body.KeyHash) != 32 || len(body.Ephemeral) != 32 || body.Number == 0 ||
		(len(body.Out) == 0) == (len(body.Delegate) == 0) {
		return Alteration{}, core.Errorf(core.CodeCorrupt, "a change of the swarm by %s is malformed", by)
	}
	a := Alteration{
		Number: body.Number, Previous: [32]byte(body.Previous), By: by, Time: time.Unix(body.Time, 0), KeyHash: [32]byte(body.KeyHash),
		Hash: sha256.Sum256(c.Statement.Payload), Record: c,
	}
	if a.Out, err = someone(body.Out); err != nil {
		return Alteration{}, err
	}
	a.Delegate, err = someone(body.Delegate)
	return a, err
}

func someone(key []byte) (core.PeerID, error) {
	if len(key) == 0 {
		return core.PeerID{}, nil
	}
	if len(key) != ed25519.PublicKeySize {
		return core.PeerID{}, core.Errorf(core.CodeCorrupt, "a change of the swarm names nobody")
	}
	return PeerOf(key)
}

// Key opens the network key that a change sealed to a member.
func (a Alteration) Key(self *identity.Identity) (key [32]byte, ok bool) {
	name, err := PeerOf(self.Public())
	var body ChangeBody
	if err != nil || proto.Unmarshal(a.Record.Statement.Payload, &body) != nil {
		return key, false
	}
	key, ok = unseal(self, name, body.Ephemeral, a.Record.Sealed)
	return key, ok && HashKey(key) == a.KeyHash
}

// Remaining tells whether somebody was a member for the author of a change: the new key was sealed to it.
func (a Alteration) Remaining() func(core.PeerID) bool {
	tags := map[[tagSize]byte]bool{}
	for at := 0; at+entrySize <= len(a.Record.Sealed); at += entrySize {
		tags[[tagSize]byte(a.Record.Sealed[at:at+tagSize])] = true
	}
	return func(id core.PeerID) bool { return tags[tag(id)] }
}
