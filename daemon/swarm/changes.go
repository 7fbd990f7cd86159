package swarm

import (
	"bytes"
	"maps"
	"slices"
	"sync"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/swarm/record"
)

// maxChanges bounds how often a swarm changes; those whom the founder named make at most half of the changes, so that
// none of them can keep the founder from acting.
const (
	maxChanges         = 256
	maxDelegateChanges = maxChanges / 2
)

// changes is the row of changes of a swarm, from the first one on. Where two rows exist, because two members acted
// without knowing of each other, all nodes choose alike: the row with more changes by the founder, then the longer one,
// then the one whose first change that differs has the lower hash. Nobody but the founder can make changes by the
// founder, so who was put out by it cannot win with a row that begins earlier.
type changes struct {
	net     record.Network
	founder core.PeerID

	mu  sync.Mutex
	row []record.Alteration
}

// standing is what a row of changes comes to.
type standing struct {
	out       map[core.PeerID]record.Alteration // who was put out, and when
	delegates map[core.PeerID]record.Alteration // who may put out too
	byFounder int
}

// follow checks a row from its beginning: each change names the one before and is made by somebody who may. The error
// has code CodeCorrupt.
func follow(founder core.PeerID, row []record.Alteration) (standing, error) {
	s := standing{out: map[core.PeerID]record.Alteration{}, delegates: map[core.PeerID]record.Alteration{}}
	var last [32]byte
	for i, a := range row {
		if a.Number != uint64(i+1) || a.Previous != last {
			return s, core.Errorf(core.CodeCorrupt, "change %d of the swarm does not follow the one before", i+1)
		}
		if err := s.allows(founder, a); err != nil {
			return s, err
		}
		last = a.Hash
		switch {
		case a.By == founder:
			s.byFounder++
		case len(row)-s.byFounder > maxDelegateChanges && i-s.byFounder >= maxDelegateChanges:
			return s, core.Errorf(core.CodeCorrupt, "the swarm was changed too often")
		}
		if !a.Out.IsZero() {
			s.out[a.Out] = a
			delete(s.delegates, a.Out)
		} else {
			s.delegates[a.Delegate] = a
		}
	}
	return s, nil
}

// allows tells whether the author of a change may make it: the founder everything but putting itself out, those whom it
// named may put out who is neither founder nor named.
func (s standing) allows(founder core.PeerID, a record.Alteration) error {
	_, named := s.delegates[a.By]
	_, targetNamed := s.delegates[a.Out]
	_, gone := s.out[a.Out]
	_, back := s.out[a.Delegate]
	switch {
	case a.Out == founder || a.Delegate == founder:
		return core.Errorf(core.CodeForbidden, "the founder cannot be put out or named")
	case gone || back:
		return core.Errorf(core.CodeConflict, "that member has been put out before")
	case a.By == founder:
		return nil
	case !named || !a.Delegate.IsZero() || targetNamed:
		return core.Errorf(core.CodeForbidden, "only the founder of the swarm, or who it named, can put a member out").
			WithHint("Ask the owner of the PC that founded the swarm.")
	}
	return nil
}

// better checks a row that somebody told, and returns it and what it comes to if it is to be followed rather than the
// one known; else the row is empty.
func (c *changes) better(list []*record.Change) ([]record.Alteration, standing, error) {
	if len(list) > maxChanges {
		return nil, standing{}, core.Errorf(core.CodeTooLarge, "a row of %d changes", len(list))
	}
	row := make([]record.Alteration, len(list))
	for i, r := range list {
		var err error
		if row[i], err = record.OpenChange(c.net, r); err != nil {
			return nil, standing{}, err
		}
	}
	theirs, err := follow(c.founder, row)
	if err != nil {
		return nil, theirs, core.Errorf(core.CodeCorrupt, "a row of changes: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	ours, err := follow(c.founder, c.row)
	if err != nil || !outranks(theirs, row, ours, c.row) {
		return nil, ours, err
	}
	return row, theirs, nil
}

// missing are the changes by a node that a row which is to be followed does not have: somebody else acted at the same
// time, and the row of that one won.
func (c *changes) missing(by core.PeerID, row []record.Alteration) (out []record.Alteration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, a := range c.row {
		if a.By == by && !slices.ContainsFunc(row, func(b record.Alteration) bool { return a.Out == b.Out && a.Delegate == b.Delegate }) {
			out = append(out, a)
		}
	}
	return out
}

// take makes a row the one known.
func (c *changes) take(row []record.Alteration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.row = row
}

// outranks tells whether row a is to be followed rather than row b.
func outranks(sa standing, a []record.Alteration, sb standing, b []record.Alteration) bool {
	if sa.byFounder != sb.byFounder {
		return sa.byFounder > sb.byFounder
	}
	if len(a) != len(b) {
		return len(a) > len(b)
	}
	for i := range a {
		if d := bytes.Compare(a[i].Hash[:], b[i].Hash[:]); d != 0 {
			return d < 0
		}
	}
	return false
}

// standing is what the row known comes to.
func (c *changes) standing() standing {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, err := follow(c.founder, c.row)
	if err != nil { // it was checked when it was taken
		return standing{out: map[core.PeerID]record.Alteration{}, delegates: map[core.PeerID]record.Alteration{}}
	}
	return s
}

// next begins a change that follows the last one.
func (c *changes) next() record.Alteration {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := record.Alteration{Number: uint64(len(c.row)) + 1}
	if len(c.row) > 0 {
		a.Previous = c.row[len(c.row)-1].Hash
	}
	return a
}

// last returns the newest change.
func (c *changes) last() (record.Alteration, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.row) == 0 {
		return record.Alteration{}, false
	}
	return c.row[len(c.row)-1], true
}

// head is the hash of the newest change; it is empty when there is none.
func (c *changes) head() []byte {
	if a, ok := c.last(); ok {
		return a.Hash[:]
	}
	return nil
}

// records lists the changes as they are told.
func (c *changes) records() []*record.Change {
	c.mu.Lock()
	defer c.mu.Unlock()
	return recordsOf(c.row)
}

func recordsOf(row []record.Alteration) []*record.Change {
	out := make([]*record.Change, len(row))
	for i, a := range row {
		out[i] = a.Record
	}
	return out
}

// out maps who was put out to what tells who remained then.
func (s standing) remaining() map[core.PeerID]func(core.PeerID) bool {
	out := map[core.PeerID]func(core.PeerID) bool{}
	for id, a := range maps.All(s.out) {
		out[id] = a.Remaining()
	}
	return out
}
