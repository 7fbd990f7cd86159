package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// plan describes a chain. Standbys come from all holders, not only those searched.
func (p *problem) plan(chain []step, all []*holder) Plan {
	plan := Plan{Segments: p.segments(chain), Forecast: p.forecast(chain), Alternatives: []Alternative{}}
	last := chain[len(chain)-1].place
	plan.ReturnMS = milliseconds(p.way[last][p.host()])
	for i, s := range chain {
		plan.Segments[i].Standbys = p.standbys(s, chain, all)
	}
	return plan
}

func (p *problem) segments(chain []step) []Segment {
	list := make([]Segment, len(chain))
	at := p.host()
	for i, s := range chain {
		h := p.holders[s.place]
		layers := p.layers(s.first, s.end)
		list[i] = Segment{
			Peer: h.Peer.Peer, Nickname: h.Nickname, Local: h.home, First: s.first, End: s.end, Layers: layers,
			Loaded: h.loaded(s.first, s.end), Measured: h.measured,
			ComputeMS: milliseconds(time.Duration(layers.Len()) * h.layerTime), LatencyMS: milliseconds(p.way[at][s.place]),
			Standbys: []core.PeerID{},
		}
		at = s.place
	}
	return list
}

// standbys are who could run a segment in place of its peer, cheapest first: with what else they run of the chain.
func (p *problem) standbys(s step, chain []step, all []*holder) []core.PeerID {
	most := p.Standbys
	if most == 0 {
		most = defaultStandbys
	}
	ends := p.Encrypted && (s.first == 0 || s.end == len(p.Shards))
	taken := map[*holder]int64{}
	for _, other := range chain {
		taken[p.holders[other.place]] += p.need(other)
	}
	own := p.holders[s.place]
	var able []*holder
	for _, h := range all {
		if h != own && h.covers(s.first, s.end) && taken[h]+h.need[s.end]-h.need[s.first] <= h.free && (!ends || h.home) {
			able = append(able, h)
		}
	}
	slices.SortStableFunc(able, func(a, b *holder) int { return cmp.Compare(p.standIn(a, s), p.standIn(b, s)) })
	ids := []core.PeerID{}
	for _, h := range able[:min(len(able), most)] {
		ids = append(ids, h.Peer.Peer)
	}
	return ids
}

func (p *problem) standIn(h *holder, s step) time.Duration {
	return time.Duration(p.before[s.end]-p.before[s.first])*h.layerTime + h.roundTrip() + loadTime(h, s.first, s.end)/expectedTokens
}

// forecast adds up compute and ways. Peers work on a long prompt at the same time, so the slowest of them, with all its
// segments, sets the pace of it.
func (p *problem) forecast(chain []step) Forecast {
	var token, row, load time.Duration
	rows := make([]time.Duration, len(p.holders))
	at := p.host()
	for _, s := range chain {
		h, layers := p.holders[s.place], time.Duration(p.before[s.end]-p.before[s.first])
		token += p.way[at][s.place] + layers*h.layerTime
		rows[s.place] += layers * h.rowTime
		row = max(row, rows[s.place])
		load = max(load, loadTime(h, s.first, s.end))
		at = s.place
	}
	token += p.way[at][p.host()]
	return Forecast{DecodeTokensPerSecond: perSecond(token), PrefillTokensPerSecond: perSecond(row), LoadMS: milliseconds(load)}
}

// alternatives are the other ways that there are: all on the host, the best with others, the best single peer.
func (p *problem) alternatives(chosen []step) []Alternative {
	list := []Alternative{}
	n := len(p.Shards)
	add := func(name string, chain []step) {
		if !slices.Equal(chain, chosen) && !slices.ContainsFunc(list, func(a Alternative) bool { return slices.Equal(p.steps(a.Segments), chain) }) {
			list = append(list, Alternative{name, p.segments(chain), p.forecast(chain)})
		}
	}
	if p.home >= 0 && p.holders[p.home].covers(0, n) {
		add("local", []step{{p.home, 0, n}})
	}
	if chain, ok := p.onePeer(); ok {
		add("one peer", chain)
	}
	if chain, ok := p.search(split); ok {
		add("split", chain)
	}
	return list
}

// steps are the segments as the search names them.
func (p *problem) steps(segments []Segment) (list []step) {
	for _, s := range segments {
		place := slices.IndexFunc(p.holders, func(h *holder) bool { return h.Peer.Peer == s.Peer })
		list = append(list, step{place, s.First, s.End})
	}
	return list
}

// onePeer is the best peer that can run the whole model.
func (p *problem) onePeer() (best []step, ok bool) {
	for c, h := range p.holders {
		chain := []step{{c, 0, len(p.Shards)}}
		if !h.home && h.covers(0, len(p.Shards)) && p.mayBegin(c) && (!ok || p.cost(chain) < p.cost(best)) {
			best, ok = chain, true
		}
	}
	return best, ok
}

// text is the choice in words.
func (p *problem) text(plan *Plan) string {
	speed := plan.Forecast.DecodeTokensPerSecond
	if plan.Local() {
		s := fmt.Sprintf("This PC runs the whole model alone, about %.1f tokens/s", speed)
		if best, ok := fastest(plan.Alternatives); ok {
			return s + fmt.Sprintf("; the best way with others, %s, would give about %.1f.", names(best.Segments), best.Forecast.DecodeTokensPerSecond)
		}
		return s + "."
	}
	s := names(plan.Segments) + fmt.Sprintf(", about %.1f tokens/s", speed)
	for _, a := range plan.Alternatives {
		if a.Name == "local" {
			return s + fmt.Sprintf("; this PC alone would give about %.1f.", a.Forecast.DecodeTokensPerSecond)
		}
	}
	if p.home < 0 || !p.holders[p.home].covers(0, len(p.Shards)) {
		s += "; this PC cannot run all layers itself"
	}
	return s + "."
}

func fastest(list []Alternative) (best Alternative, ok bool) {
	for _, a := range list {
		if !ok || a.Forecast.DecodeTokensPerSecond > best.Forecast.DecodeTokensPerSecond {
			best, ok = a, true
		}
	}
	return best, ok
}

// names tells which layers run where.
func names(segments []Segment) string {
	var parts []string
	for _, s := range segments {
		where := s.Nickname
		switch {
		case s.Local:
			where = "this PC"
		case where == "":
			where = short(s.Peer)
		}
		parts = append(parts, fmt.Sprintf("layers %d-%d on %s", s.Layers.First, s.Layers.End-1, where))
	}
	return strings.Join(parts, ", ")
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func perSecond(d time.Duration) float64 { return float64(time.Second) / float64(max(1, d)) }
