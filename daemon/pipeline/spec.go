package pipeline

import (
	"context"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/swarm/wire"
)

// Protocol names the chain's streams.
const Protocol = "/shoal/pipeline/1"

// Kinds of frames.
const (
	kindOpen wire.Kind = iota + 1
	kindAttach
	kindReady
	kindBeat
	kindPing
	kindCancel
	kindFault
	kindWarm
	kindWarmth
)

// Kinds of payload frames.
const (
	kindBatch  = wire.FirstPayload + iota // host or stage to the next stage
	kindResult                            // last stage to host
)

// Times of a session.
const (
	beatEvery    = 500 * time.Millisecond
	beatSilence  = 1800 * time.Millisecond // a stage that has been silent for as long is lost
	pulseSilence = 1500 * time.Millisecond // a window's process that does not answer for as long is lost
	openSilence  = 10 * time.Second        // before its first beat
	hostSilence  = 6 * time.Second         // a host that has been silent for as long is gone
	stallLimit   = 5 * time.Second         // for a peer that takes no bytes
	stuckLimit   = 2 * time.Minute         // for a batch that does not come out while every stage beats
	blameDelay   = 250 * time.Millisecond  // for a stage to say who is to blame when the ring breaks elsewhere
	attachLimit  = 10 * time.Second
	firstFrame   = 5 * time.Second
	maxStages    = 64
	maxCredits   = maxStages + 1
	maxSequences = 64
	maxContext   = 1 << 24
	maxRows      = 4096
)

// Spec is a chain: which peers run which shards of a model. The stages follow one another from the first shard to
// the last. A peer, the host too, may have several, with others between them: each is a window and a session of its own.
type Spec struct {
	Model    core.ModelID
	Manifest core.Digest
	Stages   []Stage
	Half     bool   // rows may travel as half floats
	Text     string // why this chain, in words
	Options
}

// Stage is one node's part of a chain.
type Stage struct {
	Peer       core.PeerID
	FirstShard int
	EndShard   int // one past the last shard
}

// Options are the sizes of a session. A stage may grant less.
type Options struct {
	Context   int // tokens of KV cache, all sequences together
	Sequences int // requests at once
	BatchRows int // most rows of a batch; 0 is 512
}

func (o Options) withDefaults() Options {
	if o.Context <= 0 {
		o.Context = 4096
	}
	if o.Sequences <= 0 {
		o.Sequences = 8
	}
	if o.BatchRows <= 0 {
		o.BatchRows = 512
	}
	return o
}

// Windows gives loaded windows of this PC's models. The library implements it.
type Windows interface {
	// Acquire returns a window of a run of shards, which it loads if need be, and keeps it loaded until release is
	// called. The manifest must be that of the model here. Several callers may get the same window: who steps it must
	// keep to sequences of its own. The window's sizes need not be those of the options. Errors have code
	// core.CodeNotFound, CodeConflict (another manifest), CodeInsufficientRAM, CodeNotReady or CodeEngineCrashed.
	Acquire(ctx context.Context, model core.ModelID, manifest core.Digest, firstShard, endShard int, o Options) (w engine.Window, release func(), err error)
}

// Warmer keeps windows of this PC in memory for later. The library implements it.
type Warmer interface {
	// Warm loads a window before it is needed, if there is room for it beside all that is in memory. It stays until
	// release is called, or until something else needs the memory: then gone is closed. Errors are those of
	// Windows.Acquire.
	Warm(ctx context.Context, model core.ModelID, manifest core.Digest, firstShard, endShard int, o Options) (gone <-chan struct{}, release func(), err error)
}

// Lost says which peer ended a chain.
type Lost struct {
	Peer core.PeerID
	Why  error
}

// Error implements error.
func (l *Lost) Error() string { return "peer " + l.Peer.String() + ": " + l.Why.Error() }

// Unwrap gives the cause to errors.Is and errors.As.
func (l *Lost) Unwrap() error { return l.Why }

// lost makes the error that ends a chain.
func lost(peer core.PeerID, why error) error {
	return core.Errorf(core.CodeEngineCrashed, "%w", &Lost{peer, why})
}
