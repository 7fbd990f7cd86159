package plan

import (
	"container/heap"
	"encoding/binary"
	"math"
	"slices"
	"time"
)

// problem is a request with the holders that are searched. Places in it are indexes into holders; the host as the
// beginning and end of the ring is host.
type problem struct {
	*Request
	holders []*holder
	home    int               // place of the host, or -1 if it runs nothing
	way     [][]time.Duration // from place to place; the last row and column are the host
	before  []int             // layers before each shard
	start   [][]time.Duration // by first shard and place: least time to the end when a segment begins there
	tail    [][]time.Duration // by end and place: least time after a segment ended there
}

// never is the cost of what cannot be; sums of two do not overflow.
const never = time.Duration(math.MaxInt64 / 4)

// step is one segment of a chain.
type step struct{ place, first, end int }

// filter says which chains count.
type filter int

const (
	anything filter = iota
	split           // at least one segment is not on the host
)

func newProblem(r *Request, holders []*holder) *problem {
	p := &problem{Request: r, holders: holders, home: -1, before: []int{0}}
	for i, h := range holders {
		if h.home {
			p.home = i
		}
	}
	for _, s := range r.Shards {
		p.before = append(p.before, s.Layers.End)
	}
	p.measureWays()
	return p
}

// host is the place of the host as the ring's beginning and end.
func (p *problem) host() int { return len(p.holders) }

func (p *problem) measureWays() {
	n := len(p.holders) + 1
	p.way = make([][]time.Duration, n)
	for a := range n {
		p.way[a] = make([]time.Duration, n)
		for b := range n {
			if !p.atHome(a) || !p.atHome(b) {
				p.way[a][b] = p.oneWay(a, b) + hopOverhead
			}
		}
	}
}

func (p *problem) atHome(place int) bool { return place == p.host() || place == p.home }

// oneWay is half the round trip: measured, or between two peers half the sum of theirs to the host.
func (p *problem) oneWay(a, b int) time.Duration {
	switch {
	case p.atHome(a):
		return p.holders[b].roundTrip() / 2
	case p.atHome(b):
		return p.holders[a].roundTrip() / 2
	}
	x, y := p.holders[a], p.holders[b]
	if p.RTT != nil {
		if d, ok := p.RTT(x.Peer.Peer, y.Peer.Peer); ok {
			return d / 2
		}
	}
	return (x.roundTrip() + y.roundTrip()) / 4
}

// run is what a segment costs per token without the way to it.
func (p *problem) run(s step) time.Duration {
	h := p.holders[s.place]
	return time.Duration(p.before[s.end]-p.before[s.first])*h.layerTime + loadTime(h, s.first, s.end)/expectedTokens
}

// cost is that of a whole chain, the way back included.
func (p *problem) cost(chain []step) (total time.Duration) {
	at := p.host()
	for _, s := range chain {
		total += p.way[at][s.place] + p.run(s)
		at = s.place
	}
	return total + p.way[at][p.host()]
}

// mayBegin tells whether a place may run the first shard, mayEnd the last one.
func (p *problem) mayBegin(place int) bool { return !p.Encrypted || place == p.home }
func (p *problem) mayEnd(place int) bool   { return !p.Encrypted || place == p.home }

// relax computes start and tail from the back. They forget that the segments of one peer share its memory, so they are
// never too high, and mostly right.
func (p *problem) relax() {
	n, places := len(p.Shards), len(p.holders)
	p.start, p.tail = make([][]time.Duration, n), make([][]time.Duration, n+1)
	p.tail[n] = make([]time.Duration, places)
	for c := range places {
		p.tail[n][c] = never
		if p.mayEnd(c) {
			p.tail[n][c] = p.way[c][p.host()]
		}
	}
	for b := n - 1; b >= 0; b-- {
		p.start[b], p.tail[b] = make([]time.Duration, places), make([]time.Duration, places)
		for c, h := range p.holders {
			best := never
			for e := b + 1; e <= h.reach[b]; e++ {
				if rest := p.tail[e][c]; rest < never {
					best = min(best, p.run(step{c, b, e})+rest)
				}
			}
			p.start[b][c] = best
		}
		for c := range places {
			best := never
			for next, cost := range p.start[b] {
				if next != c {
					best = min(best, p.way[c][next]+cost)
				}
			}
			p.tail[b][c] = best
		}
	}
}

// state is the beginning of a chain.
type state struct {
	step
	parent *state
	cost   time.Duration
	least  time.Duration // of any chain that begins so
}

// frontier is a heap of states: least cost first, then those that are further.
type frontier []*state

func (f frontier) Len() int { return len(f) }
func (f frontier) Less(i, j int) bool {
	if f[i].least != f[j].least {
		return f[i].least < f[j].least
	}
	return f[i].end > f[j].end
}
func (f frontier) Swap(i, j int) { f[i], f[j] = f[j], f[i] }

// Push implements heap.Interface.
func (f *frontier) Push(x any) { *f = append(*f, x.(*state)) }

// Pop implements heap.Interface.
func (f *frontier) Pop() any {
	last := (*f)[len(*f)-1]
	*f = (*f)[:len(*f)-1]
	return last
}

// Expansions of a search: enough to be exact for a few holders, and bounded for many.
const (
	exactBudget   = 1 << 18
	boundedBudget = 1 << 9
)

// search finds the cheapest chain in which the segments of each peer fit its memory together. It goes on where the
// relaxed costs promise most, so it mostly walks straight to the end. When its budget is spent it hurries, which finds
// a chain that may cost more.
func (p *problem) search(f filter) ([]step, bool) {
	if p.start == nil {
		p.relax()
	}
	budget := boundedBudget
	if len(p.holders) <= exactHolders {
		budget = exactBudget
	}
	chain, ok, spent := p.explore(f, 1, budget)
	if spent {
		chain, ok, _ = p.explore(f, 4, 4*budget)
	}
	return chain, ok
}

// seen identifies what matters for the rest of a chain.
type seen struct {
	place, end int
	tight      string
}

// explore is a best-first search; haste weighs the promise against what is spent already.
func (p *problem) explore(f filter, haste time.Duration, budget int) (chain []step, ok, spent bool) {
	best := map[seen]time.Duration{}
	open := &frontier{}
	p.expand(&state{step: step{place: p.host()}}, f, haste, open)
	for open.Len() > 0 {
		s := heap.Pop(open).(*state)
		if s.end == len(p.Shards) {
			return s.chain(), true, false
		}
		key := seen{s.place, s.end, p.tight(s)}
		if old, ok := best[key]; ok && old <= s.cost {
			continue
		}
		best[key] = s.cost
		if budget--; budget < 0 {
			return nil, false, true
		}
		p.expand(s, f, haste, open)
	}
	return nil, false, false
}

// expand puts every way to go on from s into open.
func (p *problem) expand(s *state, f filter, haste time.Duration, open *frontier) {
	first := s.end
	for c, h := range p.holders {
		if c == s.place || p.start[first][c] >= never || first == 0 && !p.mayBegin(c) {
			continue
		}
		way, room := s.cost+p.way[s.place][c], h.free-p.taken(s, c)
		for end := first + 1; end <= h.reach[first] && h.need[end]-h.need[first] <= room; end++ {
			rest := p.tail[end][c]
			if rest >= never || f == split && h.home && first == 0 && end == len(p.Shards) {
				continue
			}
			next := &state{step: step{c, first, end}, parent: s, cost: way + p.run(step{c, first, end})}
			next.least = next.cost + haste*rest
			heap.Push(open, next)
		}
	}
}

// taken is the memory that a place gives to the chain so far.
func (p *problem) taken(s *state, place int) (n int64) {
	for ; s.parent != nil; s = s.parent {
		if s.place == place {
			n += p.need(s.step)
		}
	}
	return n
}

// need is the memory that a segment takes of its peer.
func (p *problem) need(s step) int64 {
	h := p.holders[s.place]
	return h.need[s.end] - h.need[s.first]
}

// tight writes down what is taken of the places where it could keep something from fitting later. Mostly there is
// none, so that all ways to a place and shard are one state.
func (p *problem) tight(s *state) string {
	var key []byte
	var done uint64
	for at := s; at.parent != nil; at = at.parent {
		h := p.holders[at.place]
		if done>>at.place&1 == 1 {
			continue
		}
		done |= 1 << at.place
		if taken := p.taken(s, at.place); taken+h.need[len(p.Shards)]-h.need[s.end] > h.free {
			key = append(key, byte(at.place))
			key = binary.LittleEndian.AppendUint64(key, uint64(taken))
		}
	}
	return string(key)
}

func (s *state) chain() (list []step) {
	for ; s.parent != nil; s = s.parent {
		list = append(list, s.step)
	}
	slices.Reverse(list)
	return list
}

// keepPrefix returns the chain that holds the prompt's beginning if what that saves is worth more than what a
// better chain gains. It tells whether it is that chain.
func (p *problem) keepPrefix(best []step) ([]step, bool) {
	if p.Prefix == nil {
		return best, false
	}
	old, ok := p.adopt(p.Prefix.Segments)
	if !ok {
		return best, false
	}
	var saved time.Duration
	for _, s := range old {
		saved += time.Duration(p.Prefix.Tokens*(p.before[s.end]-p.before[s.first])) * p.holders[s.place].rowTime
	}
	if p.cost(old)-saved/expectedTokens > p.cost(best) {
		return best, slices.Equal(old, best)
	}
	return old, true
}

// adopt finds a chain of segments among the holders, if it is allowed.
func (p *problem) adopt(segments []Segment) ([]step, bool) {
	var chain []step
	at := 0
	for i, s := range segments {
		place := slices.IndexFunc(p.holders, func(h *holder) bool { return h.Peer.Peer == s.Peer })
		if place < 0 || s.First != at || s.End <= at || s.End > len(p.Shards) || i > 0 && place == chain[i-1].place {
			return nil, false
		}
		chain, at = append(chain, step{place, s.First, s.End}), s.End
	}
	if at != len(p.Shards) || !p.mayBegin(chain[0].place) || !p.mayEnd(chain[len(chain)-1].place) {
		return nil, false
	}
	return chain, p.fits(chain)
}

// fits tells whether every segment is at its peer, with memory for all of them.
func (p *problem) fits(chain []step) bool {
	taken := make([]int64, len(p.holders))
	for _, s := range chain {
		h := p.holders[s.place]
		if taken[s.place] += p.need(s); !h.covers(s.first, s.end) || taken[s.place] > h.free {
			return false
		}
	}
	return true
}
