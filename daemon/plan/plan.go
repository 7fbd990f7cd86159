// Package plan decides which peer runs which layers of a model, and says why.
//
// It only computes: what it knows of the peers is given to it, and it neither waits nor talks to anybody.
package plan

import (
	"slices"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// Peer is what the host knows of a node. The host itself is one, if it can run layers.
type Peer struct {
	core.Announcement
	RTT         time.Duration // from the host and back; 0 is not measured
	LAN         bool
	Trust       float64 // 0 to 1
	Public      bool    // known from the public swarm only
	Unreachable bool
	Overloaded  bool // has said that it takes no more sessions
}

// Shard is one shard of the manifest.
type Shard struct {
	Layers core.LayerRange
	Bytes  int64
}

// Prefix is a chain whose stages still hold the beginning of the prompt.
type Prefix struct {
	Segments []Segment // Peer, First and End count
	Tokens   int       // of the prompt that need not be computed again
}

// Request is what a chain is wanted for.
type Request struct {
	Model    core.ModelID
	Manifest core.Digest // holders of another cut or another file of the model do not count
	Shards   []Shard     // of the manifest, in order
	KVBytes  int64       // memory that the context takes per layer
	Self     core.PeerID // the host
	Engine   string      // runtime version of the host; stages have the same
	Peers    []Peer
	// RTT gives the time from one peer to another and back where somebody measured it. It may be nil.
	RTT          func(a, b core.PeerID) (time.Duration, bool)
	Exclude      []core.PeerID // peers just lost
	MinTrust     float64       // peers below are not used
	Public       bool          // use peers of the public swarm and no others; else none of them
	Encrypted    bool          // the first and the last shard run on the host
	Prefix       *Prefix       // may be nil
	Standbys     int           // most per segment; 0 is two
	Alternatives bool          // also compare with other ways, which takes a little longer
}

// Segment is a run of whole shards on one peer.
type Segment struct {
	Peer      core.PeerID     `json:"node_id"`
	Nickname  string          `json:"nickname"`
	Local     bool            `json:"local"`       // on the host
	First     int             `json:"first_shard"` // in it
	End       int             `json:"end_shard"`   // not in it
	Layers    core.LayerRange `json:"layers"`
	Loaded    bool            `json:"loaded"`     // is one window in memory already
	Measured  bool            `json:"measured"`   // its speed is measured, not guessed
	ComputeMS float64         `json:"compute_ms"` // per decoded token
	LatencyMS float64         `json:"latency_ms"` // from the segment before it, one way
	Standbys  []core.PeerID   `json:"standbys"`   // who could take its place, best first
}

// Forecast is how fast a chain is expected to be for one request.
type Forecast struct {
	DecodeTokensPerSecond  float64 `json:"decode_tokens_per_second"`
	PrefillTokensPerSecond float64 `json:"prefill_tokens_per_second"`
	LoadMS                 float64 `json:"load_ms"` // until its windows are in memory
}

// Alternative is another way to run the model and what it would give.
type Alternative struct {
	Name     string    `json:"name"` // "local", "split" or "one peer"
	Segments []Segment `json:"segments"`
	Forecast Forecast  `json:"forecast"`
}

// Plan is a chain: segments that hold every layer once, in order.
type Plan struct {
	Segments     []Segment     `json:"segments"`
	Forecast     Forecast      `json:"forecast"`
	ReturnMS     float64       `json:"return_ms"` // from the last segment back to the host, one way
	UsesPrefix   bool          `json:"uses_prefix"`
	Text         string        `json:"text"` // the choice in words
	Alternatives []Alternative `json:"alternatives"`
	Rejected     []Reason      `json:"rejected"` // holders that were not considered; at most 32
}

// Local tells whether the host runs every layer.
func (p *Plan) Local() bool { return len(p.Segments) == 1 && p.Segments[0].Local }

// Peers lists the peers of the chain besides the host, in its order, each once.
func (p *Plan) Peers() []core.PeerID {
	var list []core.PeerID
	for _, s := range p.Segments {
		if !s.Local && !slices.Contains(list, s.Peer) {
			list = append(list, s.Peer)
		}
	}
	return list
}

// Chain finds the cheapest chain: the least time per decoded token in compute and on the way from the host through
// the ring and back, with few stages and windows that are in memory already. A peer may run several segments, with
// others between them. It is exact for up to 16 holders; among more it searches the most promising ones. No chain is a
// *Refusal, which has an error code and every reason.
func Chain(r Request) (Plan, error) {
	if err := r.check(); err != nil {
		return Plan{}, err
	}
	holders, rejected := eligible(&r)
	if refusal := uncovered(&r, holders, rejected); refusal != nil {
		return Plan{}, refusal
	}
	chosen, ok := promising(&r, holders)
	if !ok {
		return Plan{}, refuse(&r, append(rejected, Reason{Code: ReasonTooLong, Layers: r.layers(0, len(r.Shards))}))
	}
	p := newProblem(&r, chosen)
	best, ok := p.search(anything)
	if !ok {
		// Somebody has room for each shard, and whatever joins may be joined: it is that peers lack room for all their parts.
		return Plan{}, refuse(&r, append(rejected, Reason{Code: ReasonMemory, Layers: r.layers(0, len(r.Shards))}))
	}
	if tooLong(best) {
		return Plan{}, refuse(&r, append(rejected, Reason{Code: ReasonTooLong, Layers: r.layers(0, len(r.Shards))}))
	}
	kept, keeps := p.keepPrefix(best)
	plan := p.plan(kept, holders)
	plan.UsesPrefix = keeps
	plan.Rejected = rejected[:min(len(rejected), maxRejected)]
	if r.Alternatives {
		plan.Alternatives = p.alternatives(kept)
	}
	plan.Text = p.text(&plan)
	return plan, nil
}

// Most segments of a chain, and of one peer in it, that nodes take part in.
const (
	maxSegments     = 64
	segmentsPerPeer = 8
)

// tooLong tells whether a chain has more segments than nodes take.
func tooLong(chain []step) bool {
	count := map[int]int{}
	for _, s := range chain {
		if count[s.place]++; count[s.place] > segmentsPerPeer {
			return true
		}
	}
	return len(chain) > maxSegments
}

// maxRejected bounds Plan.Rejected.
const maxRejected = 32

func (r *Request) check() error {
	next := 0
	for _, s := range r.Shards {
		if s.Layers.First != next || s.Layers.Len() < 1 || s.Bytes < 0 {
			return core.Errorf(core.CodeInvalidRequest, "plan: shards do not follow each other")
		}
		next = s.Layers.End
	}
	if len(r.Shards) == 0 || len(r.Shards) > maxShards || r.KVBytes < 0 {
		return core.Errorf(core.CodeInvalidRequest, "plan: a model has 1 to %d shards", maxShards)
	}
	return nil
}

// maxShards bounds a model, as core.Bitmap does.
const maxShards = 4096

// layers are those of a run of shards.
func (r *Request) layers(first, end int) core.LayerRange {
	return core.LayerRange{First: r.Shards[first].Layers.First, End: r.Shards[end-1].Layers.End}
}

func (r *Request) excluded(id core.PeerID) bool { return slices.Contains(r.Exclude, id) }
