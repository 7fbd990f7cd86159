package pipeline

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/frame"
	"github.com/shoal-p2p/shoal/daemon/swarm/wire"
)

// Dial opens a session over the stages of a spec, none of which may be this node, and returns when every stage has
// loaded its window. The error names the peer at fault (Lost) where one is; its code is the peer's, or
// core.CodeEngineCrashed.
func Dial(ctx context.Context, network core.Network, spec Spec) (*Pipe, error) {
	spec.Options = spec.Options.withDefaults()
	if len(spec.Stages) < 1 || len(spec.Stages) > maxStages {
		return nil, core.Errorf(core.CodeInvalidRequest, "chain of %d stages", len(spec.Stages))
	}
	if err := checkStages(spec.Stages); err != nil {
		return nil, err
	}
	n := len(spec.Stages)
	p := &Pipe{
		network: network, spec: spec, ready: make(chan []*wire.PipelineShape, 1), broken: make(chan struct{}),
		done: make(chan struct{}), credits: make(chan struct{}, min(2*n+1, maxCredits)), seen: make([]time.Time, n),
		finish: make([]uint64, n), begun: time.Now(),
	}
	_, _ = rand.Read(p.id[:]) // never fails
	if err := p.open(ctx); err != nil {
		return nil, err
	}
	select {
	case shapes := <-p.ready:
		if err := p.join(shapes); err != nil {
			p.fail(lost(p.peer(0), err))
		}
	case <-p.broken:
	case <-ctx.Done():
		p.fail(core.Errorf(core.CodeCancelled, "open chain: %w", context.Cause(ctx)))
	}
	p.mu.Lock()
	err := p.err
	p.opened = true
	p.mu.Unlock()
	if err != nil {
		_ = p.Close()
		return nil, err
	}
	return p, nil
}

// open opens the two ends of the ring and starts the goroutines.
func (p *Pipe) open(ctx context.Context) (err error) {
	if p.first, err = p.stream(ctx, 0); err != nil {
		return err
	}
	p.in, p.out = wire.NewReader(p.first, openSilence, 0), wire.NewWriter(p.first, stallLimit)
	if err := p.out.Send(kindOpen, p.message()); err != nil {
		_ = p.first.Reset()
		return lost(p.peer(0), err)
	}
	p.answer = p.first
	if p.last() > 0 {
		if p.answer, err = p.stream(ctx, p.last()); err != nil {
			_ = p.first.Reset()
			return err
		}
		if err := wire.NewWriter(p.answer, stallLimit).Send(kindAttach, &wire.PipelineAttach{Session: p.id[:]}); err != nil {
			_ = p.first.Reset()
			_ = p.answer.Reset()
			return lost(p.peer(p.last()), err)
		}
		p.work.Go(func() { p.read(wire.NewReader(p.answer, time.Hour, 0), p.last()) })
	}
	p.work.Go(func() { p.read(p.in, 0) })
	p.work.Go(p.watch)
	go p.drain()
	return nil
}

func (p *Pipe) stream(ctx context.Context, stage int) (core.Stream, error) {
	opening, cancel := context.WithTimeout(ctx, openSilence)
	defer cancel()
	s, err := p.network.Open(opening, p.peer(stage), Protocol)
	if err != nil {
		return nil, lost(p.peer(stage), err)
	}
	return s, nil
}

func (p *Pipe) message() *wire.PipelineOpen {
	m := &wire.PipelineOpen{
		Session: p.id[:], Model: p.spec.Model.String(), Manifest: p.spec.Manifest[:], Half: p.spec.Half,
		Context: uint32(p.spec.Context), Sequences: uint32(p.spec.Sequences), BatchRows: uint32(p.spec.BatchRows),
		Credits: uint32(cap(p.credits)), Host: p.network.Self().String(),
	}
	for _, st := range p.spec.Stages {
		m.Chain = append(m.Chain, &wire.PipelineStage{Peer: st.Peer.String(), FirstShard: uint32(st.FirstShard), EndShard: uint32(st.EndShard)})
	}
	return m
}

// join checks the shapes of the stages and makes one of them.
func (p *Pipe) join(list []*wire.PipelineShape) error {
	if len(list) != len(p.spec.Stages) {
		return core.Errorf(core.CodeInvalidRequest, "%d shapes of %d stages", len(list), len(p.spec.Stages))
	}
	for i, m := range list {
		s := engine.Shape{
			Layers: core.LayerRange{First: int(m.FirstLayer), End: int(m.EndLayer)}, First: m.First, Last: m.Last,
			Embedding: int(m.Embedding), Vocabulary: int(m.Vocabulary), Context: int(m.Context), Sequences: int(m.Sequences),
			BatchRows: int(m.BatchRows), CanTrim: m.CanTrim, GPULayers: int(m.GpuLayers),
		}
		if err := checkShape(s, p.spec.Options); err != nil {
			return core.Errorf(core.CodeInvalidRequest, "stage %d: %w", i, err)
		}
		if i == 0 {
			p.shape = s
			continue
		}
		j := &p.shape
		if s.First || j.Last || s.Layers.First != j.Layers.End || s.Embedding != j.Embedding {
			return core.Errorf(core.CodeInvalidRequest, "stage %d does not follow the one before: its window is %+v", i, s)
		}
		j.Layers.End, j.Last, j.Vocabulary = s.Layers.End, s.Last, s.Vocabulary
		j.Context, j.Sequences, j.BatchRows = min(j.Context, s.Context), min(j.Sequences, s.Sequences), min(j.BatchRows, s.BatchRows)
		j.CanTrim, j.GPULayers = j.CanTrim && s.CanTrim, j.GPULayers+s.GPULayers
	}
	p.view = frame.View{Tokens: p.shape.First, Samplers: p.shape.Last, Half: p.spec.Half}
	return nil
}

// checkShape names the first value of a stage's shape that is out of range. A stage may grant less than was asked for.
func checkShape(s engine.Shape, o Options) error {
	leastVocabulary := 0
	if s.Last {
		leastVocabulary = 1
	}
	for _, v := range []struct {
		name             string
		value, low, high int
	}{
		{"first layer", s.Layers.First, 0, maxContext},
		{"last layer", s.Layers.End, s.Layers.First + 1, maxContext},
		{"embedding", s.Embedding, 1, 1 << 20},
		{"vocabulary", s.Vocabulary, leastVocabulary, 1 << 24},
		{"context", s.Context, 1, o.Context},
		{"sequences", s.Sequences, 1, o.Sequences},
		{"rows of a batch", s.BatchRows, 1, rowsThatFit(o.BatchRows, s.Embedding)},
	} {
		if v.value < v.low || v.value > v.high {
			return core.Errorf(core.CodeInvalidRequest, "%s is %d, not %d to %d", v.name, v.value, v.low, v.high)
		}
	}
	return nil
}
