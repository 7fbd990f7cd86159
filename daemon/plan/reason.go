package plan

import (
	"fmt"
	"strings"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// ReasonCode says in one word why a peer is not used or why there is no chain.
type ReasonCode string

// The reasons.
const (
	ReasonNoHolder    ReasonCode = "no_holder"               // nobody has these layers
	ReasonManifest    ReasonCode = "manifest_mismatch"       // has another file or cut of the model
	ReasonEngine      ReasonCode = "engine_mismatch"         // runs another runtime version
	ReasonExcluded    ReasonCode = "peer_lost"               // was lost a moment ago
	ReasonPaused      ReasonCode = "peer_paused"             // its owner paused it
	ReasonUnreachable ReasonCode = "peer_unreachable"        // no connection
	ReasonOverloaded  ReasonCode = "peer_overloaded"         // takes no more sessions
	ReasonUntrusted   ReasonCode = "untrusted"               // its trust score is too low
	ReasonOtherSwarm  ReasonCode = "other_swarm"             // public where private is asked for, or the other way round
	ReasonMemory      ReasonCode = "not_enough_memory"       // has the layers, but they do not fit, or not all of them together
	ReasonEnds        ReasonCode = "first_and_last_not_here" // encrypted pipeline without them on the host
	ReasonTooLong     ReasonCode = "too_many_stages"         // the layers are spread over too many peers, or in too many pieces
)

// Reason is why a peer is not used, or why some layers have nobody to run them.
type Reason struct {
	Code   ReasonCode      `json:"code"`
	Peer   core.PeerID     `json:"node_id"` // zero if it is about nobody in particular
	Layers core.LayerRange `json:"layers"`  // the layers concerned; zero if all that the peer holds
	shards core.Bitmap     // that the peer holds
}

// String gives the code, the layers counted from 0, both ends included, and the peer.
func (r Reason) String() string {
	s := string(r.Code)
	switch r.Layers.Len() {
	case 0:
	case 1:
		s += fmt.Sprintf(": layer %d", r.Layers.First)
	default:
		s += fmt.Sprintf(": layers %d-%d", r.Layers.First, r.Layers.End-1)
	}
	if !r.Peer.IsZero() {
		s += " at " + short(r.Peer)
	}
	return s
}

// short is the end of a peer's id, which is what tells ids apart.
func short(id core.PeerID) string {
	s := id.String()
	return s[max(0, len(s)-8):]
}

// Refusal is the error of a request that no chain can serve.
type Refusal struct {
	Reasons []Reason // for the layers without a holder first
	err     *core.Error
}

// Error lists the reasons.
func (r *Refusal) Error() string { return r.err.Error() }

// Unwrap gives the error with its code: core.CodeInsufficientRAM, core.CodeOverloaded or core.CodeNotReady.
func (r *Refusal) Unwrap() error { return r.err }

// maxNamed bounds how many reasons an error text has.
const maxNamed = 6

func refuse(r *Request, reasons []Reason) *Refusal {
	// What concerns layers comes before what concerns peers.
	var ordered []Reason
	for _, about := range []bool{true, false} {
		for _, reason := range reasons {
			if (reason.Layers.Len() > 0) == about {
				ordered = append(ordered, reason)
			}
		}
	}
	var words []string
	for _, reason := range ordered[:min(len(ordered), maxNamed)] {
		words = append(words, reason.String())
	}
	code := core.CodeNotReady
	switch ordered[0].Code {
	case ReasonMemory:
		code = core.CodeInsufficientRAM
	case ReasonOverloaded:
		code = core.CodeOverloaded
	}
	return &Refusal{ordered, core.Errorf(code, "no chain for %s: %s", r.Model, strings.Join(words, "; "))}
}

// uncovered refuses a request with layers that nobody eligible can run, and says why for each run of them.
func uncovered(r *Request, holders []*holder, rejected []Reason) *Refusal {
	var gaps []Reason
	first := 0
	for first < len(r.Shards) {
		gap := r.gap(first, holders, rejected)
		end := first + 1
		for gap.Code != "" && end < len(r.Shards) {
			next := r.gap(end, holders, rejected)
			if next.Code != gap.Code {
				break
			}
			if next.Peer != gap.Peer {
				gap.Peer = core.PeerID{}
			}
			end++
		}
		if gap.Code != "" {
			gaps = append(gaps, Reason{Code: gap.Code, Peer: gap.Peer, Layers: r.layers(first, end)})
		}
		first = end
	}
	if gaps == nil {
		return nil
	}
	return refuse(r, append(gaps, rejected...))
}

// gap says why nobody can run a shard; the zero value is that somebody can.
func (r *Request) gap(shard int, holders []*holder, rejected []Reason) Reason {
	reason := Reason{Code: ReasonNoHolder}
	for _, other := range rejected {
		if other.Code != ReasonManifest && other.shards.Has(shard) {
			reason = Reason{Code: other.Code, Peer: other.Peer}
			break
		}
	}
	end := r.Encrypted && (shard == 0 || shard == len(r.Shards)-1)
	for _, h := range holders {
		switch {
		case end && !h.home:
		case h.covers(shard, shard+1):
			return Reason{}
		case h.shards.Has(shard):
			reason = Reason{Code: ReasonMemory, Peer: h.Peer.Peer}
		}
	}
	if end && reason.Peer != r.Self {
		return Reason{Code: ReasonEnds}
	}
	return reason
}
