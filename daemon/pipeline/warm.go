package pipeline

import (
	"context"
	"sync"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/swarm/wire"
)

// Times of a warm window.
const (
	warmthEvery   = 2 * time.Second
	warmStream    = 7 * 24 * time.Hour // for a host that keeps a stream open
	warmthSilence = 7 * time.Second    // a node that has not said for as long how its window is has none
)

// wish is a checked Warm message.
type wish struct {
	model   core.ModelID
	digest  core.Digest
	stage   Stage // without the peer
	options Options
}

// readWarm checks a Warm message. The error has code core.CodeInvalidRequest.
func readWarm(body []byte) (*wish, error) {
	m := &wire.PipelineWarm{}
	if err := wire.Unmarshal(body, m); err != nil {
		return nil, err
	}
	if len(m.Manifest) != len(core.Digest{}) {
		return nil, core.Errorf(core.CodeInvalidRequest, "manifest digest of %d bytes", len(m.Manifest))
	}
	w := &wish{
		digest: core.Digest(m.Manifest), stage: Stage{FirstShard: int(m.FirstShard), EndShard: int(m.EndShard)},
		options: Options{Context: int(m.Context), Sequences: int(m.Sequences), BatchRows: int(m.BatchRows)},
	}
	var err error
	if w.model, err = core.ParseModelID(m.Model); err != nil {
		return nil, err
	}
	if !w.options.within() {
		return nil, core.Errorf(core.CodeInvalidRequest, "window of %d tokens, %d sequences, %d rows", m.Context, m.Sequences, m.BatchRows)
	}
	return w, checkStages([]Stage{w.stage})
}

// warmMessage asks for a stage of a chain.
func warmMessage(sp Spec, st Stage) *wire.PipelineWarm {
	return &wire.PipelineWarm{
		Model: sp.Model.String(), Manifest: sp.Manifest[:], FirstShard: uint32(st.FirstShard), EndShard: uint32(st.EndShard),
		Context: uint32(sp.Context), Sequences: uint32(sp.Sequences), BatchRows: uint32(sp.BatchRows),
	}
}

// warm keeps a window in memory for a host, until it ends the stream or this node gives the window up.
func (s *Server) warm(ctx context.Context, stream core.Stream, in *wire.Reader, body []byte) error {
	out := wire.NewWriter(stream, stallLimit)
	w, err := s.grantWarm(stream.Peer(), body)
	if err != nil {
		sendFault(out, err, core.PeerID{})
		_ = stream.CloseWrite()
		s.linger(stream)
		return err
	}
	defer s.dismissWarm(stream.Peer())
	ctx, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	group.Go(func() {
		if err = s.keepWarm(ctx, out, w); err != nil && ctx.Err() == nil {
			sendFault(out, err, core.PeerID{})
			_ = stream.CloseWrite()
			time.AfterFunc(4*blameDelay, func() { _ = stream.Reset() }) // the host has read it by then
		}
	})
	in.SetIdle(warmStream)
	_, _, _ = in.Next() // the host says nothing more: whatever comes is the end
	cancel()
	group.Wait()
	return err
}

// grantWarm reads a wish and counts it, or refuses it.
func (s *Server) grantWarm(peer core.PeerID, body []byte) (*wish, error) {
	w, err := readWarm(body)
	if err != nil {
		return nil, err
	}
	if s.cfg.Warmer == nil {
		return nil, errNoWarmer()
	}
	if s.cfg.Allow != nil {
		if err := s.cfg.Allow(peer, peer, w.model); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	total := 0
	for _, n := range s.warmed {
		total += n
	}
	if s.warmed[peer] >= s.cfg.Limits.WarmPerPeer || total >= 4*s.cfg.Limits.WarmPerPeer {
		return nil, core.Errorf(core.CodeOverloaded, "%d windows are kept warm already, %d of them for this peer", total, s.warmed[peer])
	}
	s.warmed[peer]++
	return w, nil
}

func (s *Server) dismissWarm(peer core.PeerID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.warmed[peer]--; s.warmed[peer] == 0 {
		delete(s.warmed, peer)
	}
}

// keepWarm loads a window and tells the host how it stands, until ctx ends (nil) or the window does.
func (s *Server) keepWarm(ctx context.Context, out *wire.Writer, w *wish) error {
	ctx, cancel := context.WithCancel(ctx)
	var gone <-chan struct{}
	var release func()
	loaded := make(chan error, 1)
	var group sync.WaitGroup
	group.Go(func() {
		var err error
		gone, release, err = s.cfg.Warmer.Warm(ctx, w.model, w.digest, w.stage.FirstShard, w.stage.EndShard, w.options)
		loaded <- err
	})
	defer func() {
		cancel()
		group.Wait()
		if release != nil {
			release()
		}
	}()
	tick := time.NewTicker(warmthEvery)
	defer tick.Stop()
	var ended <-chan struct{} // nil until the window is loaded
	for {
		if err := out.Send(kindWarmth, &wire.PipelineWarmth{Loaded: ended != nil}); err != nil {
			return errHostLeft
		}
		select {
		case err := <-loaded:
			if err != nil {
				return err
			}
			ended = gone
		case <-ended:
			return errGivenUp()
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func errNoWarmer() error { return core.Errorf(core.CodeUnsupported, "this node keeps no windows warm") }

func errGivenUp() error {
	return core.Errorf(core.CodeNotReady, "the window was given up: its memory was needed, or the model was unloaded")
}
