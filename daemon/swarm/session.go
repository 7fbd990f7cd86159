package swarm

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	dht "github.com/libp2p/go-libp2p-kad-dht"
	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/discovery/mdns"
	"github.com/multiformats/go-multiaddr"

	"github.com/shoal-p2p/shoal/daemon/bell"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/swarm/record"
)

// session is a running host under one network key, with everything that lives as long as it.
type session struct {
	cfg   *Config
	realm realm
	key   networkKey
	net   record.Network
	self  core.PeerID
	log   *slog.Logger

	book    *book
	members *membership
	changes *changes
	guard   *guard
	notices *notices

	host host.Host
	dht  *dht.IpfsDHT
	mdns mdns.Service

	announceTopic *pubsub.Topic
	admitTopic    *pubsub.Topic

	redial   bell.Bell // look at once for peers to dial
	tell     bell.Bell // publish peer_list
	announce bell.Bell // publish the own announcement

	asking atomic.Bool // Kademlia is asked where a peer is
	left   int         // holdings that the last announcement had no room for; only announceLoop uses it

	renew  func() // start again with what is saved now
	putOut func() // leave: this node was put out

	changing sync.Mutex // one change of the swarm at a time; guards what follows
	saved    realm      // what the session that follows is in: this one's, or that of a change since
	ending   bool       // renew or putOut is to be called

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	moved   map[peer.ID]bool // peers whose connections changed
	doubted map[peer.ID]bool // peers that somebody misses
	movedCh bell.Bell
	own     *record.Signed
	sockets []io.Closer
}

// newSession loads what is known of the swarm; it has no host yet.
func (s *Swarm) newSession(ctx context.Context, in realm) (*session, error) {
	peers, err := s.cfg.Store.Peers(ctx)
	if err != nil {
		return nil, err
	}
	t := &session{
		cfg: &s.cfg, realm: in, saved: in, key: in.key, net: in.name(), self: s.self, log: s.log,
		redial: bell.New(), tell: bell.New(), announce: bell.New(),
		moved: map[peer.ID]bool{}, doubted: map[peer.ID]bool{}, movedCh: bell.New(),
	}
	t.ctx, t.cancel = context.WithCancel(context.WithoutCancel(ctx))
	t.book = newBook(peers, s.cfg.Store.SavePeer, time.Now, s.log)
	t.members = newMembership(t.net, in.founder, func(record.Admission) {})
	t.book.known = t.knows
	t.changes = &changes{net: t.net, founder: in.founder}
	t.renew, t.putOut = s.restart, s.leaveInTheEnd
	t.guard = newGuard(t.ctx, t.members, t.book, time.Now)
	t.guard.former = t.isFormer
	t.notices = newNotices(t.net, time.Now)
	return t, nil
}

// start opens a session in a network. What is kept of it is read first; a record that does not check out is left out.
func (s *Swarm) start(ctx context.Context, in realm) (_ *session, err error) {
	listen, err := listenAddresses(s.cfg.Listen)
	if err != nil {
		return nil, err
	}
	t, err := s.newSession(ctx, in)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			t.close()
		}
	}()
	kept, err := s.cfg.Store.Admissions(ctx)
	if err != nil {
		return nil, err
	}
	t.restore(kept)
	if err := t.loadChanges(ctx); err != nil {
		return nil, err
	}
	t.book.tidy()
	for id, info := range t.setAnchors() {
		t.book.met(id, texts(info.Addrs))
	}
	if in.founder != t.self {
		t.book.update(in.founder, func(*entry) {}) // nobody admits the founder
	}
	t.members.save = t.keep
	if t.host, err = t.newHost(listen); err != nil {
		return nil, core.Errorf(core.CodeNotReady, "listen on %s: %w", s.cfg.Listen, err).
			WithHint("Choose another port with p2p_listen.")
	}
	if err := t.serve(); err != nil {
		return nil, err
	}
	t.run(s)
	t.log.Info("swarm is running", "peer", t.self, "addresses", t.host.Addrs(), "members", t.members.size())
	return t, nil
}

// knows tells whether a peer is one that the book keeps: a member, or an anchor of the settings.
func (t *session) knows(id core.PeerID) bool {
	if t.members.belongs(id) {
		return true
	}
	_, ok := t.setAnchors()[id]
	return ok
}

// setAnchors are the anchors of this node's settings.
func (t *session) setAnchors() map[core.PeerID]peer.AddrInfo {
	out := map[core.PeerID]peer.AddrInfo{}
	for _, text := range t.cfg.Anchors() {
		info, err := peer.AddrInfoFromString(text)
		if err != nil {
			continue
		}
		if id, err := nameOf(info.ID); err == nil {
			out[id] = *info
		}
	}
	return out
}

func (t *session) restore(kept [][]byte) {
	var list []*record.Signed
	for _, data := range kept {
		if r, err := record.Decode(data); err == nil {
			if _, err := record.OpenAdmission(t.net, r); err == nil {
				list = append(list, r)
			}
		}
	}
	if _, err := t.members.add(list); err != nil {
		t.log.Warn("read the members", "err", err)
	}
}

// keep saves a new member and puts it in the book.
func (t *session) keep(a record.Admission) {
	t.book.update(a.Member, func(*entry) {})
	data, err := record.Encode(a.Record)
	if err == nil {
		err = t.cfg.Store.SaveAdmission(t.ctx, a.Member, data)
	}
	if err != nil {
		t.log.Warn("keep a member", "peer", a.Member, "err", err)
	}
	t.redial.Ring()
}

// serve sets up what answers others: the greeting, Kademlia, gossip and multicast DNS.
func (t *session) serve() (err error) {
	guarded := guardedHost{t.host, t.guard}
	t.host.SetStreamHandler(memberProtocol, t.greeted)
	t.host.SetStreamHandler(joinProtocol, t.admits)
	t.host.SetStreamHandler(handoverProtocol, t.handedOver)
	t.dht, err = dht.New(t.ctx, guarded, dht.Mode(dht.ModeAutoServer), dht.ProtocolPrefix(protocol.ID("/shoal/"+t.key.tag())),
		dht.DisableProviders(), dht.DisableValues(), dht.DisableAutoRefresh(), dht.BootstrapPeersFunc(t.anchors))
	if err != nil {
		return core.Errorf(core.CodeInternal, "start kademlia: %w", err)
	}
	if err := t.gossip(guarded); err != nil {
		return core.Errorf(core.CodeInternal, "start gossip: %w", err)
	}
	if !t.cfg.NoMDNS {
		t.mdns = mdns.NewMdnsService(t.host, "_shoal-"+t.key.tag()+"._udp", found{t})
		if err := t.mdns.Start(); err != nil {
			t.log.Warn("look for peers on the local network", "err", err) // a machine may have no multicast
			t.mdns = nil
		}
	}
	return nil
}

// found hears of peers on the local network.
type found struct{ session *session }

// HandlePeerFound implements mdns.Notifee.
func (f found) HandlePeerFound(info peer.AddrInfo) {
	id, err := nameOf(info.ID)
	if err != nil || info.ID == f.session.host.ID() {
		return
	}
	f.session.book.near(id, texts(info.Addrs))
	f.session.redial.Ring()
}

// run starts the loops of the session.
func (t *session) run(s *Swarm) {
	t.host.Network().Notify(t.watchConns())
	for _, id := range t.host.Network().Peers() { // the host was up before, and may have found an anchor
		t.note(t.moved, id)
	}
	for _, loop := range []func(){t.dialLoop, t.pathLoop, t.pingLoop, t.watchLoop, t.tellLoop, t.keepLoop, func() { t.announceLoop(s) }} {
		t.wg.Go(loop)
	}
	t.redial.Ring()
	if _, ok := t.changes.last(); ok { // the node may have stopped between the change and its key
		if err := t.takeChanges(t.changes.records(), nil); err != nil {
			t.log.Warn("take up the new network key", "err", err)
		}
	}
}

// close ends the session and waits for its goroutines.
func (t *session) close() {
	t.cancel()
	if t.mdns != nil {
		t.mdns.Close()
	}
	if t.dht != nil {
		t.dht.Close()
	}
	if t.host != nil {
		if err := t.host.Close(); err != nil {
			t.log.Warn("close the host", "err", err)
		}
	}
	for _, s := range t.sockets {
		if err := s.Close(); err != nil {
			t.log.Warn("close a socket", "err", err)
		}
	}
	t.wg.Wait()
	t.book.flush(context.WithoutCancel(t.ctx), t.cfg.Store.DeletePeer)
}

// every runs step at once, then whenever the time has passed or the bell rings, until the session ends.
func (t *session) every(interval time.Duration, wake bell.Bell, step func()) {
	timer := time.NewTicker(interval)
	defer timer.Stop()
	for t.ctx.Err() == nil {
		step()
		select {
		case <-timer.C:
		case <-wake:
		case <-t.ctx.Done():
		}
	}
}

// keepLoop writes back what changed in the book.
func (t *session) keepLoop() {
	t.every(30*time.Second, nil, func() { t.book.flush(t.ctx, t.cfg.Store.DeletePeer) })
}

// tellLoop publishes the peers when they changed, at most five times a second.
func (t *session) tellLoop() {
	for {
		select {
		case <-t.tell:
			t.cfg.Publish(core.EventPeers, t.peers())
		case <-t.ctx.Done():
			return
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-t.ctx.Done():
			return
		}
	}
}

// anchors are the nodes that can always be reached: those of the settings and those that the founder or the
// invite confirmed. A member's own word makes nobody an anchor.
func (t *session) anchors() []peer.AddrInfo {
	var list []peer.AddrInfo
	for _, text := range t.cfg.Anchors() {
		if info, err := peer.AddrInfoFromString(text); err == nil {
			list = append(list, *info)
		}
	}
	for _, e := range t.book.some(func(e *entry) bool { return e.Anchor }) {
		id, err := peerOf(e.ID)
		if addrs := addresses(e.Addresses); err == nil && len(addrs) > 0 {
			list = append(list, peer.AddrInfo{ID: id, Addrs: addrs})
		}
	}
	return list
}

// texts writes addresses for the book; those through a relay are made anew for each call and not kept.
func texts(list []multiaddr.Multiaddr) []string {
	var out []string
	for _, a := range list {
		if !isCircuit(a) && len(out) < maxAddresses {
			out = append(out, a.String())
		}
	}
	return out
}

// addresses reads what texts wrote and leaves out what is none.
func addresses(list []string) []multiaddr.Multiaddr {
	var out []multiaddr.Multiaddr
	for _, text := range list {
		if a, err := multiaddr.NewMultiaddr(text); err == nil {
			out = append(out, a)
		}
	}
	return slices.Clip(out)
}
