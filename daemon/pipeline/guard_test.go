package pipeline_test

import (
	"encoding/binary"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/fake"
	"github.com/shoal-p2p/shoal/daemon/pipeline"
	"github.com/shoal-p2p/shoal/daemon/swarm/swarmtest"
	"github.com/shoal-p2p/shoal/daemon/swarm/wire"
)

// withOp is a batch of one operation and no rows.
func withOp(number uint64, kind engine.OpKind, seq, from, source int32, sampler string) []byte {
	b := binary.LittleEndian.AppendUint64(nil, number)
	b = append(b, 0, 0, 0, 0, 0) // flags, slowest step
	b = append(binary.LittleEndian.AppendUint32(b, 1), byte(kind))
	for _, v := range []int32{seq, from, source} {
		b = binary.LittleEndian.AppendUint32(b, uint32(v))
	}
	b = append(binary.LittleEndian.AppendUint32(b, uint32(len(sampler))), sampler...)
	return append(b, 0, 0, 0, 0, 0, 0, 0, 0) // rows, floats
}

// answerTo opens a session of two sequences on a stage, sends it a batch and tells what came of it: a result, which may
// have failed, or the end of the session.
func answerTo(t *testing.T, frame []byte) (failed bool, code string) {
	t.Helper()
	s := newSwarm(t, fake.Config{}, "stage")
	stream, err := s.net.Join("bad").Open(t.Context(), swarmtest.ID("stage"), pipeline.Protocol)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Reset()
	out, in := wire.NewWriter(stream, time.Second), wire.NewReader(stream, 10*time.Second, 0)
	if err := out.Send(open, opening("bad", "stage")); err != nil {
		t.Fatal(err)
	}
	for {
		kind, body, err := in.Next()
		switch {
		case err != nil:
			t.Fatalf("no answer: %v", err)
		case kind == ready:
			if err := out.SendPayload(batch, frame); err != nil {
				t.Fatal(err)
			}
		case kind == fault:
			var m wire.PipelineFault
			_ = wire.Unmarshal(body, &m)
			return false, m.Code
		case kind == result:
			return body[8]&4 != 0, ""
		}
	}
}

// TestHostileOperations sends operations on sequences that the session has not: each ends the session, and not the
// node, whose own lists such a number would index.
func TestHostileOperations(t *testing.T) {
	for name, frame := range map[string][]byte{
		"past the last":         withOp(1, engine.OpTrim, 2, 0, 0, ""),
		"far past the last":     withOp(1, engine.OpTrim, math.MaxInt32, 0, 0, ""),
		"negative":              withOp(1, engine.OpTrim, -1, 0, 0, ""),
		"copy of one past all":  withOp(1, engine.OpCopy, 0, 0, 2, ""),
		"copy of a negative":    withOp(1, engine.OpCopy, 0, 0, -1, ""),
		"sampler past the last": withOp(1, engine.OpSampler, 9, 0, 0, "{}"),
		"no kind":               withOp(1, 0, 0, 0, 0, ""),
		"unknown kind":          withOp(1, 99, 0, 0, 0, ""),
		"no JSON":               withOp(1, engine.OpSampler, 0, 0, 0, "{"),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if _, code := answerTo(t, frame); code != string(core.CodeInvalidRequest) {
					t.Errorf("the session ended with %q", code)
				}
			})
		})
	}
}

// TestHostileSamplers sends samplers out of range: they are refused before the window sees them, and the session, which
// may hold other requests of that host, goes on.
func TestHostileSamplers(t *testing.T) {
	for name, c := range map[string]struct {
		sampler string
		fails   bool
	}{
		"good":         {`{"Temperature":0.5}`, false},
		"temperature":  {`{"Temperature":-1}`, true},
		"top":          {`{"TopLogprobs":100000}`, true},
		"bias":         {`{"LogitBias":{"99999":1}}`, true},
		"history":      {`{"History":[-5]}`, true},
		"accepted":     {`{"Accepted":[99999]}`, true},
		"huge penalty": {`{"RepeatPenalty":1e9}`, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				failed, code := answerTo(t, withOp(1, engine.OpSampler, 0, 0, 0, c.sampler))
				if code != "" || failed != c.fails {
					t.Errorf("the batch failed: %v, the session ended with %q", failed, code)
				}
			})
		})
	}
}

// TestResultsGoToTheHostOnly lets a stranger that knows the name of a session come for its results before the host does.
func TestResultsGoToTheHostOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSwarm(t, fake.Config{}, "first", "last")
		line := func(from core.Network, to string) core.Stream {
			stream, err := from.Open(t.Context(), swarmtest.ID(to), pipeline.Protocol)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = stream.Reset() })
			return stream
		}
		m := opening("host", "first")
		m.Chain = []*wire.PipelineStage{{Peer: "first", EndShard: 2}, {Peer: "last", FirstShard: 2, EndShard: 4}}
		taken := line(s.net.Join("thief"), "last")
		if err := wire.NewWriter(taken, time.Second).Send(attach, &wire.PipelineAttach{Session: m.Session}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		stream := line(s.net.Join("host"), "first")
		if err := wire.NewWriter(stream, time.Second).Send(open, m); err != nil {
			t.Fatal(err)
		}
		for in := wire.NewReader(stream, 10*time.Second, 0); ; {
			kind, body, err := in.Next()
			if err != nil {
				t.Fatalf("no answer: %v", err)
			}
			if kind == ready {
				t.Fatal("the session is ready, and its results go to a stranger")
			}
			if kind != fault {
				continue
			}
			var f wire.PipelineFault
			if err := wire.Unmarshal(body, &f); err != nil || f.Code != string(core.CodeForbidden) {
				t.Errorf("the session ended with %+v, %v", &f, err)
			}
			return
		}
	})
}
