package swarm

import (
	"context"
	"slices"
	"time"

	"github.com/multiformats/go-multiaddr"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/store"
	"github.com/shoal-p2p/shoal/daemon/swarm/invite"
)

// InviteLifetime is how long an invite is good for if nothing else is said; maxLifetime is the most.
const (
	InviteLifetime = 15 * time.Minute
	maxLifetime    = 7 * 24 * time.Hour
)

// NewInvite writes an invite that lets one PC in until ttl is over (0 is InviteLifetime). A node that is in no swarm
// makes one first and is its founder.
func (s *Swarm) NewInvite(ctx context.Context, ttl time.Duration) (admin.NetworkCode, error) {
	if ttl == 0 {
		ttl = InviteLifetime
	}
	if ttl < 0 || ttl > maxLifetime {
		return admin.NetworkCode{}, core.Errorf(core.CodeInvalidRequest, "an invite is good for at most %s", maxLifetime)
	}
	t, err := s.found(ctx)
	if err != nil {
		return admin.NetworkCode{}, err
	}
	if !t.members.belongs(s.self) {
		return admin.NetworkCode{}, core.Errorf(core.CodeForbidden, "this node is no member of its swarm")
	}
	id, secret := invite.NewID()
	now := time.Now().Truncate(time.Second)
	code, err := invite.Encode(invite.Invite{
		Network: t.net, NetworkKey: t.key, Founder: t.realm.founder, Issuer: s.self, Addresses: t.callable(), Anchors: t.anchorAddresses(),
		ID: id, Secret: secret, Expires: now.Add(ttl),
	})
	if err != nil {
		return admin.NetworkCode{}, err
	}
	kept := store.Invite{ID: id, SecretHash: secret.Hash(), Created: now, Expires: now.Add(ttl)}
	if err := s.cfg.Store.AddInvite(ctx, kept); err != nil {
		return admin.NetworkCode{}, err
	}
	return admin.NetworkCode{
		Code: code, NodeID: s.self.String(), Phase: s.Phase(), PeerCount: t.connected(), InviteID: id, ExpiresAt: kept.Expires,
	}, nil
}

// worthShowing is how long an invite must still be good for to be shown again.
const worthShowing = time.Minute

// NetworkCode returns the newest invite that this run of the node wrote while it is open, or else writes one; fresh
// always writes one. Codes are not kept on disk.
func (s *Swarm) NetworkCode(ctx context.Context, fresh bool) (admin.NetworkCode, error) {
	s.coding.Lock()
	defer s.coding.Unlock()
	if !fresh && s.stillOpen(ctx, s.code) {
		s.code.Phase, s.code.PeerCount = s.Phase(), 0
		if t, err := s.session(); err == nil {
			s.code.PeerCount = t.connected()
		}
		return s.code, nil
	}
	code, err := s.NewInvite(ctx, 0)
	if err == nil {
		s.code = code
	}
	return code, err
}

// stillOpen tells whether a code still lets somebody in.
func (s *Swarm) stillOpen(ctx context.Context, code admin.NetworkCode) bool {
	if code.Code == "" || time.Until(code.ExpiresAt) < worthShowing {
		return false
	}
	list, err := s.Invites(ctx)
	return err == nil && slices.ContainsFunc(list, func(i admin.Invite) bool {
		return i.ID == code.InviteID && i.State == admin.InviteOpen
	})
}

// Invites lists the invites this node wrote, newest first, with who joined.
func (s *Swarm) Invites(ctx context.Context) ([]admin.Invite, error) {
	list, err := s.cfg.Store.Invites(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]admin.Invite, len(list))
	for i, kept := range list {
		out[i] = admin.Invite{
			ID: kept.ID, State: state(kept, time.Now()), CreatedAt: kept.Created, ExpiresAt: kept.Expires,
			UsedBy: kept.UsedBy.String(), Nickname: kept.Nickname,
		}
		if !kept.UsedBy.IsZero() {
			out[i].UsedAt = &kept.UsedAt
		}
	}
	return out, nil
}

func state(i store.Invite, now time.Time) string {
	switch {
	case !i.UsedBy.IsZero():
		return admin.InviteUsed
	case i.Revoked:
		return admin.InviteRevoked
	case !now.Before(i.Expires):
		return admin.InviteExpired
	}
	return admin.InviteOpen
}

// RevokeInvite makes an unused invite worthless. The error has code CodeNotFound or CodeConflict.
func (s *Swarm) RevokeInvite(ctx context.Context, id string) error {
	return s.cfg.Store.RevokeInvite(ctx, id)
}

// callable are the addresses at which others may find this node, the most useful ones first.
func (t *session) callable() []multiaddr.Multiaddr {
	list := slices.Clone(t.host.Addrs())
	rank := func(a multiaddr.Multiaddr) int {
		switch first, _ := multiaddr.SplitFirst(a); {
		case isCircuit(a):
			return 2
		case first != nil && (first.Value() == "::1" || first.Value() == "127.0.0.1"):
			return 3
		case isNear(a):
			return 1
		}
		return 0
	}
	slices.SortStableFunc(list, func(a, b multiaddr.Multiaddr) int { return rank(a) - rank(b) })
	return list
}

// anchorAddresses are the anchors as an invite carries them.
func (t *session) anchorAddresses() []multiaddr.Multiaddr {
	var out []multiaddr.Multiaddr
	for _, info := range t.anchors() {
		end, err := multiaddr.NewComponent(multiaddr.ProtocolWithCode(multiaddr.P_P2P).Name, info.ID.String())
		if err != nil || info.ID == t.host.ID() {
			continue
		}
		for _, a := range info.Addrs {
			out = append(out, a.Encapsulate(end.Multiaddr()))
		}
	}
	return out
}
