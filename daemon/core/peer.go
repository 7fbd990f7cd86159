package core

import (
	"math/bits"
	"time"
)

// PeerID names a node of the swarm: the text form of its libp2p identity, which is made from its public key.
// A value can only be made by ParsePeerID, so it is bounded and plain ASCII.
type PeerID struct{ text string }

// maxPeerID bounds the text of an Ed25519 identity with room to spare.
const maxPeerID = 128

// ParsePeerID checks s and returns it as a PeerID. Whether it decodes as an identity is for the swarm to say. The
// error has code CodeInvalidRequest.
func ParsePeerID(s string) (PeerID, error) {
	if s == "" || len(s) > maxPeerID {
		return PeerID{}, Errorf(CodeInvalidRequest, "peer id must have 1 to %d characters", maxPeerID)
	}
	for i := range len(s) {
		if c := s[i] | 0x20; (c < 'a' || c > 'z') && (s[i] < '0' || s[i] > '9') {
			return PeerID{}, Errorf(CodeInvalidRequest, "peer id may only hold letters and digits")
		}
	}
	return PeerID{s}, nil
}

// String returns the text form; it is empty for the zero value.
func (id PeerID) String() string { return id.text }

// IsZero tells whether id names nobody.
func (id PeerID) IsZero() bool { return id.text == "" }

// MarshalText implements encoding.TextMarshaler.
func (id PeerID) MarshalText() ([]byte, error) { return []byte(id.text), nil }

// UnmarshalText implements encoding.TextUnmarshaler; it accepts what ParsePeerID accepts.
func (id *PeerID) UnmarshalText(b []byte) (err error) {
	*id, err = ParsePeerID(string(b))
	return err
}

// Announcement is what a node tells the others about itself. It is signed by the node on the wire, replaced by its
// successor and forgotten when it is older than its lifetime.
type Announcement struct {
	Peer     PeerID
	Sequence uint64 // grows from announcement to announcement of one node
	Time     time.Time
	Nickname string
	Version  string
	Engine   string // runtime version; windows of different ones are not chained
	Region   string
	GPU      string
	VRAMMB   int64 // free graphics memory that this node lends
	RAMMB    int64 // free memory that this node lends
	Anchor   bool
	Paused   bool
	Holdings []Holding
	Speeds   []Speed
	Demand   []Demand

	Addresses []string // multiaddrs at which it may be called
	Anchors   []string // multiaddrs of the anchors that the founder confirms; nobody else's word counts
}

// Holding says which shards of a model a node has, and which of them it has in memory.
type Holding struct {
	Model    ModelID
	Manifest Digest // which cut of which file; others are another model
	Shards   Bitmap // on disk
	Loaded   Bitmap // in memory
}

// Speed is how fast a node runs a model, measured by itself.
type Speed struct {
	Model      ModelID
	LayerTime  time.Duration // of one decoded token through one layer
	PrefillRow time.Duration // of one prompt token through one layer
}

// Demand is how often a model was asked for at one node in the last ten minutes.
type Demand struct {
	Model    ModelID
	Requests int
}

// Bitmap is a set of shard indexes below 4096, lowest first in the lowest bit of the first word.
type Bitmap []uint64

// maxBits bounds a Bitmap.
const maxBits = 4096

// Has tells whether i is in the set.
func (b Bitmap) Has(i int) bool { return i >= 0 && i/64 < len(b) && b[i/64]>>(i%64)&1 == 1 }

// With returns the set with i in it; an index outside the bounds changes nothing.
func (b Bitmap) With(i int) Bitmap {
	if i < 0 || i >= maxBits {
		return b
	}
	for len(b) <= i/64 {
		b = append(b, 0)
	}
	b[i/64] |= 1 << (i % 64)
	return b
}

// Count is how many indexes are in the set.
func (b Bitmap) Count() (n int) {
	for _, word := range b {
		n += bits.OnesCount64(word)
	}
	return n
}

// Conduct is what a peer did, as far as it changes how much this node trusts it.
type Conduct string

// What peers do.
const (
	ConductGood      Conduct = "good"      // served as asked
	ConductMalformed Conduct = "malformed" // sent what no honest program sends
	ConductCorrupt   Conduct = "corrupt"   // sent bytes that do not have the promised hash
)
