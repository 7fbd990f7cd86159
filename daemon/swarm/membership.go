package swarm

import (
	"bytes"
	"context"
	"crypto/sha256"
	"slices"
	"strings"
	"sync"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/swarm/record"
)

// maxMembers bounds a swarm; maxChain is the longest way from a member to the founder.
const (
	maxMembers = 1000
	maxChain   = 32
)

// membership knows who belongs: the founder, and everybody whose admission was signed by somebody who belongs.
type membership struct {
	net     record.Network
	founder core.PeerID
	save    func(record.Admission) // called once for each admission that is new

	mu      sync.Mutex
	members map[core.PeerID]record.Admission
	known   map[string]bool // the signatures of members' admissions, which need not be checked again
	changed chan struct{}   // closed and replaced when somebody is added
}

func newMembership(net record.Network, founder core.PeerID, save func(record.Admission)) *membership {
	return &membership{
		net: net, founder: founder, save: save,
		members: map[core.PeerID]record.Admission{}, known: map[string]bool{}, changed: make(chan struct{}),
	}
}

// add takes the admissions that are signed by somebody who belongs, in whatever order they come, and returns those
// that are new. A broken one is an error; one whose issuer nobody knows is not, and is left out.
func (m *membership) add(list []*record.Signed) ([]record.Admission, error) {
	var waiting []record.Admission
	for _, s := range list {
		if m.knows(s) {
			continue
		}
		a, err := record.OpenAdmission(m.net, s)
		if err != nil {
			return nil, err
		}
		waiting = append(waiting, a)
	}
	fresh := m.take(waiting)
	for _, a := range fresh {
		m.save(a)
	}
	return fresh, nil
}

func (m *membership) knows(s *record.Signed) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.known[string(s.GetSignature())]
}

func (m *membership) take(waiting []record.Admission) (fresh []record.Admission) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for progress := true; progress; {
		progress = false
		waiting = slices.DeleteFunc(waiting, func(a record.Admission) bool {
			if !m.has(a.Issuer) {
				return false
			}
			if !m.has(a.Member) && len(m.members) < maxMembers && m.depth(a.Issuer) < maxChain {
				m.members[a.Member] = a
				m.known[string(a.Record.Signature)] = true
				fresh = append(fresh, a)
				progress = true
			}
			return true
		})
	}
	if len(fresh) > 0 {
		close(m.changed)
		m.changed = make(chan struct{})
	}
	return fresh
}

func (m *membership) has(id core.PeerID) bool {
	_, ok := m.members[id]
	return ok || id == m.founder
}

// depth counts the admissions from a member to the founder.
func (m *membership) depth(id core.PeerID) (n int) {
	for id != m.founder {
		id = m.members[id].Issuer
		n++
	}
	return n
}

// belongs tells whether a peer is a member.
func (m *membership) belongs(id core.PeerID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.has(id)
}

// await waits until a peer is a member; it is false when ctx ends first.
func (m *membership) await(ctx context.Context, id core.PeerID) bool {
	for {
		m.mu.Lock()
		ok, changed := m.has(id), m.changed
		m.mu.Unlock()
		if ok {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// chain returns the admissions from a member up to the one that the founder signed; the founder needs none.
func (m *membership) chain(id core.PeerID) (chain []*record.Signed) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id != m.founder {
		a, ok := m.members[id]
		if !ok {
			return nil
		}
		chain, id = append(chain, a.Record), a.Issuer
	}
	return chain
}

// list returns every admission, in the order of the members' names.
func (m *membership) list() []record.Admission {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]record.Admission, 0, len(m.members))
	for _, a := range m.members {
		out = append(out, a)
	}
	slices.SortFunc(out, func(a, b record.Admission) int { return strings.Compare(a.Member.String(), b.Member.String()) })
	return out
}

// size counts the members, the founder among them.
func (m *membership) size() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.members) + 1
}

// digest is the same at two nodes that know the same members.
func (m *membership) digest() []byte {
	h := sha256.New()
	for _, a := range m.list() {
		h.Write([]byte(a.Member.String() + "\n"))
	}
	return h.Sum(nil)
}

// same tells whether another node knows the same members.
func (m *membership) same(digest []byte) bool { return bytes.Equal(m.digest(), digest) }
