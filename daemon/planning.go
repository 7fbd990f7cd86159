package daemon

import (
	"context"
	"errors"

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
func (n *Node) planFor(ctx context.Context, b library.Blueprint, exclude []core.PeerID, alternatives bool) (plan.Plan, error) {
	encrypted, _, err := n.Library.EncryptedPipeline(ctx, b.ID)
	if err != nil {
		return plan.Plan{}, err
	}
	self := n.announcement(ctx)
	r := plan.Request{
		Model: b.ID, Manifest: b.Manifest, KVBytes: b.KVBytes, Self: self.Peer, Engine: self.Engine, Exclude: exclude,
		MinTrust: minTrust, Encrypted: encrypted, Alternatives: alternatives, Peers: []plan.Peer{{Announcement: self, Trust: 1}},
	}
	for i, layers := range b.Layers {
		r.Shards = append(r.Shards, plan.Shard{Layers: layers, Bytes: b.Bytes[i]})
	}
	r.Peers = append(r.Peers, n.planPeers()...)
	return plan.Chain(r)
}

// planPeers are the other nodes as the planner sees them.
func (n *Node) planPeers() []plan.Peer {
	infos := map[core.PeerID]admin.PeerInfo{}
	for _, p := range n.network.swarm.Peers() {
		infos[p.NodeID] = p
	}
	var list []plan.Peer
	for _, a := range n.network.swarm.Announcements() {
		if a.Peer == n.network.swarm.Self() || a.Anchor {
			continue
		}
		p, met := infos[a.Peer]
		rtt, _ := n.network.swarm.PeerRTT(a.Peer)
		list = append(list, plan.Peer{
			Announcement: a, RTT: rtt, LAN: p.IsLANPeer, Trust: p.TrustScore, Unreachable: !met || p.Connection == "none" && !p.Healthy,
		})
	}
	return list
}

// chooseLocal tells whether a request for the model runs on this PC alone. The error is that nobody can serve it.
func (n *Node) chooseLocal(ctx context.Context, b library.Blueprint) (bool, error) {
	if b.Complete && (b.Refusal != "" || len(n.network.swarm.Announcements()) == 0) {
		return true, nil
	}
	p, err := n.planFor(ctx, b, nil, b.Complete)
	switch {
	case b.Complete && (err != nil || p.Local()):
		return true, nil // loading it makes room, or says what is in the way
	case b.Complete:
		return !outruns(p), nil
	case err != nil:
		return false, n.refusalOf(b.ID, err)
	}
	return false, nil
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

// planner chooses the chains of one model.
type planner struct {
	n  *Node
	id core.ModelID
}

// Chain implements pipeline.Planner.
func (p planner) Chain(ctx context.Context, exclude []core.PeerID) (pipeline.Spec, error) {
	b, err := p.n.Blueprint(p.id)
	if err != nil {
		return pipeline.Spec{}, err
	}
	p.n.network.swarm.Check(exclude...)
	chosen, err := p.n.planFor(ctx, b, exclude, false)
	if err != nil {
		return pipeline.Spec{}, err
	}
	set := p.n.settings.Get()
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

// Plan implements api.Swarm.
func (n *Node) Plan(ctx context.Context, id core.ModelID) (admin.PlanReport, error) {
	b, err := n.need(ctx, id)
	if err != nil {
		return admin.PlanReport{}, err
	}
	out := admin.PlanReport{ModelID: id.String(), Route: core.RouteNone}
	if out.Encrypted, _, err = n.Library.EncryptedPipeline(ctx, id); err != nil {
		return out, err
	}
	out.Draft = n.planDraft(id)
	p, err := n.planFor(ctx, b, nil, true)
	if err != nil {
		out.Text, out.Code = err.Error(), core.CodeOf(err)
		if r, ok := errors.AsType[*plan.Refusal](err); ok {
			out.Reasons = reasons(r.Reasons)
		}
		return out, nil
	}
	out.Possible, out.Route, out.Text = true, core.RouteDistributed, p.Text
	out.Segments, out.Forecast, out.Reasons = segments(p.Segments), forecast(p.Forecast), reasons(p.Rejected)
	for _, a := range p.Alternatives {
		out.Alternatives = append(out.Alternatives, admin.PlanAlternative{Name: a.Name, Segments: segments(a.Segments), Forecast: forecast(a.Forecast)})
	}
	for i, s := range p.Segments {
		out.Segments[i].TakesOver = n.network.chains.takesOver(id, s.Peer)
	}
	if b.Complete && !p.Local() && !outruns(p) {
		preferLocal(&out)
	}
	if len(out.Segments) == 1 && out.Segments[0].Local {
		out.Route = n.localRoute(id)
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
func (n *Node) localRoute(id core.ModelID) string {
	if n.WindowCount(id) > 1 {
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
