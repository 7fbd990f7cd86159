package pipeline

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/swarm/wire"
)

// Times and bounds of standbys.
const (
	standbyEvery = 5 * time.Second  // how often the planner is asked what would take over, where that is not warm yet
	coldFor      = 30 * time.Second // how long a node is not asked again for a window that it did not keep
	maxWarm      = 16               // windows that a chain has kept warm
)

// Warmth is how ready a standby's window is.
type Warmth string

// The states of a standby's window.
const (
	WarmthInUse   Warmth = "in_use"  // a stage of the chain already
	WarmthWarm    Warmth = "warm"    // in memory, waiting
	WarmthLoading Warmth = "loading" // on the way there
	WarmthCold    Warmth = "cold"    // would be loaded when it is needed
)

// Standby is a stage of the chain that takes over when a peer is lost.
type Standby struct {
	Stage
	Warmth Warmth
	Why    string // it is cold
}

// standbys keeps windows warm for what takes over when a peer of the chain is lost. What is warm stays as it is, even if
// the planner would choose something else by now.
type standbys struct {
	cfg  *RunnerConfig
	ctx  context.Context // ends all; set before the rest is used
	work sync.WaitGroup

	mu        sync.Mutex // guards all below
	chain     Spec
	fallbacks map[core.PeerID]Spec // by the peer that may be lost
	leases    map[Stage]*lease
}

// lease is a window that is kept warm, or was to be.
type lease struct {
	end    context.CancelFunc
	warmth Warmth
	why    error     // it is cold
	since  time.Time // when it went cold
}

func newStandbys(cfg *RunnerConfig) *standbys {
	return &standbys{cfg: cfg, fallbacks: map[core.PeerID]Spec{}, leases: map[Stage]*lease{}}
}

// keep cares for the standbys of a chain until ctx ends. What is warm then stays so: the next chain may be made of it.
func (s *standbys) keep(ctx context.Context, chain Spec, lost func() []core.PeerID) {
	s.mu.Lock()
	s.chain, s.fallbacks = chain, map[core.PeerID]Spec{}
	s.mu.Unlock()
	tick := time.NewTicker(standbyEvery)
	defer tick.Stop()
	for {
		s.review(ctx, lost())
		if ctx.Err() == nil {
			s.settle()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// peers are the other nodes of the chain.
func (s *standbys) peers() (list []core.PeerID) {
	for _, st := range s.chain.Stages {
		if st.Peer != s.cfg.Network.Self() && !slices.Contains(list, st.Peer) {
			list = append(list, st.Peer)
		}
	}
	return list
}

// review asks the planner what would take over for each peer for whom that is not warm.
func (s *standbys) review(ctx context.Context, lost []core.PeerID) {
	for _, peer := range s.peers() {
		if _, ok := s.instead(peer); ok {
			continue
		}
		sp, err := s.cfg.Planner.Chain(ctx, append(s.unwilling(lost), peer))
		if err != nil {
			sp, err = s.cfg.Planner.Chain(ctx, []core.PeerID{peer})
		}
		s.mu.Lock()
		if delete(s.fallbacks, peer); err == nil && checkStages(sp.Stages) == nil {
			sp.Options = sp.Options.withDefaults()
			s.fallbacks[peer] = sp
		}
		s.mu.Unlock()
	}
}

// unwilling adds to the lost the nodes that did not keep a window lately, so that others do it instead; not those of the
// chain, without which there would have to be another one.
func (s *standbys) unwilling(lost []core.PeerID) []core.PeerID {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := slices.Clone(lost)
	for st, l := range s.leases {
		inChain := slices.ContainsFunc(s.chain.Stages, func(other Stage) bool { return other.Peer == st.Peer })
		if l.warmth == WarmthCold && !inChain && !slices.Contains(list, st.Peer) {
			list = append(list, st.Peer)
		}
	}
	return list
}

// settle has the windows kept that are wanted, and no others. A refusal is remembered for a time.
func (s *standbys) settle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	wanted := s.wanted()
	for st, l := range s.leases {
		_, needed := wanted[st]
		if cold := l.warmth == WarmthCold; cold && time.Since(l.since) >= coldFor || !cold && !needed {
			l.end()
			delete(s.leases, st)
		}
	}
	for st, sp := range wanted {
		if s.leases[st] == nil {
			s.lease(sp, st)
		}
	}
}

// wanted are the stages of the fallbacks that the chain does not have. The mutex is held.
func (s *standbys) wanted() map[Stage]Spec {
	list := map[Stage]Spec{}
	for _, peer := range s.peers() {
		for _, st := range s.fallbacks[peer].Stages {
			if !slices.Contains(s.chain.Stages, st) && len(list) < maxWarm {
				list[st] = s.fallbacks[peer]
			}
		}
	}
	return list
}

// lease has a stage kept warm. The mutex is held.
func (s *standbys) lease(sp Spec, st Stage) {
	ctx, cancel := context.WithCancel(s.ctx)
	l := &lease{end: cancel, warmth: WarmthLoading}
	s.leases[st] = l
	s.work.Go(func() {
		defer cancel()
		hold := s.holdRemote
		if st.Peer == s.cfg.Network.Self() {
			hold = s.holdHere
		}
		err := hold(ctx, sp, st, func() { s.set(l, WarmthWarm, nil) })
		s.set(l, WarmthCold, err)
		if ctx.Err() == nil {
			s.cfg.Log.Info("standby is cold", "model", sp.Model.String(), "peer", st.Peer.String(), "firstShard", st.FirstShard, "endShard", st.EndShard, "err", err)
		}
	})
}

func (s *standbys) set(l *lease, w Warmth, why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l.warmth, l.why, l.since = w, why, time.Now()
}

// holdHere keeps a window of this node warm until ctx ends or the window is given up.
func (s *standbys) holdHere(ctx context.Context, sp Spec, st Stage, warm func()) error {
	warmer := s.cfg.Server.cfg.Warmer
	if warmer == nil {
		return errNoWarmer()
	}
	gone, release, err := warmer.Warm(ctx, sp.Model, sp.Manifest, st.FirstShard, st.EndShard, sp.Options)
	if err != nil {
		return err
	}
	defer release()
	warm()
	select {
	case <-gone:
		return errGivenUp()
	case <-ctx.Done():
		return nil
	}
}

// holdRemote has another node keep a window warm until ctx ends or that node gives it up.
func (s *standbys) holdRemote(ctx context.Context, sp Spec, st Stage, warm func()) error {
	opening, cancel := context.WithTimeout(ctx, openSilence)
	stream, err := s.cfg.Network.Open(opening, st.Peer, Protocol)
	cancel()
	if err != nil {
		return err
	}
	defer stream.Reset()
	defer context.AfterFunc(ctx, func() { _ = stream.Reset() })()
	if err := wire.NewWriter(stream, stallLimit).Send(kindWarm, warmMessage(sp, st)); err != nil {
		return err
	}
	in := wire.NewReader(stream, warmthSilence, 1)
	for {
		kind, body, err := in.Next()
		if err != nil {
			return err
		}
		switch kind {
		case kindWarmth:
			var m wire.PipelineWarmth
			if err := wire.Unmarshal(body, &m); err != nil {
				return err
			}
			if m.Loaded {
				warm()
			}
		case kindFault:
			return readFault(body, st.Peer)
		default:
			return core.Errorf(core.CodeInvalidRequest, "frame of kind %d", kind)
		}
	}
}

// instead is the chain that takes over for a lost peer, if it is warm.
func (s *standbys) instead(lost core.PeerID) (Spec, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sp, ok := s.fallbacks[lost]
	for _, st := range sp.Stages {
		if w := s.warmth(st); w != WarmthInUse && w != WarmthWarm {
			return sp, false
		}
	}
	return sp, ok
}

// warmth is how ready a stage is. The mutex is held.
func (s *standbys) warmth(st Stage) Warmth {
	if slices.Contains(s.chain.Stages, st) {
		return WarmthInUse
	}
	if l := s.leases[st]; l != nil {
		return l.warmth
	}
	return WarmthCold
}

// report lists the stages of the chain that takes over for a lost peer; there are none where none is known.
func (s *standbys) report(lost core.PeerID) (list []Standby) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, st := range s.fallbacks[lost].Stages {
		entry := Standby{Stage: st, Warmth: s.warmth(st)}
		if l := s.leases[st]; entry.Warmth == WarmthCold && l != nil && l.why != nil {
			entry.Why = l.why.Error()
		}
		list = append(list, entry)
	}
	return list
}
