package swarm

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/swarm/record"
)

// Members lists who belongs to the swarm, in the order of their names, this node among them.
func (s *Swarm) Members() []admin.Member {
	out := []admin.Member{}
	t, err := s.session()
	if err != nil {
		return out
	}
	delegates := t.changes.standing().delegates
	for _, id := range t.members.names() {
		m := admin.Member{NodeID: id, Role: admin.RoleMember, Self: id == t.self, ClockOffsetS: t.notices.offset(id).Round(time.Second).Seconds()}
		if m.Self {
			m.Nickname = t.cfg.Nickname()
		} else if e, ok := t.book.get(id); ok {
			m.Nickname, m.Connection = e.Nickname, e.connection
		}
		if a, ok := t.members.admission(id); ok {
			m.AdmittedBy, m.Since = a.Issuer.String(), a.Time
		}
		if _, ok := delegates[id]; ok {
			m.Role = admin.RoleDelegate
		}
		if id == t.realm.founder {
			m.Role = admin.RoleFounder
		}
		out = append(out, m)
	}
	return out
}

// PutOut makes a member none: it is told to everybody, the others get a new network key, and every invite is void. The
// error has code CodeForbidden unless this node is the founder or named by it, CodeNotFound for who is no member, and
// CodeConflict for this node itself.
func (s *Swarm) PutOut(_ context.Context, id core.PeerID) error {
	if id == s.self {
		return core.Errorf(core.CodeConflict, "a PC does not put itself out").WithHint("Leave the swarm instead.")
	}
	return s.alter(id, core.PeerID{}, id)
}

// Delegate lets a member put others out too. The error has code CodeForbidden unless this node is the founder, and
// CodeNotFound for who is no member.
func (s *Swarm) Delegate(_ context.Context, id core.PeerID) error {
	return s.alter(core.PeerID{}, id, id)
}

func (s *Swarm) alter(out, delegate, whom core.PeerID) error {
	s.joining.Lock()
	defer s.joining.Unlock()
	t, err := s.session()
	if err != nil {
		return err
	}
	if !t.members.belongs(whom) {
		return core.Errorf(core.CodeNotFound, "%s is no member of this swarm", whom)
	}
	return t.alter(out, delegate)
}

func encodeChanges(list []*record.Change) [][]byte {
	var out [][]byte
	for _, c := range list {
		if data, err := proto.Marshal(c); err == nil { // it was decoded before
			out = append(out, data)
		}
	}
	return out
}

// loadChanges reads the row of changes that is kept, and takes up a key that was sealed to this node when the node
// stopped before it was saved.
func (t *session) loadChanges(ctx context.Context) error {
	kept, err := t.cfg.Store.Changes(ctx)
	if err != nil {
		return err
	}
	list := make([]*record.Change, len(kept))
	for i, data := range kept {
		list[i] = &record.Change{}
		if err := proto.Unmarshal(data, list[i]); err != nil {
			return core.Errorf(core.CodeCorrupt, "the changes of the swarm cannot be read: %w", err)
		}
	}
	row, s, err := t.changes.better(list)
	if err != nil {
		return err
	}
	t.apply(row, s)
	return nil
}
