package swarm

import (
	"context"
	"encoding/hex"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
	"google.golang.org/protobuf/proto"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/swarm/invite"
	"github.com/shoal-p2p/shoal/daemon/swarm/record"
	"github.com/shoal-p2p/shoal/daemon/swarm/wire"
)

// The frames of /shoal/join/1: a request with the secret of an invite, and the reply.
const (
	frameJoin  wire.Kind = 1
	frameReply wire.Kind = 2
)

// JoinResult says whom a node reached when it joined.
type JoinResult struct {
	Address string      // multiaddr that answered
	Peer    core.PeerID // who let the node in, or was dialled
}

// dialTimeout bounds one attempt to reach a peer.
const dialTimeout = 10 * time.Second

// Join takes an invite code, or the multiaddr of a peer in the swarm that the node is in already, dials at once and
// keeps the peer. Each way a code can be refused has a code of its own: CodeInvalidRequest (no code), CodeCorrupt
// (damaged), CodeInviteExpired, CodeInviteUsed, CodeInviteRevoked, CodeNotFound (unknown to its issuer) and
// CodeNotReady (nobody answers). A node that is in another swarm with others gets CodeConflict.
func (s *Swarm) Join(ctx context.Context, code string) (JoinResult, error) {
	code = strings.TrimSpace(code)
	if strings.HasPrefix(code, "/") {
		return s.dialAddress(ctx, code)
	}
	i, err := invite.Decode(code)
	if err != nil {
		return JoinResult{}, err
	}
	if i.Issuer == s.self {
		return JoinResult{}, core.Errorf(core.CodeConflict, "this invite was written by this PC: use it on another one")
	}
	result, err := s.joinInvite(ctx, i)
	if core.CodeOf(err) == core.CodeNotReady && time.Now().After(i.Expires) {
		// Only its issuer can tell: this PC's clock may be wrong.
		return JoinResult{}, core.Errorf(core.CodeNotReady, "by the clock of this PC the invite expired at %s, and who wrote it does not answer: %w",
			i.Expires.Format(time.DateTime), err).WithHint("Ask for a new invite; if this one is fresh, the clocks of the two PCs differ.")
	}
	return result, err
}

// dialAddress connects to a peer of the swarm that this node is in.
func (s *Swarm) dialAddress(ctx context.Context, text string) (JoinResult, error) {
	info, err := peer.AddrInfoFromString(text)
	if err != nil {
		return JoinResult{}, core.Errorf(core.CodeInvalidRequest, "%q is no address of a peer: it must end in /p2p/ and the peer's id", record.Plain(text))
	}
	t, err := s.session()
	if err != nil {
		return JoinResult{}, err
	}
	return t.reach(ctx, *info)
}

// reach dials a peer, has both show that they are members, and keeps it.
func (t *session) reach(ctx context.Context, info peer.AddrInfo) (JoinResult, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	id, err := nameOf(info.ID)
	if err != nil {
		return JoinResult{}, err
	}
	if err := t.dial(ctx, info); err != nil {
		return JoinResult{}, unreachable(id, err)
	}
	if err := t.greet(ctx, info.ID, id); err != nil {
		return JoinResult{}, core.Errorf(core.CodeForbidden, "peer %s and this node do not both belong to this swarm: %w", id, err)
	}
	t.book.met(id, texts(info.Addrs))
	return JoinResult{Address: t.addressOf(info.ID), Peer: id}, nil
}

func unreachable(id core.PeerID, err error) error {
	return core.Errorf(core.CodeNotReady, "peer %s does not answer: %w", id, err).
		WithHint("Is the other PC on and its Shoal running? Behind two routers an anchor helps.")
}

// addressOf is the address over which a peer is connected.
func (t *session) addressOf(id peer.ID) string {
	for _, c := range t.host.Network().ConnsToPeer(id) {
		return c.RemoteMultiaddr().String() + "/p2p/" + id.String()
	}
	return ""
}

// joinInvite shows an invite to its issuer and moves the node into the swarm.
func (s *Swarm) joinInvite(ctx context.Context, i invite.Invite) (JoinResult, error) {
	s.joining.Lock()
	defer s.joining.Unlock()
	in := firstRealm(networkKey(i.NetworkKey), i.Founder)
	if i.Network != (record.Network{}) {
		in.net = i.Network
	}
	old, err := s.loadRealm(ctx)
	if err != nil && core.CodeOf(err) != core.CodeCorrupt {
		return JoinResult{}, err
	}
	issuer, err := peerOf(i.Issuer)
	if err != nil {
		return JoinResult{}, err
	}
	info := peer.AddrInfo{ID: issuer, Addrs: through(i.Addresses, i.Anchors)}
	if old != nil && old.net == in.net && old.key == in.key {
		t, err := s.await(ctx, *old)
		if err != nil {
			return JoinResult{}, err
		}
		return t.reach(ctx, info)
	}
	if old != nil && s.hasCompany() {
		return JoinResult{}, core.Errorf(core.CodeConflict, "this PC is in another swarm").WithHint("Leave that one first.")
	}
	chain, err := s.showInvite(ctx, i, in, info)
	if err != nil {
		return JoinResult{}, err
	}
	if err := s.move(ctx, i, in, chain); err != nil {
		return JoinResult{}, err
	}
	t, err := s.await(ctx, in)
	if err != nil {
		return JoinResult{}, err
	}
	return t.reach(ctx, info)
}

// hasCompany tells whether there is anybody else in the swarm.
func (s *Swarm) hasCompany() bool {
	t, err := s.session()
	return err == nil && t.members.size() > 1
}

// through adds to the issuer's own addresses those that lead over the anchors.
func through(own, anchors []multiaddr.Multiaddr) []multiaddr.Multiaddr {
	circuit := multiaddr.StringCast("/p2p-circuit")
	out := append([]multiaddr.Multiaddr(nil), own...)
	for _, a := range anchors {
		out = append(out, a.Encapsulate(circuit))
	}
	return out
}

// showInvite asks the issuer to let this node in, from a host that only lives for that, and returns the admissions
// from this node up to the founder.
func (s *Swarm) showInvite(ctx context.Context, i invite.Invite, in realm, info peer.AddrInfo) ([]*record.Signed, error) {
	t, err := s.newSession(ctx, in)
	if err != nil {
		return nil, err
	}
	t.book = newBook(nil, s.cfg.Store.SavePeer, time.Now, s.log)
	t.guard = newGuard(t.ctx, t.members, t.book, time.Now)
	defer t.close()
	if t.host, err = t.newHost(nil); err != nil {
		return nil, core.Errorf(core.CodeInternal, "open a host to join with: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	if err := t.dial(ctx, info); err != nil {
		return nil, unreachable(i.Issuer, err)
	}
	stream, err := t.open(ctx, i.Issuer, joinProtocol)
	if err != nil {
		return nil, err
	}
	defer stream.Reset()
	context.AfterFunc(ctx, func() { stream.Reset() })
	chain, err := ask(stream, i, s.cfg.Nickname())
	if err != nil {
		return nil, err
	}
	if _, err := t.members.add(chain); err != nil {
		return nil, err
	}
	if !t.members.belongs(s.self) {
		return nil, core.Errorf(core.CodeCorrupt, "peer %s let this node in but is no member itself", i.Issuer)
	}
	return chain, nil
}

func ask(s core.Stream, i invite.Invite, nickname string) ([]*record.Signed, error) {
	id, err := hex.DecodeString(i.ID)
	if err != nil {
		return nil, core.Errorf(core.CodeInternal, "invite id: %w", err)
	}
	request := &record.JoinRequest{Id: id, Secret: i.Secret[:], Nickname: record.Plain(nickname)}
	if err := wire.NewWriter(s, talkFor).Send(frameJoin, request); err != nil {
		return nil, err
	}
	var reply record.JoinReply
	if err := receive(wire.NewReader(s, talkFor, 1), frameReply, &reply); err != nil {
		return nil, err
	}
	switch c := core.Code(reply.Code); c {
	case "":
		return reply.Chain[:min(len(reply.Chain), maxChain)], nil
	case core.CodeInviteExpired, core.CodeInviteUsed, core.CodeInviteRevoked, core.CodeUnauthorized, core.CodeOverloaded:
		if c == core.CodeUnauthorized { // that is no matter of the API key
			c = core.CodeNotFound
		}
		return nil, core.Errorf(c, "%s", record.Plain(reply.Message))
	}
	return nil, core.Errorf(core.CodeForbidden, "the other PC does not let this one in")
}

// move saves the new swarm in place of the old one and restarts in it.
func (s *Swarm) move(ctx context.Context, i invite.Invite, in realm, chain []*record.Signed) error {
	if err := s.cfg.Store.ForgetSwarm(ctx); err != nil {
		return err
	}
	for _, r := range chain {
		a, err := record.OpenAdmission(in.name(), r)
		if err != nil {
			return err
		}
		data, err := record.Encode(r)
		if err != nil {
			return err
		}
		if err := s.cfg.Store.SaveAdmission(ctx, a.Member, data); err != nil {
			return err
		}
	}
	if err := s.saveRealm(ctx, in); err != nil {
		return err
	}
	b := newBook(nil, s.cfg.Store.SavePeer, time.Now, s.log)
	b.met(i.Issuer, texts(i.Addresses))
	for _, a := range i.Anchors {
		info, err := peer.AddrInfoFromP2pAddr(a)
		if err != nil {
			continue
		}
		if id, err := nameOf(info.ID); err == nil {
			b.met(id, texts(info.Addrs))
			b.update(id, func(e *entry) { e.Anchor = true })
		}
	}
	b.flush(ctx, s.cfg.Store.DeletePeer)
	s.restart()
	return nil
}

// admits answers who shows an invite. The sender holds the network key but is no member yet.
func (t *session) admits(raw network.Stream) {
	id, err := nameOf(raw.Conn().RemotePeer())
	if err != nil || t.book.refuses(id) || t.isFormer(raw.Conn()) || !t.guard.welcome(raw.Conn().RemotePeer()) {
		raw.Reset()
		return
	}
	s := stream{raw, id}
	hurry := time.AfterFunc(talkFor, func() { s.Reset() })
	defer hurry.Stop()
	var request record.JoinRequest
	if err := receive(wire.NewReader(s, talkFor, 1), frameJoin, &request); err != nil {
		s.Reset()
		return
	}
	reply := &record.JoinReply{}
	if err := t.admit(id, &request); err != nil {
		reply.Code, reply.Message = string(core.CodeOf(err)), err.Error()
		if core.CodeOf(err) == core.CodeInternal {
			t.log.Warn("let a peer in", "peer", id, "err", err)
			reply.Message = "the other PC has a problem of its own"
		}
		if core.CodeOf(err) == core.CodeUnauthorized {
			t.judge(id, core.ConductMalformed)
		}
	} else {
		reply.Chain = t.members.chain(id)
	}
	if err := wire.NewWriter(s, talkFor).Send(frameReply, reply); err != nil {
		s.Reset()
		return
	}
	s.Close()
	if reply.Code == "" {
		t.spread(id)
	}
}

// admit checks an invite, marks it as used and vouches for the peer.
func (t *session) admit(id core.PeerID, r *record.JoinRequest) error {
	if len(r.Secret) != len(invite.Secret{}) {
		return core.Errorf(core.CodeUnauthorized, "the PC that wrote this invite does not know it")
	}
	if t.members.size() >= maxMembers {
		return core.Errorf(core.CodeOverloaded, "the swarm is full")
	}
	nickname := record.Plain(r.Nickname)
	err := t.cfg.Store.UseInvite(t.ctx, hex.EncodeToString(r.Id), invite.Secret(r.Secret).Hash(), id, nickname, time.Now())
	if err != nil || t.members.belongs(id) {
		return err
	}
	a, err := record.Admit(t.cfg.Identity, t.net, id, time.Now())
	if err != nil {
		return err
	}
	if _, err := t.members.add([]*record.Signed{a.Record}); err != nil {
		return err
	}
	if !t.members.belongs(id) {
		return core.Errorf(core.CodeForbidden, "this PC is no member itself")
	}
	t.log.Info("peer joined", "peer", id, "nickname", nickname)
	return nil
}

// receive reads the one kind of frame that may come next.
func receive(in *wire.Reader, want wire.Kind, m proto.Message) error {
	kind, body, err := in.Next()
	if err != nil {
		return err
	}
	if kind != want {
		return core.Errorf(core.CodeInvalidRequest, "frame of kind %d where %d belongs", kind, want)
	}
	return wire.Unmarshal(body, m)
}
