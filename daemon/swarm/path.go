package swarm

import (
	"context"
	"errors"
	"maps"
	"net"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// A round trip is the shortest of a few pings. A connection on which two in a row go by is closed: a peer that is gone
// without a word is noticed within 25 s, and within answerAfterChange when there is a reason to ask.
const (
	pingEvery   = 15 * time.Second
	pingCount   = 3
	pingTimeout = 5 * time.Second
	lanRTT      = 5 * time.Millisecond
	healthyFor  = 90 * time.Second
	maxAtOnce   = 32 // pings or dials
)

// watchConns notes the peers whose connections change.
func (t *session) watchConns() network.Notifiee {
	note := func(_ network.Network, c network.Conn) { t.note(t.moved, c.RemotePeer()) }
	return &network.NotifyBundle{ConnectedF: note, DisconnectedF: note}
}

// note puts a peer on a list for pathLoop.
func (t *session) note(list map[peer.ID]bool, id peer.ID) {
	t.mu.Lock()
	list[id] = true
	t.mu.Unlock()
	t.movedCh.Ring()
}

// pathLoop looks at each peer whose connections changed or are in doubt.
func (t *session) pathLoop() {
	for {
		select {
		case <-t.movedCh:
		case <-t.ctx.Done():
			return
		}
		t.mu.Lock()
		moved, doubted := maps.Clone(t.moved), maps.Clone(t.doubted)
		clear(t.moved)
		clear(t.doubted)
		t.mu.Unlock()
		for id := range moved {
			t.pathChanged(id)
		}
		for id := range doubted {
			t.wg.Go(func() { t.check(t.ctx, id, answerAfterChange) })
		}
	}
}

// pathChanged notes how a peer is connected now. A new one is greeted; over another path the round trip is another.
func (t *session) pathChanged(id peer.ID) {
	name, err := nameOf(id)
	if err != nil {
		return
	}
	if slices.ContainsFunc(t.host.Network().ConnsToPeer(id), t.isFormer) {
		t.wg.Go(func() {
			t.tellChange(id, name)
			t.dropFormer(id)
		})
	}
	now, lan := t.connection(id)
	if now != connectionNone && !t.members.belongs(name) {
		t.wg.Go(func() { t.admitOrExpel(id, name) })
		return
	}
	known, ok := t.book.get(name)
	if !ok && now == connectionNone {
		return
	}
	t.book.update(name, func(e *entry) {
		e.lan = e.lan || lan
		if e.connection, e.LastSeen = now, time.Now(); now == connectionNone {
			e.next, e.lost, e.rtt, e.lan = time.Time{}, time.Now(), 0, false
		} else {
			e.tries, e.heard = 0, time.Now()
		}
	})
	t.tell.Ring()
	switch {
	case now == connectionNone:
		t.redial.Ring()
	case known.connection == connectionNone || !ok:
		if t.connected() == 1 { // what cut it off from all is over
			t.dialAll()
		}
		t.wg.Go(func() {
			t.meet(id, name)
			t.measure(t.ctx, id, name)
		})
	default:
		t.wg.Go(func() {
			// It may be back before the old connection was missed. Gossip went the old way: what it told is lost.
			if len(t.host.Network().ConnsToPeer(id)) > 1 && t.check(t.ctx, id, answerAfterChange) {
				t.meet(id, name)
			}
			t.measure(t.ctx, id, name)
		})
	}
}

// meet greets a peer that is connected.
func (t *session) meet(id peer.ID, name core.PeerID) {
	if err := t.greet(t.ctx, id, name); err != nil {
		t.log.Debug("greet a peer", "peer", name, "err", err)
	}
}

// admitOrExpel waits for a peer that nobody vouched for yet to show its admission.
func (t *session) admitOrExpel(id peer.ID, name core.PeerID) {
	t.meet(id, name)
	if t.guard.serves(id) {
		t.pathChanged(id)
		return
	}
	if t.ctx.Err() == nil && !t.members.belongs(name) {
		t.log.Info("peer is no member", "peer", name)
		t.guard.expel(id)
		t.drop(id)
	}
}

// dropFormer closes the connections to a peer that were made with a former network key.
func (t *session) dropFormer(id peer.ID) {
	for _, c := range t.host.Network().ConnsToPeer(id) {
		if t.isFormer(c) {
			if err := c.Close(); err != nil {
				t.log.Debug("close a connection", "peer", id, "err", err)
			}
		}
	}
}

// drop closes the connections to a peer.
func (t *session) drop(id peer.ID) {
	if err := t.host.Network().ClosePeer(id); err != nil {
		t.log.Debug("close a connection", "peer", id, "err", err)
	}
}

// connection tells how a peer is connected, and whether the line stays on the local network.
func (t *session) connection(id peer.ID) (kind string, lan bool) {
	kind = connectionNone
	for _, c := range t.host.Network().ConnsToPeer(id) {
		if t.isFormer(c) {
			continue
		}
		if !isCircuit(c.RemoteMultiaddr()) {
			return connectionDirect, isNear(c.RemoteMultiaddr()) || t.cfg.onLink(c.RemoteMultiaddr())
		}
		kind = connectionRelayed
	}
	return kind, false
}

// onLink tells whether an address is of a network that this PC is on. Not every local network has private addresses.
func (c *Config) onLink(a multiaddr.Multiaddr) bool {
	ip, err := manet.ToIP(a)
	if err != nil {
		return false
	}
	list, err := c.interfaces()
	if err != nil {
		return false
	}
	return slices.ContainsFunc(list, func(a net.Addr) bool {
		n, ok := a.(*net.IPNet)
		return ok && n.Contains(ip)
	})
}

// pingLoop measures every connected peer again and again.
func (t *session) pingLoop() {
	t.every(pingEvery, nil, func() {
		t.eachConnected(func(ctx context.Context, id peer.ID, name core.PeerID) {
			if !t.measure(ctx, id, name) {
				t.check(t.ctx, id, pingTimeout)
			}
		})
	})
}

// eachConnected does something with all connected members, some at a time, and waits.
func (t *session) eachConnected(do func(context.Context, peer.ID, core.PeerID)) {
	slots := make(chan struct{}, maxAtOnce)
	for _, id := range t.host.Network().Peers() {
		name, err := nameOf(id)
		if err != nil || !t.members.belongs(name) {
			continue
		}
		slots <- struct{}{}
		t.wg.Go(func() {
			defer func() { <-slots }()
			ctx, cancel := context.WithTimeout(t.ctx, pingTimeout)
			defer cancel()
			do(ctx, id, name)
		})
	}
	for range maxAtOnce {
		slots <- struct{}{}
	}
}

// measure takes the round trip to a peer; it is false when no answer came.
func (t *session) measure(ctx context.Context, id peer.ID, name core.PeerID) bool {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	best, err := time.Duration(0), errors.New("no answer")
	replies := ping.Ping(ctx, t.host, id)
	for range pingCount {
		r, ok := <-replies
		if !ok || r.Error != nil {
			break
		}
		if best == 0 || r.RTT < best {
			best, err = r.RTT, nil
		}
	}
	if err != nil {
		return false
	}
	t.book.update(name, func(e *entry) {
		e.rtt, e.heard, e.LastSeen = best, time.Now(), time.Now()
		e.lan = e.lan || best < lanRTT && e.connection == connectionDirect
	})
	t.tell.Ring()
	return true
}

// judge changes the trust of a peer and puts it out when it has sunk too low.
func (t *session) judge(name core.PeerID, act core.Conduct) {
	if !t.book.judge(name, act) {
		return
	}
	t.log.Warn("peer is refused for an hour", "peer", name, "last", act)
	if id, err := peerOf(name); err == nil {
		t.drop(id)
	}
}
