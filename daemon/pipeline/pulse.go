package pipeline

import (
	"time"

	"github.com/shoal-p2p/shoal/daemon/bell"
	"github.com/shoal-p2p/shoal/daemon/core"
)

// call asks the window's process for a sign of life, beside its steps, again and again until the session ends. Any
// answer is one; a window that lacks the tokenizer answers with an error. A process that is stopped, or whose memory
// is on a disk, gives none.
func (s *session) call(answers bell.Bell) {
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		_, _ = s.window.Pieces(s.ctx, nil, false)
		answers.Ring()
		select {
		case <-tick.C:
		case <-s.ctx.Done():
			return
		}
	}
}

// pulse ends the session when the window's process does not answer. This node's beats would go on, and the host would
// wait for a result for as long as a large batch may take.
func (s *session) pulse(answers bell.Bell) {
	limit := time.NewTimer(pulseSilence)
	defer limit.Stop()
	for {
		select {
		case <-answers:
			limit.Reset(pulseSilence)
		case <-limit.C:
			s.fail(core.Errorf(core.CodeEngineCrashed, "the engine of shards %d to %d has not answered for %s", s.self().FirstShard, s.self().EndShard, pulseSilence))
			return
		case <-s.ctx.Done():
			return
		}
	}
}
