package swarm

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"slices"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/swarm/record"
)

// announceEvery is how often a node tells about itself when nothing changes; announceGap is the least wait between
// two announcements.
const (
	announceEvery = time.Minute
	announceGap   = time.Second
)

// maxRPC bounds what one gossip message between two peers may hold: several statements.
const maxRPC = 4 * record.MaxSize

// gossip joins the topics. Every statement is signed by who makes it, so gossipsub need not sign once more.
func (t *session) gossip(h host.Host) error {
	router, err := pubsub.NewGossipSub(t.ctx, h,
		pubsub.WithMessageSignaturePolicy(pubsub.StrictNoSign), pubsub.WithNoAuthor(), pubsub.WithLogger(slog.New(quiet{t.log.Handler()})),
		pubsub.WithMessageIdFn(func(m *pb.Message) string { sum := sha256.Sum256(m.GetData()); return string(sum[:]) }),
		pubsub.WithMaxMessageSize(maxRPC), pubsub.WithFloodPublish(true),
		pubsub.WithPeerFilter(func(id peer.ID, _ string) bool { return t.guard.belongs(id) }))
	if err != nil {
		return err
	}
	if t.announceTopic, err = t.topic(router, "/shoal/announce/1", t.heard); err != nil {
		return err
	}
	t.admitTopic, err = t.topic(router, "/shoal/admit/1", t.heardAdmission)
	return err
}

// topic joins a topic whose messages are looked at by take, and passes on those that are new.
func (t *session) topic(router *pubsub.PubSub, name string, take func(from core.PeerID, data []byte) verdict) (*pubsub.Topic, error) {
	validate := func(_ context.Context, from peer.ID, m *pubsub.Message) pubsub.ValidationResult {
		if from == t.host.ID() {
			return pubsub.ValidationAccept
		}
		name, err := nameOf(from)
		if err != nil {
			return pubsub.ValidationReject
		}
		switch take(name, m.GetData()) {
		case isNew:
			return pubsub.ValidationAccept
		case isOld:
			return pubsub.ValidationIgnore
		}
		t.judge(name, core.ConductMalformed)
		return pubsub.ValidationReject
	}
	if err := router.RegisterTopicValidator(name, validate, pubsub.WithValidatorConcurrency(16)); err != nil {
		return nil, err
	}
	topic, err := router.Join(name)
	if err != nil {
		return nil, err
	}
	_, err = topic.Relay()
	return topic, err
}

// heard takes an announcement from the gossip.
func (t *session) heard(from core.PeerID, data []byte) verdict {
	s, err := record.Decode(data)
	if err != nil {
		return isBad
	}
	return t.learn(from, s)
}

// learn keeps an announcement that came from a peer.
func (t *session) learn(from core.PeerID, s *record.Signed) verdict {
	id, v := t.notices.take(from, s, t.members.belongs)
	if v == isNew && id != t.self {
		a, _ := t.notices.of(id)
		t.book.met(id, a.Addresses)
		t.book.update(id, func(e *entry) { e.Nickname = a.Nickname })
		t.confirmAnchors(a)
		t.tell.Ring()
	}
	return v
}

// confirmAnchors takes the founder's word for who is an anchor, and nobody else's: an anchor is dialled first, relays
// for everybody and is in every invite. The founder confirms those of its settings, and itself.
func (t *session) confirmAnchors(a core.Announcement) {
	if a.Peer != t.realm.founder {
		return
	}
	confirmed := map[core.PeerID]bool{a.Peer: a.Anchor}
	for _, text := range a.Anchors {
		info, err := peer.AddrInfoFromString(text)
		if err != nil {
			continue
		}
		if id, err := nameOf(info.ID); err == nil && t.knows(id) {
			confirmed[id] = true
			t.book.met(id, texts(info.Addrs))
		}
	}
	for _, e := range t.book.all() {
		if e.Anchor != confirmed[e.ID] && (a.Peer == e.ID || confirmed[e.ID]) {
			t.book.update(e.ID, func(e *entry) { e.Anchor = confirmed[e.ID] })
		}
	}
}

// heardAdmission takes a new member from the gossip; the message has the way up to the founder with it.
func (t *session) heardAdmission(_ core.PeerID, data []byte) verdict {
	var m record.Members
	if proto.Unmarshal(data, &m) != nil || len(m.Admissions) > maxChain {
		return isBad
	}
	fresh, err := t.members.add(m.Admissions)
	switch {
	case err != nil:
		return isBad
	case len(fresh) == 0:
		return isOld
	}
	return isNew
}

// spread tells everybody of a new member.
func (t *session) spread(id core.PeerID) {
	data, err := proto.Marshal(&record.Members{Admissions: t.members.chain(id)})
	if err == nil {
		err = t.admitTopic.Publish(t.ctx, data)
	}
	if err != nil && t.ctx.Err() == nil {
		t.log.Warn("tell of a new member", "peer", id, "err", err)
	}
}

// announceLoop tells about this node every minute, and soon after something changed.
func (t *session) announceLoop(s *Swarm) {
	var sequence uint64
	t.every(announceEvery, t.announce, func() {
		sequence = max(sequence+1, uint64(time.Now().UnixNano()))
		if err := t.publish(s.announcement(), sequence); err != nil && t.ctx.Err() == nil {
			t.log.Warn("announce this node", "err", err)
		}
		select {
		case <-time.After(announceGap):
		case <-t.ctx.Done():
		}
	})
}

// publish signs an announcement and gives it to the gossip.
func (t *session) publish(a core.Announcement, sequence uint64) error {
	a.Peer, a.Sequence, a.Time, a.Anchor = t.self, sequence, time.Now(), t.cfg.Anchor
	a.Addresses = texts(t.callable())
	if t.self == t.realm.founder {
		a.Anchors = t.cfg.Anchors()
	}
	if a.Version == "" {
		a.Version = t.cfg.Version
	}
	if a.Nickname == "" {
		a.Nickname = t.cfg.Nickname()
	}
	a, left := record.Fit(a, t.notices.asked(a.Demand))
	if left != t.left {
		t.log.Warn("this node holds more than fits an announcement", "told", len(a.Holdings), "left", left)
		t.left = left
	}
	s, err := record.Announce(t.cfg.Identity, t.net, a)
	if err != nil {
		return err
	}
	data, err := record.Encode(s)
	if err != nil {
		return err
	}
	t.mu.Lock()
	t.own = s
	t.mu.Unlock()
	return t.announceTopic.Publish(t.ctx, data)
}

// Announce changes what this node tells about itself; who it is, the time and the sequence are filled in.
func (s *Swarm) Announce(a core.Announcement) {
	s.mu.Lock()
	s.own = a
	t := s.current
	s.mu.Unlock()
	if t != nil {
		t.announce.Ring()
	}
}

func (s *Swarm) announcement() core.Announcement {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.own
	a.Holdings, a.Speeds, a.Demand = slices.Clone(a.Holdings), slices.Clone(a.Speeds), slices.Clone(a.Demand)
	return a
}

// Announcements returns what the others tell, without those that are silent for five minutes.
func (s *Swarm) Announcements() []core.Announcement {
	t, err := s.session()
	if err != nil {
		return nil
	}
	return t.notices.all()
}
