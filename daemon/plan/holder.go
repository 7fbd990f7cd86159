package plan

import (
	"cmp"
	"slices"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// Figures for what nobody has measured, and the weights of what is not time.
const (
	unknownLAN      = 2 * time.Millisecond   // round trip
	unknownFar      = 100 * time.Millisecond // round trip
	cpuBytes        = 8 << 30                // weights a second that a processor reads
	gpuBytes        = 100 << 30              // and a graphics card
	prefillSpeedup  = 8                      // rows of a prompt a layer computes in the time of one token
	hopOverhead     = 500 * time.Microsecond // of a stage at another node, besides the way there
	loadBytes       = 1 << 30                // weights a second that come into memory
	expectedTokens  = 256                    // of a reply, over which loading is spread
	exactHolders    = 16
	maxHolders      = 40 // that a search looks at; fits the bits of tight
	defaultStandbys = 2
)

// holder is a peer that may be used, with what the search needs.
type holder struct {
	*Peer
	home      bool
	layerTime time.Duration // of a decoded token
	rowTime   time.Duration // of a prompt's token
	measured  bool
	shards    core.Bitmap
	reach     []int   // by first shard: how far a segment can go; the shard itself if it cannot begin there
	loadedEnd []int   // by first shard: the end of the window in memory that begins there, or 0
	bytes     []int64 // of the model before each shard
	need      []int64 // memory, before each shard, for what is not in it yet
	free      int64
	chosen    bool // to be searched
}

// eligible sorts the peers that have shards of the model into those that may be used and reasons why not.
func eligible(r *Request) (holders []*holder, rejected []Reason) {
	before := make([]int64, len(r.Shards)+1)
	for i, s := range r.Shards {
		before[i+1] = before[i] + s.Bytes
	}
	for i := range r.Peers {
		p := &r.Peers[i]
		held := slices.IndexFunc(p.Holdings, func(h core.Holding) bool { return h.Model == r.Model })
		if held < 0 {
			continue
		}
		// A node may hold two cuts of one model.
		exact := slices.IndexFunc(p.Holdings, func(h core.Holding) bool { return h.Model == r.Model && h.Manifest == r.Manifest })
		if exact >= 0 {
			held = exact
		}
		holding := &p.Holdings[held]
		if code := r.judge(p, holding); code != "" {
			rejected = append(rejected, Reason{Code: code, Peer: p.Peer, shards: holding.Shards})
			continue
		}
		holders = append(holders, newHolder(r, p, holding, before))
	}
	return holders, rejected
}

// judge says why a peer may not be used; "" is that it may.
func (r *Request) judge(p *Peer, h *core.Holding) ReasonCode {
	home := p.Peer == r.Self
	switch {
	case h.Manifest != r.Manifest:
		return ReasonManifest
	case r.excluded(p.Peer):
		return ReasonExcluded
	case p.Paused:
		return ReasonPaused
	case p.Engine != r.Engine:
		return ReasonEngine
	case home:
		return ""
	case p.Public != r.Public:
		return ReasonOtherSwarm
	case p.Unreachable:
		return ReasonUnreachable
	case p.Trust < r.MinTrust:
		return ReasonUntrusted
	case p.Overloaded:
		return ReasonOverloaded
	}
	return ""
}

func newHolder(r *Request, p *Peer, held *core.Holding, bytes []int64) *holder {
	h := &holder{Peer: p, bytes: bytes, home: p.Peer == r.Self, shards: held.Shards, free: max(0, p.VRAMMB+p.RAMMB) << 20}
	h.speed(r)
	n := len(r.Shards)
	h.need = make([]int64, n+1)
	for i, s := range r.Shards {
		h.need[i+1] = h.need[i]
		if !held.Loaded.Has(i) {
			h.need[i+1] += s.Bytes + r.KVBytes*int64(s.Layers.Len())
		}
	}
	h.reach = make([]int, n)
	for first, end := 0, 0; first < n; first++ {
		end = max(end, first)
		for end < n && held.Shards.Has(end) && h.need[end+1]-h.need[first] <= h.free {
			end++
		}
		h.reach[first] = end
	}
	h.loadedEnd = make([]int, n)
	for i := 0; i < n; i++ {
		first := i
		for i < n && held.Loaded.Has(i) {
			i++
		}
		if i > first {
			h.loadedEnd[first] = i
		}
	}
	return h
}

// speed takes the measured speed, or a guess from what memory can do.
func (h *holder) speed(r *Request) {
	for _, s := range h.Speeds {
		if s.Model == r.Model && s.LayerTime > 0 {
			h.layerTime, h.rowTime, h.measured = s.LayerTime, s.PrefillRow, true
		}
	}
	if !h.measured {
		bytes := h.bytes[len(r.Shards)]
		perLayer := bytes / int64(r.Shards[len(r.Shards)-1].Layers.End)
		rate := int64(cpuBytes)
		if h.VRAMMB<<20 >= bytes {
			rate = gpuBytes
		}
		h.layerTime = max(time.Duration(float64(perLayer)/float64(rate)*float64(time.Second)), 10*time.Microsecond)
	}
	if h.rowTime <= 0 {
		h.rowTime = max(1, h.layerTime/prefillSpeedup)
	}
}

// roundTrip is from the host, measured or guessed.
func (h *holder) roundTrip() time.Duration {
	switch {
	case h.home:
		return 0
	case h.RTT > 0:
		return h.RTT
	case h.LAN:
		return unknownLAN
	default:
		return unknownFar
	}
}

// covers tells whether the holder can run a segment.
func (h *holder) covers(first, end int) bool { return h.reach[first] >= end }

// loaded tells whether a segment is just what is in memory already.
func (h *holder) loaded(first, end int) bool { return h.loadedEnd[first] == end }

// promising picks the holders that are searched. Up to 16 are all taken, which makes the search exact. Of more it
// takes the chain that holds the prefix, a cover of the model with as few stages as can be, and then for each shard
// the best that hold it. It tells whether so few can cover the model.
func promising(r *Request, all []*holder) ([]*holder, bool) {
	if len(all) <= exactHolders {
		return all, true
	}
	var chosen []*holder
	add := func(h *holder) {
		if len(chosen) < maxHolders && !h.chosen {
			h.chosen, chosen = true, append(chosen, h)
		}
	}
	for _, h := range all {
		if h.home {
			add(h)
		}
	}
	for at := 0; at < len(r.Shards); {
		widest := slices.MaxFunc(all, func(a, b *holder) int {
			return cmp.Or(cmp.Compare(a.reach[at], b.reach[at]), cmp.Compare(b.merit(r, at), a.merit(r, at)))
		})
		if add(widest); !widest.chosen {
			return nil, false
		}
		at = widest.reach[at]
	}
	for _, h := range all {
		if r.Prefix != nil && slices.ContainsFunc(r.Prefix.Segments, func(s Segment) bool { return s.Peer == h.Peer.Peer }) {
			add(h)
		}
	}
	// Shards in an order that spreads over the model, in case not all get their turn.
	for _, at := range spread(len(r.Shards)) {
		for range 4 {
			add(slices.MinFunc(all, func(a, b *holder) int { return cmp.Compare(a.rank(r, at), b.rank(r, at)) }))
		}
		if len(chosen) == maxHolders {
			break
		}
	}
	return chosen, true
}

// merit is about what a layer costs if the holder runs as much as it can from a shard on.
func (h *holder) merit(r *Request, at int) time.Duration {
	end := h.reach[at]
	if end == at {
		return never
	}
	layers := r.layers(at, end).Len()
	return h.layerTime + (h.roundTrip()/2+hopOverhead+loadTime(h, at, end)/expectedTokens)/time.Duration(layers)
}

// rank is merit for those that are not chosen yet.
func (h *holder) rank(r *Request, at int) time.Duration {
	if h.chosen {
		return never + 1
	}
	return h.merit(r, at)
}

// spread lists 0 to n-1, halves first.
func spread(n int) []int {
	list, seen := []int{0}, make([]bool, n)
	seen[0] = true
	for step := n; len(list) < n; step = (step + 1) / 2 {
		for i := 0; i < n; i += step {
			if !seen[i] {
				seen[i], list = true, append(list, i)
			}
		}
	}
	return list
}

// loadTime is the time to bring a segment into memory.
func loadTime(h *holder, first, end int) time.Duration {
	if h.loaded(first, end) {
		return 0
	}
	return time.Duration(float64(h.bytes[end]-h.bytes[first]) / loadBytes * float64(time.Second))
}
