package record

import (
	"crypto/ed25519"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/identity"
)

// Admission says that a node belongs to a swarm because another one vouches for it.
type Admission struct {
	Member core.PeerID
	Issuer core.PeerID
	Time   time.Time
	Record *Signed // what the issuer signed
}

// Admit signs an admission of a member.
func Admit(issuer *identity.Identity, net Network, member core.PeerID, now time.Time) (Admission, error) {
	key, err := KeyOf(member)
	if err != nil {
		return Admission{}, err
	}
	s, err := sign(issuer, admission, net, &AdmissionBody{Member: key, Time: now.Unix()})
	if err != nil {
		return Admission{}, err
	}
	return OpenAdmission(net, s)
}

// OpenAdmission checks the signature of an admission. Whether its issuer belongs is for the caller to know. The error
// has code CodeCorrupt.
func OpenAdmission(net Network, s *Signed) (Admission, error) {
	var body AdmissionBody
	issuer, err := verify(s, admission, net, &body)
	if err != nil {
		return Admission{}, err
	}
	if len(body.Member) != ed25519.PublicKeySize {
		return Admission{}, core.Errorf(core.CodeCorrupt, "an admission names nobody")
	}
	member, err := PeerOf(body.Member)
	if err != nil {
		return Admission{}, err
	}
	return Admission{Member: member, Issuer: issuer, Time: time.Unix(body.Time, 0), Record: s}, nil
}

// Encode is the form of a statement to keep or to publish.
func Encode(s *Signed) ([]byte, error) {
	data, err := proto.Marshal(s)
	if err != nil {
		return nil, core.Errorf(core.CodeInternal, "encode a statement: %w", err)
	}
	return data, nil
}

// Decode reads what Encode made; it does not check the signature. The error has code CodeCorrupt.
func Decode(data []byte) (*Signed, error) {
	if len(data) > MaxSize+256 {
		return nil, core.Errorf(core.CodeTooLarge, "statement has %d bytes", len(data))
	}
	var s Signed
	if err := proto.Unmarshal(data, &s); err != nil {
		return nil, core.Errorf(core.CodeCorrupt, "statement cannot be read: %w", err)
	}
	return &s, nil
}
