package swarm

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/swarm/record"
	"github.com/shoal-p2p/shoal/daemon/swarm/wire"
)

// The frames of /shoal/member/1: each side sends a greeting, and its announcement once the other has shown that it is a
// member; where the members they know differ, each sends all of them, the last frame being marked.
const (
	frameGreeting     wire.Kind = 1
	frameMembers      wire.Kind = 2
	frameAnnouncement wire.Kind = 3
)

// membersPerFrame keeps a frame of admissions well below its bound: one takes about 150 bytes.
const membersPerFrame = 200

// talkFor is how long a greeting or a join may take in all, however slowly the bytes drip in.
const talkFor = 10 * time.Second

// greet shows a new peer that this node is a member, and asks the same of it.
func (t *session) greet(ctx context.Context, id peer.ID, name core.PeerID) error {
	s, err := t.open(ctx, name, memberProtocol)
	if err != nil {
		return err
	}
	return t.introduce(s, id)
}

// greeted answers a greeting.
func (t *session) greeted(s network.Stream) {
	id := s.Conn().RemotePeer()
	name, err := nameOf(id)
	if err != nil || t.book.refuses(name) || t.isFormer(s.Conn()) {
		s.Reset()
		return
	}
	if err := t.introduce(stream{s, name}, id); err != nil && t.ctx.Err() == nil {
		t.log.Debug("answer a greeting", "peer", name, "err", err)
	}
}

// introduce runs the exchange on a stream, the same on both sides, and ends the stream.
func (t *session) introduce(s core.Stream, id peer.ID) (err error) {
	hurry := time.AfterFunc(talkFor, func() { s.Reset() })
	defer hurry.Stop()
	defer func() {
		if err != nil {
			s.Reset()
			if c := core.CodeOf(err); c == core.CodeCorrupt || c == core.CodeTooLarge || c == core.CodeInvalidRequest {
				t.judge(s.Peer(), core.ConductMalformed)
			}
			return
		}
		s.Close()
	}()
	out, in := wire.NewWriter(s, talkFor), wire.NewReader(s, talkFor, 1)
	mine := &record.Greeting{Members: t.members.digest(), Chain: t.members.chain(t.self), Clock: time.Now().UnixMilli(), Head: t.changes.head()}
	if err := out.Send(frameGreeting, mine); err != nil {
		return err
	}
	var theirs record.Greeting
	if err := receive(in, frameGreeting, &theirs); err != nil {
		return err
	}
	if len(theirs.Chain) > maxChain {
		return core.Errorf(core.CodeTooLarge, "the way to the founder has %d steps", len(theirs.Chain))
	}
	if _, err := t.members.add(theirs.Chain); err != nil {
		return err
	}
	if !t.members.belongs(s.Peer()) {
		return core.Errorf(core.CodeForbidden, "peer %s is no member", s.Peer())
	}
	t.compareClocks(s.Peer(), theirs.Clock)
	t.book.met(s.Peer(), texts(t.host.Peerstore().Addrs(id)))
	if err := t.swapAnnouncements(s.Peer(), out, in); err != nil {
		return err
	}
	if string(theirs.Head) != string(mine.Head) && mine.Head != nil {
		t.wg.Go(func() { t.tellChange(id, s.Peer()) })
	}
	if string(theirs.Members) == string(mine.Members) {
		return nil
	}
	return t.swapMembers(out, in)
}

// swapAnnouncements tells a member of this node and hears of it.
func (t *session) swapAnnouncements(id core.PeerID, out *wire.Writer, in *wire.Reader) error {
	t.mu.Lock()
	own := t.own
	t.mu.Unlock()
	if own == nil {
		own = &record.Signed{} // nothing is told yet
	}
	if err := out.Send(frameAnnouncement, own); err != nil {
		return err
	}
	var theirs record.Signed
	if err := receive(in, frameAnnouncement, &theirs); err != nil {
		return err
	}
	if len(theirs.PublicKey) > 0 && t.learn(id, &theirs) == isBad {
		return core.Errorf(core.CodeCorrupt, "the announcement of %s is broken", id)
	}
	return nil
}

// compareClocks notes how far a peer's clock is off, and tells when that is much. millis is the peer's time.
func (t *session) compareClocks(id core.PeerID, millis int64) {
	const mostMillis = 1 << 50 // further off than any clock, and no overflow
	if millis <= 0 || millis > mostMillis {
		return
	}
	ahead := time.Until(time.UnixMilli(millis))
	if !t.notices.compare(id, ahead) {
		return
	}
	if ahead.Abs() >= admin.ClockWorthTelling {
		t.log.Warn("the clock of a peer differs from this one", "peer", id, "ahead", ahead.Round(time.Second))
		known, _ := t.book.get(id)
		t.cfg.Publish(core.EventActivity, core.Activity{
			Kind: "clock_differs", Timestamp: time.Now().UTC(), ToastLevel: "warning",
			Message: fmt.Sprintf("The clocks of this PC and of %s differ by %s. Set the one that is wrong.",
				cmp.Or(known.Nickname, id.String()), ahead.Abs().Round(time.Second)),
		})
	} else {
		t.log.Info("the clock of a peer is right again", "peer", id)
	}
	t.tell.Ring()
}

// swapMembers tells a peer every member this node knows and hears of those that the peer knows.
func (t *session) swapMembers(out *wire.Writer, in *wire.Reader) error {
	sent := make(chan error, 1)
	go func() { sent <- t.sendMembers(out) }()
	for total := 0; ; {
		var m record.Members
		if err := receive(in, frameMembers, &m); err != nil {
			return err
		}
		if total += len(m.Admissions) + len(m.Places); total > 2*maxMembers {
			return core.Errorf(core.CodeTooLarge, "a peer names too many members")
		}
		if _, err := t.members.add(m.Admissions); err != nil {
			return err
		}
		if err := t.takePlaces(m.Places); err != nil {
			return err
		}
		if m.Last {
			return <-sent
		}
	}
}

func (t *session) sendMembers(out *wire.Writer) error {
	parts := slices.Collect(slices.Chunk(t.byDepth(), membersPerFrame))
	for _, part := range parts {
		if err := out.Send(frameMembers, &record.Members{Admissions: part}); err != nil {
			return err
		}
	}
	for part := range slices.Chunk(t.places(), placesPerFrame) {
		if err := out.Send(frameMembers, &record.Members{Places: part}); err != nil {
			return err
		}
	}
	return out.Send(frameMembers, &record.Members{Last: true})
}

// Of a member that is there a few addresses are told, so that a newcomer finds its way.
const (
	placesPerFrame = 100
	perPlace       = 4
)

// places lists where the members are that this node heard of lately.
func (t *session) places() []*record.Place {
	var out []*record.Place
	for _, e := range t.book.some(func(e *entry) bool { return len(e.Addresses) > 0 }) {
		if !t.healthy(e) || !t.members.belongs(e.ID) {
			continue
		}
		if p, err := record.PlaceOf(e.ID, e.Addresses[:min(len(e.Addresses), perPlace)]); err == nil {
			out = append(out, p)
		}
	}
	return out
}

// takePlaces notes where members are that this node could not call so far.
func (t *session) takePlaces(list []*record.Place) error {
	for _, p := range list {
		id, at, err := record.OpenPlace(p)
		if err != nil {
			return err
		}
		if e, ok := t.book.get(id); ok && len(e.Addresses) == 0 && id != t.self && t.members.belongs(id) {
			t.book.met(id, at)
		}
	}
	t.redial.Ring()
	return nil
}

// byDepth lists the admissions so that each stands behind that of its issuer.
func (t *session) byDepth() []*record.Signed {
	type at struct {
		depth  int
		record *record.Signed
	}
	var list []at
	for _, a := range t.members.list() {
		list = append(list, at{len(t.members.chain(a.Member)), a.Record})
	}
	slices.SortStableFunc(list, func(a, b at) int { return a.depth - b.depth })
	out := make([]*record.Signed, len(list))
	for i, a := range list {
		out[i] = a.record
	}
	return out
}
