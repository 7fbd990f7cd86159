package router

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/library"
	"github.com/shoal-p2p/shoal/daemon/pipeline"
	"github.com/shoal-p2p/shoal/daemon/plan"
)

// Figures of planning.
const (
	minTrust    = 0.2
	worthwhile  = 1.15   // a chain must be so much faster than this PC alone, which has the whole model, to be chosen
	chainTokens = 12_288 // tokens of KV cache that a chain asks for at most; a stage has room for several chains
)

// planFor plans a chain for a model with what is known now.
func (r *Router) planFor(ctx context.Context, b library.Blueprint, exclude []core.PeerID, alternatives bool) (plan.Plan, error) {
	encrypted, _, err := r.cfg.Models.EncryptedPipeline(ctx, b.ID)
	if err != nil {
		return plan.Plan{}, err
	}
	self := r.self(ctx)
	req := plan.Request{
		Model: b.ID, Manifest: b.Manifest, KVBytes: b.KVBytes, Self: self.Peer, Engine: self.Engine, Exclude: exclude,
		MinTrust: minTrust, Encrypted: encrypted, Alternatives: alternatives, Peers: []plan.Peer{{Announcement: self, Trust: 1}},
	}
	for i, layers := range b.Layers {
		req.Shards = append(req.Shards, plan.Shard{Layers: layers, Bytes: b.Bytes[i]})
	}
	req.Peers = append(req.Peers, r.planPeers()...)
	return plan.Chain(req)
}

// planPeers are the other nodes as the planner sees them.
func (r *Router) planPeers() []plan.Peer {
	infos := map[core.PeerID]admin.PeerInfo{}
	for _, p := range r.cfg.Swarm.Peers() {
		infos[p.NodeID] = p
	}
	var list []plan.Peer
	for _, a := range r.cfg.Swarm.Announcements() {
		if a.Peer == r.cfg.Swarm.Self() || a.Anchor {
			continue
		}
		p, met := infos[a.Peer]
		rtt, _ := r.cfg.Swarm.PeerRTT(a.Peer)
		list = append(list, plan.Peer{
			Announcement: a, RTT: rtt, LAN: p.IsLANPeer, Trust: p.TrustScore, Unreachable: !met || p.Connection == "none" && !p.Healthy,
		})
	}
	return list
}

// way is which way a request goes: here alone, or over a chain by the plan that chose it, which is nil when one is up.
func (r *Router) way(ctx context.Context, b library.Blueprint) (here bool, chosen *plan.Plan, err error) {
	switch {
	case r.cfg.Models.Paused(): // refused in the usual words
		return true, nil, nil
	case b.Complete && (b.Refusal != "" || len(r.cfg.Swarm.Announcements()) == 0):
		return true, nil, nil
	case r.chains.up(b):
		return false, nil, nil
	}
	r.cfg.Log.Debug("planning the way of a request", "model", b.ID.String())
	p, err := r.planFor(ctx, b, nil, b.Complete)
	if b.Complete && (err != nil || p.Local() || !outruns(p)) {
		return true, nil, nil //nolint:nilerr // loading it makes room, or says what is in the way
	}
	if err != nil {
		return false, nil, r.refusalOf(b.ID, err)
	}
	return false, &p, nil
}

// outruns tells whether a chain is enough faster than this PC alone, by what was measured.
func outruns(p plan.Plan) bool {
	for _, s := range p.Segments {
		if !s.Measured {
			return false
		}
	}
	for _, a := range p.Alternatives {
		if a.Name == "local" {
			return p.Forecast.DecodeTokensPerSecond > worthwhile*a.Forecast.DecodeTokensPerSecond
		}
	}
	return true
}

// planLife is for how long the plan that chose a chain is good enough to build it.
const planLife = time.Second

// planner chooses the chains of one model.
type planner struct {
	r  *Router
	id core.ModelID

	mu     sync.Mutex // guards both
	chosen *plan.Plan // for the first chain; nil once it is used
	made   time.Time
}

// first is the plan that chose the chain, for the one time that it is built by it.
func (p *planner) first(exclude []core.PeerID) *plan.Plan {
	p.mu.Lock()
	defer p.mu.Unlock()
	chosen := p.chosen
	p.chosen = nil
	if len(exclude) > 0 || time.Since(p.made) > planLife {
		return nil
	}
	return chosen
}

// Chain implements pipeline.Planner.
func (p *planner) Chain(ctx context.Context, exclude []core.PeerID) (pipeline.Spec, error) {
	b, err := p.r.cfg.Models.Blueprint(p.id)
	if err != nil {
		return pipeline.Spec{}, err
	}
	p.r.cfg.Swarm.Check(exclude...)
	chosen := p.first(exclude)
	if chosen == nil {
		made, err := p.r.planFor(ctx, b, exclude, false)
		if err != nil {
			return pipeline.Spec{}, err
		}
		chosen = &made
	}
	set := p.r.cfg.Settings()
	spec := pipeline.Spec{Model: b.ID, Manifest: b.Manifest, Text: chosen.Text, Half: set.HalfRows && b.HalfRows}
	spec.Sequences = set.MaxBatchSize
	if spec.Context = set.ContextSize; spec.Context == 0 {
		spec.Context = min(max(b.Context, 512)*set.MaxBatchSize, chainTokens)
	}
	for _, s := range chosen.Segments {
		spec.Stages = append(spec.Stages, pipeline.Stage{Peer: s.Peer, FirstShard: s.First, EndShard: s.End})
	}
	return spec, nil
}

// Report tells which way a request for the model would go now, or why none.
func (r *Router) Report(ctx context.Context, b library.Blueprint) (out admin.PlanReport, err error) {
	id := b.ID
	out = admin.PlanReport{ModelID: id.String(), Route: core.RouteNone}
	if out.Encrypted, _, err = r.cfg.Models.EncryptedPipeline(ctx, id); err != nil {
		return out, err
	}
	out.Draft = r.planDraft(id)
	p, err := r.planFor(ctx, b, nil, true)
	if err != nil {
		out.Text, out.Code = err.Error(), core.CodeOf(err)
		if refusal, ok := errors.AsType[*plan.Refusal](err); ok {
			out.Reasons = reasons(refusal.Reasons)
		}
		return out, nil
	}
	out.Possible, out.Route, out.Text = true, core.RouteDistributed, p.Text
	out.Segments, out.Forecast, out.Reasons = segments(p.Segments), forecast(p.Forecast), reasons(p.Rejected)
	for _, a := range p.Alternatives {
		out.Alternatives = append(out.Alternatives, admin.PlanAlternative{Name: a.Name, Segments: segments(a.Segments), Forecast: forecast(a.Forecast)})
	}
	for i, s := range p.Segments {
		out.Segments[i].TakesOver = r.chains.takesOver(id, s.Peer)
	}
	if b.Complete && !p.Local() && !outruns(p) {
		preferLocal(&out)
	}
	if len(out.Segments) == 1 && out.Segments[0].Local {
		out.Route = r.localRoute(id)
	}
	return out, nil
}

// preferLocal turns a report to the way that this PC goes alone, since the chain's advantage is small or a guess.
func preferLocal(r *admin.PlanReport) {
	for i, a := range r.Alternatives {
		if a.Name == "local" {
			chain := admin.PlanAlternative{Name: "split", Segments: r.Segments, Forecast: r.Forecast}
			r.Alternatives[i] = chain
			r.Segments, r.Forecast = a.Segments, a.Forecast
			r.Text = "This PC runs the whole model alone; a chain is not known to be enough faster."
			return
		}
	}
}

// localRoute is the route of a model that runs on this PC alone.
func (r *Router) localRoute(id core.ModelID) string {
	if r.cfg.Models.WindowCount(id) > 1 {
		return core.RouteSplit
	}
	return core.RouteLocal
}

func segments(list []plan.Segment) (out []admin.PlanSegment) {
	for _, s := range list {
		o := admin.PlanSegment{
			NodeID: s.Peer.String(), Nickname: s.Nickname, Local: s.Local, FirstShard: s.First, EndShard: s.End,
			LayerStart: s.Layers.First, LayerEnd: s.Layers.End, Loaded: s.Loaded, Measured: s.Measured,
			ComputeMS: s.ComputeMS, LatencyMS: s.LatencyMS,
		}
		for _, id := range s.Standbys {
			o.Standbys = append(o.Standbys, id.String())
		}
		out = append(out, o)
	}
	return out
}

func forecast(f plan.Forecast) admin.PlanForecast {
	return admin.PlanForecast{
		DecodeTokensPerSecond: f.DecodeTokensPerSecond, PrefillTokensPerSecond: f.PrefillTokensPerSecond, LoadMS: f.LoadMS,
	}
}

func reasons(list []plan.Reason) (out []admin.PlanReason) {
	for _, r := range list {
		out = append(out, admin.PlanReason{
			Code: string(r.Code), NodeID: r.Peer.String(), LayerStart: r.Layers.First, LayerEnd: r.Layers.End, Text: r.String(),
		})
	}
	return out
}
