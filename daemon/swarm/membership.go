package swarm

import (
	"context"
	"crypto/sha256"
	"slices"
	"strings"
	"sync"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/swarm/record"
)

// maxMembers bounds a swarm; maxChain is the longest way from a member to the founder; maxAdmitted is how many a member
// other than the founder may let in.
const (
	maxMembers  = 1000
	maxChain    = 32
	maxAdmitted = 64
)

// membership knows who belongs: the founder, and everybody whose admission was signed by somebody who belongs.
type membership struct {
	net     record.Network
	founder core.PeerID
	save    func(record.Admission) // called once for each admission that is new

	mu       sync.Mutex
	members  map[core.PeerID]record.Admission
	admitted map[core.PeerID]int                    // how many each member let in
	known    map[string]bool                        // the signatures of members' admissions, which need not be checked again
	out      map[core.PeerID]func(core.PeerID) bool // who was put out, and who remained then
	changed  chan struct{}                          // closed and replaced when somebody is added
}

func newMembership(net record.Network, founder core.PeerID, save func(record.Admission)) *membership {
	return &membership{
		net: net, founder: founder, save: save,
		members: map[core.PeerID]record.Admission{}, known: map[string]bool{}, admitted: map[core.PeerID]int{}, changed: make(chan struct{}),
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
			if !m.has(a.Member) && len(m.members) < maxMembers && m.depth(a.Issuer) < maxChain && m.mayAdmit(a) {
				m.members[a.Member] = a
				m.admitted[a.Issuer]++
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

// mayAdmit tells whether an issuer who belongs, or belonged, may let a member in. What somebody signs who was put out
// counts for those only who remained then: it can date an admission as it likes.
func (m *membership) mayAdmit(a record.Admission) bool {
	if remained := m.out[a.Issuer]; remained != nil && !remained(a.Member) && m.out[a.Member] == nil {
		return false
	}
	return a.Issuer == m.founder || m.admitted[a.Issuer] < maxAdmitted
}

// putOut sets who was put out, each with who remained then, and drops those who only belong by the word of them.
func (m *membership) putOut(out map[core.PeerID]func(core.PeerID) bool) {
	m.mu.Lock()
	var list []record.Admission
	for _, a := range m.members {
		list = append(list, a)
	}
	clear(m.members)
	clear(m.admitted)
	clear(m.known)
	m.out = out
	m.mu.Unlock()
	m.take(list)
}

// wasPutOut tells whether a peer was put out.
func (m *membership) wasPutOut(id core.PeerID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.out[id] != nil
}

// names lists the members, the founder among them, in order.
func (m *membership) names() []core.PeerID {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := []core.PeerID{m.founder}
	for id := range m.members {
		if m.out[id] == nil {
			out = append(out, id)
		}
	}
	slices.SortFunc(out, func(a, b core.PeerID) int { return strings.Compare(a.String(), b.String()) })
	return out
}

// admission is what let a member in; the founder has none.
func (m *membership) admission(id core.PeerID) (record.Admission, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a, ok := m.members[id]
	return a, ok
}

// depth counts the admissions from a member to the founder.
func (m *membership) depth(id core.PeerID) (n int) {
	for id != m.founder && n <= maxChain {
		a, ok := m.members[id]
		if !ok {
			break
		}
		id = a.Issuer
		n++
	}
	return n
}

// belongs tells whether a peer is a member.
func (m *membership) belongs(id core.PeerID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.has(id) && m.out[id] == nil
}

// await waits until a peer is a member; it is false when ctx ends first.
func (m *membership) await(ctx context.Context, id core.PeerID) bool {
	for {
		m.mu.Lock()
		ok, changed := m.has(id) && m.out[id] == nil, m.changed
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
	for id != m.founder && len(chain) <= maxChain {
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
	n := 1
	for id := range m.members {
		if m.out[id] == nil {
			n++
		}
	}
	return n
}

// digest is the same at two nodes that know the same members.
func (m *membership) digest() []byte {
	h := sha256.New()
	for _, a := range m.list() {
		h.Write([]byte(a.Member.String() + "\n"))
	}
	return h.Sum(nil)
}
