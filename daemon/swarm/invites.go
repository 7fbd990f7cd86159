package swarm

import (
	"context"
	"slices"
	"time"

	"github.com/multiformats/go-multiaddr"

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
func (s *Swarm) NewInvite(ctx context.Context, ttl time.Duration) (code string, kept store.Invite, err error) {
	if ttl == 0 {
		ttl = InviteLifetime
	}
	if ttl < 0 || ttl > maxLifetime {
		return "", store.Invite{}, core.Errorf(core.CodeInvalidRequest, "an invite is good for at most %s", maxLifetime)
	}
	t, err := s.found(ctx)
	if err != nil {
		return "", store.Invite{}, err
	}
	if !t.members.belongs(s.self) {
		return "", store.Invite{}, core.Errorf(core.CodeForbidden, "this node is no member of its swarm")
	}
	id, secret := invite.NewID()
	now := time.Now().Truncate(time.Second)
	code, err = invite.Encode(invite.Invite{
		NetworkKey: t.key, Founder: t.realm.founder, Issuer: s.self, Addresses: t.callable(), Anchors: t.anchorAddresses(),
		ID: id, Secret: secret, Expires: now.Add(ttl),
	})
	if err != nil {
		return "", store.Invite{}, err
	}
	kept = store.Invite{ID: id, SecretHash: secret.Hash(), Created: now, Expires: now.Add(ttl)}
	return code, kept, s.cfg.Store.AddInvite(ctx, kept)
}

// Invites lists the invites this node wrote, newest first, with who joined.
func (s *Swarm) Invites(ctx context.Context) ([]store.Invite, error) { return s.cfg.Store.Invites(ctx) }

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
		end, err := multiaddr.NewComponent("p2p", info.ID.String())
		if err != nil {
			continue
		}
		for _, a := range info.Addrs {
			out = append(out, a.Encapsulate(end.Multiaddr()))
		}
	}
	return out
}
