package swarm

import (
	"context"
	"crypto/rand"
	"slices"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/security/noise"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/secret"
	"github.com/shoal-p2p/shoal/daemon/swarm/record"
	"github.com/shoal-p2p/shoal/daemon/swarm/wire"
)

// handoverProtocol is the only one that is spoken over a connection made with a former network key.
const handoverProtocol = "/shoal/handover/1"

const frameHandover wire.Kind = 1

// lingerFor is how long a session stays up after the key changed, so that the change reaches those it is connected to.
const lingerFor = time.Second

// noiseID names the handshake with a key: the first key of a swarm has libp2p's own name, later ones have their tag, so
// that both ends choose a key they share.
func (in realm) noiseID(key networkKey) protocol.ID {
	if record.NetworkOf(key, in.founder) == in.net {
		return noise.ID
	}
	return noise.ID + "/" + protocol.ID(key.tag())
}

// isFormer tells whether a connection was made with a former network key.
func (t *session) isFormer(c network.Conn) bool {
	id := c.ConnState().Security
	return strings.HasPrefix(string(id), noise.ID) && id != t.realm.noiseID(t.key)
}

// handOver tells a peer how the swarm changed, once it has shown that it is a member.
func (t *session) handOver(id peer.ID, name core.PeerID) (err error) {
	ctx, cancel := context.WithTimeout(t.ctx, talkFor)
	defer cancel()
	s, err := t.open(ctx, name, handoverProtocol)
	if err != nil {
		return err
	}
	defer s.Reset()
	stop := context.AfterFunc(ctx, func() { s.Reset() })
	defer stop()
	var theirs record.Handover
	if err := receive(wire.NewReader(s, talkFor, 1), frameHandover, &theirs); err != nil {
		return err
	}
	if len(theirs.Chain) > maxChain {
		return core.Errorf(core.CodeTooLarge, "the way to the founder has %d steps", len(theirs.Chain))
	}
	if _, err := t.members.add(theirs.Chain); err != nil {
		return err
	}
	if !t.members.belongs(name) {
		t.guard.expel(id)
		t.drop(id)
		return core.Errorf(core.CodeForbidden, "peer %s is no member", name)
	}
	out := wire.NewWriter(s, talkFor)
	for _, c := range t.changes.records() {
		if err := out.Send(frameHandover, &record.Handover{Change: c}); err != nil {
			return err
		}
	}
	key := t.nextKey()
	if err := out.Send(frameHandover, &record.Handover{Key: key[:], Last: true}); err != nil {
		return err
	}
	var done record.Handover // the peer has saved it
	return receive(wire.NewReader(s, talkFor, 1), frameHandover, &done)
}

// handedOver hears from a peer how the swarm changed.
func (t *session) handedOver(raw network.Stream) {
	name, err := nameOf(raw.Conn().RemotePeer())
	if err != nil || t.book.refuses(name) || !t.guard.welcome(raw.Conn().RemotePeer()) {
		raw.Reset()
		return
	}
	s := stream{raw, name}
	hurry := time.AfterFunc(talkFor, func() { s.Reset() })
	defer hurry.Stop()
	if err := t.takeOver(s); err != nil {
		s.Reset()
		if t.ctx.Err() == nil {
			t.log.Debug("hear how the swarm changed", "peer", name, "err", err)
		}
		return
	}
	s.Close()
}

func (t *session) takeOver(s core.Stream) error {
	out, in := wire.NewWriter(s, talkFor), wire.NewReader(s, talkFor, 1)
	if err := out.Send(frameHandover, &record.Handover{Chain: t.members.chain(t.self)}); err != nil {
		return err
	}
	var list []*record.Change
	for {
		var m record.Handover
		if err := receive(in, frameHandover, &m); err != nil {
			return err
		}
		if m.Last {
			if err := t.takeChanges(list, m.Key); err != nil {
				return err
			}
			return out.Send(frameHandover, &record.Handover{Last: true})
		}
		if m.Change == nil || len(list) >= maxChanges {
			return core.Errorf(core.CodeInvalidRequest, "a handover without end")
		}
		list = append(list, m.Change)
	}
}

// takeChanges follows a row of changes that somebody told. key is the network key at its end, if the teller gave it:
// whoever it is, the row says which key is right.
func (t *session) takeChanges(list []*record.Change, key []byte) error {
	t.changing.Lock()
	defer t.changing.Unlock()
	return t.follow(list, key)
}

// follow is takeChanges for who holds the mutex. It is told the same by many, hence what is done already is not done
// again.
func (t *session) follow(list []*record.Change, key []byte) error {
	row, standing, err := t.changes.better(list)
	if err != nil {
		return err
	}
	var lost []record.Alteration
	if row != nil {
		lost = t.changes.missing(t.self, row)
		if err := t.cfg.Store.SaveChanges(t.ctx, encodeChanges(recordsOf(row))); err != nil {
			return err
		}
		t.apply(row, standing)
	}
	last, ok := t.changes.last()
	if !ok {
		return nil
	}
	if _, out := standing.out[t.self]; out {
		t.end(t.putOut, func() { t.log.Warn("this PC was put out of the swarm", "by", last.By) })
		return nil
	}
	next, ok := t.keyOf(last, key)
	if !ok {
		t.log.Warn("the network key has changed and nobody has told it yet", "change", last.Number)
		return nil
	}
	if next != t.saved.key {
		if err := t.rekey(next); err != nil {
			return err
		}
	}
	if row != nil && t.host != nil {
		t.tellChanges()
	}
	for _, a := range lost {
		if err := t.change(a.Out, a.Delegate); err != nil {
			t.log.Warn("a change by this PC does not hold, for somebody else changed the swarm at the same time", "member", a.Out, "err", err)
		}
	}
	return nil
}

// keyOf is the network key that a change made: the one sealed to this node, or the one that a peer told.
func (t *session) keyOf(a record.Alteration, told []byte) (networkKey, bool) {
	if record.HashKey(t.saved.key) == a.KeyHash {
		return t.saved.key, true
	}
	if key, ok := a.Key(t.cfg.Identity); ok {
		return key, true
	}
	if len(told) == len(networkKey{}) && record.HashKey(networkKey(told)) == a.KeyHash {
		return networkKey(told), true
	}
	return networkKey{}, false
}

// apply puts a row of changes into force: who was put out is no member, and its connections end. Whoever sees the row
// sees the members that it leaves.
func (t *session) apply(row []record.Alteration, s standing) {
	t.members.putOut(s.remaining())
	t.changes.take(row)
	for id := range s.out {
		t.book.forget(id)
		t.notices.forget(id)
		if p, err := peerOf(id); err == nil && t.host != nil {
			t.drop(p)
		}
	}
	t.tell.Ring()
}

// rekey saves a new network key and has the node start again with it. Invites that carry a former key are void.
func (t *session) rekey(next networkKey) error {
	if err := t.cfg.Store.RevokeInvites(t.ctx); err != nil {
		return err
	}
	in := t.saved
	in.former, in.key = string(in.key[:])+in.former, next
	if len(in.former) > maxChanges*len(next) {
		in.former = in.former[:maxChanges*len(next)]
	}
	if err := t.cfg.Vault.Set(t.ctx, networkSecret, secret.NewText(in.text())); err != nil {
		return err
	}
	t.saved = in
	t.log.Info("the network key has changed")
	t.end(t.renew, func() {})
	return nil
}

// end ends the session, once, after what was told had time to arrive; first is done at once.
func (t *session) end(then, first func()) {
	if t.ending {
		return
	}
	t.ending = true
	first()
	t.wg.Go(func() {
		select {
		case <-time.After(lingerFor):
			then()
		case <-t.ctx.Done():
		}
	})
}

// nextKey is the network key of the newest change that this node follows.
func (t *session) nextKey() networkKey {
	t.changing.Lock()
	defer t.changing.Unlock()
	return t.saved.key
}

// tellChanges sends the newest change to everybody and hands it over to those who are connected.
func (t *session) tellChanges() {
	for _, id := range t.host.Network().Peers() {
		if name, err := nameOf(id); err == nil && t.members.belongs(name) {
			t.wg.Go(func() { t.tellChange(id, name) })
		}
	}
}

func (t *session) tellChange(id peer.ID, name core.PeerID) {
	if err := t.handOver(id, name); err != nil && t.ctx.Err() == nil {
		t.log.Debug("tell a peer how the swarm changed", "peer", name, "err", err)
	}
}

// alter makes a change, by this node, of the swarm.
func (t *session) alter(out, delegate core.PeerID) error {
	t.changing.Lock()
	defer t.changing.Unlock()
	return t.change(out, delegate)
}

// change is alter for who holds the mutex.
func (t *session) change(out, delegate core.PeerID) error {
	a := t.changes.next()
	a.By, a.Out, a.Delegate, a.Time = t.self, out, delegate, time.Now()
	if last, ok := t.changes.last(); ok && record.HashKey(t.saved.key) != last.KeyHash {
		return core.Errorf(core.CodeNotReady, "this PC has not heard the newest network key yet").
			WithHint("Try again when a PC that has it is connected.")
	}
	if err := t.changes.standing().allows(t.realm.founder, a); err != nil {
		return err
	}
	key, remaining := t.saved.key, slices.DeleteFunc(t.members.names(), func(id core.PeerID) bool { return id == out })
	if !out.IsZero() {
		rand.Read(key[:]) // never fails
	}
	a, err := record.Alter(t.cfg.Identity, t.net, a, key, remaining)
	if err != nil {
		return err
	}
	return t.follow(append(t.changes.records(), a.Record), key[:])
}
