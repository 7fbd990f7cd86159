package pipeline

import (
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/swarm/wire"
)

// opening is a checked Open message.
type opening struct {
	id      sessionID
	model   core.ModelID
	digest  core.Digest
	chain   []Stage
	index   int
	host    core.PeerID
	options Options
	half    bool // rows may travel as half floats
	credits int
	message *wire.PipelineOpen
}

// readOpen checks an Open message that a peer sent to self. The error has code core.CodeInvalidRequest.
func readOpen(body []byte, self, from core.PeerID) (*opening, error) {
	m := &wire.PipelineOpen{}
	if err := wire.Unmarshal(body, m); err != nil {
		return nil, err
	}
	if len(m.Session) != len(sessionID{}) || len(m.Manifest) != len(core.Digest{}) {
		return nil, core.Errorf(core.CodeInvalidRequest, "session name of %d bytes, manifest digest of %d", len(m.Session), len(m.Manifest))
	}
	o := &opening{id: sessionID(m.Session), digest: core.Digest(m.Manifest), index: int(m.Index), credits: int(m.Credits), message: m}
	var err error
	if o.model, err = core.ParseModelID(m.Model); err != nil {
		return nil, err
	}
	if o.host, err = core.ParsePeerID(m.Host); err != nil {
		return nil, err
	}
	if o.chain, err = readStages(m.Chain); err != nil {
		return nil, err
	}
	o.options = Options{Context: int(m.Context), Sequences: int(m.Sequences), BatchRows: int(m.BatchRows)}
	o.half = m.Half
	return o, o.check(self, from)
}

func readStages(list []*wire.PipelineStage) (chain []Stage, err error) {
	if len(list) < 1 || len(list) > maxStages {
		return nil, core.Errorf(core.CodeInvalidRequest, "chain of %d stages", len(list))
	}
	for _, m := range list {
		st := Stage{FirstShard: int(m.FirstShard), EndShard: int(m.EndShard)}
		if st.Peer, err = core.ParsePeerID(m.Peer); err != nil {
			return nil, err
		}
		chain = append(chain, st)
	}
	return chain, checkStages(chain)
}

// checkStages refuses stages that hold nothing or do not follow one another.
func checkStages(chain []Stage) error {
	for i, st := range chain {
		if st.FirstShard < 0 || st.EndShard <= st.FirstShard || st.EndShard > 4096 || i > 0 && st.FirstShard != chain[i-1].EndShard {
			return core.Errorf(core.CodeInvalidRequest, "stage %d has shards %d to %d", i, st.FirstShard, st.EndShard)
		}
	}
	return nil
}

func within(n, most int) bool { return n >= 1 && n <= most }

// within tells whether the sizes are some that a stage may be asked for.
func (o Options) within() bool {
	return within(o.Context, maxContext) && within(o.Sequences, maxSequences) && within(o.BatchRows, maxRows)
}

func (o *opening) check(self, from core.PeerID) error {
	switch {
	case o.index >= len(o.chain) || o.chain[o.index].Peer != self:
		return core.Errorf(core.CodeInvalidRequest, "stage %d of %d is not this node", o.index, len(o.chain))
	case o.index == 0 && from != o.host || o.index > 0 && from != o.chain[o.index-1].Peer:
		return core.Errorf(core.CodeForbidden, "peer %s is not the one before stage %d", from, o.index)
	case !o.options.within() || !within(o.credits, maxCredits):
		return core.Errorf(core.CodeInvalidRequest, "session of %d tokens, %d sequences, %d rows, %d credits",
			o.options.Context, o.options.Sequences, o.options.BatchRows, o.credits)
	}
	return nil
}

// last tells whether the stage is the last of the chain that is not the host.
func (o *opening) last() bool { return o.index == len(o.chain)-1 }

// self is the stage that the receiver is to be.
func (o *opening) self() Stage { return o.chain[o.index] }

// next is the message for the stage after.
func (o *opening) next() *wire.PipelineOpen {
	m := o.message
	return &wire.PipelineOpen{
		Session: m.Session, Model: m.Model, Manifest: m.Manifest, Chain: m.Chain, Index: m.Index + 1, Half: m.Half,
		Context: m.Context, Sequences: m.Sequences, BatchRows: m.BatchRows, Credits: m.Credits, Host: m.Host,
	}
}
