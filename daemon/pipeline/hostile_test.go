package pipeline_test

import (
	"encoding/binary"
	"math"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine/fake"
	"github.com/shoal-p2p/shoal/daemon/pipeline"
	"github.com/shoal-p2p/shoal/daemon/swarm/swarmtest"
	"github.com/shoal-p2p/shoal/daemon/swarm/wire"
)

// Kinds of frames, as they are on the wire.
const (
	open wire.Kind = iota + 1
	attach
	ready
	beat
	ping
	cancelled
	fault
	warm
)

const (
	batch  = wire.FirstPayload + iota
	result // of the last stage
)

// opening is a good first frame of a session over one stage.
func opening(host, stage string) *wire.PipelineOpen {
	return &wire.PipelineOpen{
		Session: make([]byte, 16), Model: model.String(), Manifest: manifest[:], Host: host, Context: 100, Sequences: 2,
		BatchRows: 64, Credits: 3, Chain: []*wire.PipelineStage{{Peer: stage, EndShard: 4}},
	}
}

// refused reads frames until the stream ends, and returns the fault among them.
func refused(t *testing.T, s core.Stream) (code string) {
	t.Helper()
	in := wire.NewReader(s, 10*time.Second, 0)
	for {
		kind, body, err := in.Next()
		if err != nil {
			return code
		}
		if kind == fault {
			var m wire.PipelineFault
			if err := wire.Unmarshal(body, &m); err != nil {
				t.Error(err)
			}
			return m.Code
		}
	}
}

// TestHostileOpenings sends first frames that no honest host sends.
func TestHostileOpenings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSwarm(t, fake.Config{}, "stage")
		bad := s.net.Join("bad")
		for name, change := range map[string]func(*wire.PipelineOpen){
			"session":    func(m *wire.PipelineOpen) { m.Session = m.Session[:15] },
			"manifest":   func(m *wire.PipelineOpen) { m.Manifest = nil },
			"otherModel": func(m *wire.PipelineOpen) { m.Manifest = make([]byte, 32) },
			"modelPath":  func(m *wire.PipelineOpen) { m.Model = "../../etc" },
			"host":       func(m *wire.PipelineOpen) { m.Host = "somebodyelse" },
			"noHost":     func(m *wire.PipelineOpen) { m.Host = "" },
			"noChain":    func(m *wire.PipelineOpen) { m.Chain = nil },
			"longChain":  func(m *wire.PipelineOpen) { m.Chain = make([]*wire.PipelineStage, 65) },
			"index":      func(m *wire.PipelineOpen) { m.Index = 1 << 31 },
			"notMe":      func(m *wire.PipelineOpen) { m.Chain[0].Peer = "other" },
			"noShards":   func(m *wire.PipelineOpen) { m.Chain[0].EndShard = 0 },
			"manyShards": func(m *wire.PipelineOpen) { m.Chain[0].EndShard = 1 << 31 },
			"beyond":     func(m *wire.PipelineOpen) { m.Chain[0].EndShard = 9 },
			"context":    func(m *wire.PipelineOpen) { m.Context = 1 << 31 },
			"noContext":  func(m *wire.PipelineOpen) { m.Context = 0 },
			"sequences":  func(m *wire.PipelineOpen) { m.Sequences = 1 << 20 },
			"rows":       func(m *wire.PipelineOpen) { m.BatchRows = 1 << 31 },
			"credits":    func(m *wire.PipelineOpen) { m.Credits = 1 << 31 },
			"noCredits":  func(m *wire.PipelineOpen) { m.Credits = 0 },
			"gapInShards": func(m *wire.PipelineOpen) {
				m.Chain = append(m.Chain, &wire.PipelineStage{Peer: "x", FirstShard: 5, EndShard: 6})
			},
		} {
			stream, err := bad.Open(t.Context(), swarmtest.ID("stage"), pipeline.Protocol)
			if err != nil {
				t.Fatal(err)
			}
			m := opening("bad", "stage")
			change(m)
			if err := wire.NewWriter(stream, time.Second).Send(open, m); err != nil {
				t.Fatal(err)
			}
			if code := refused(t, stream); code == "" {
				t.Errorf("%s: not refused", name)
			}
			_ = stream.Reset()
		}
		time.Sleep(5 * time.Second)
		if n := s.nodes["stage"].server.Sessions(); n != 0 {
			t.Errorf("%d sessions are left", n)
		}
	})
}

// body is a batch with one row and what follows its operations.
func body(number uint64, token, pos, seq uint32, floats ...float32) []byte {
	b := binary.LittleEndian.AppendUint64(nil, number)
	b = append(b, 0, 0, 0, 0, 0) // flags, slowest step
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = binary.LittleEndian.AppendUint32(b, 1)
	for _, v := range []uint32{token, pos, seq} {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	b = append(b, 1)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(floats)))
	for _, f := range floats {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(f))
	}
	return b
}

// TestHostileBatches opens sessions on a stage and sends it batches that no honest host sends: each ends with a fault,
// or, where only the batch is wrong, with a failed result.
func TestHostileBatches(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for name, c := range map[string]struct {
		first, end uint32
		frames     [][]byte
		fails      bool // the batch, not the session
	}{
		"empty":        {0, 4, [][]byte{{}}, false},
		"cut":          {0, 4, [][]byte{body(1, 65, 0, 0)[:20]}, false},
		"tooLong":      {0, 4, [][]byte{append(body(1, 65, 0, 0), 0)}, false},
		"number":       {0, 4, [][]byte{body(2, 65, 0, 0)}, false},
		"twice":        {0, 4, [][]byte{body(1, 65, 0, 0), body(1, 65, 1, 0)}, false},
		"token":        {0, 4, [][]byte{body(1, 1<<30, 0, 0)}, false},
		"sequence":     {0, 4, [][]byte{body(1, 65, 0, 2)}, false},
		"negative":     {0, 4, [][]byte{body(1, 65, 0, 1<<31)}, false},
		"position":     {0, 4, [][]byte{body(1, 65, 7, 0)}, true},
		"floats":       {0, 4, [][]byte{body(1, 65, 0, 0, 1, 2, 3, 4)}, false},
		"noFloats":     {2, 4, [][]byte{body(1, 0, 0, 0)}, false},
		"fewFloats":    {2, 4, [][]byte{body(1, 0, 0, 0, 1, 2, 3)}, false},
		"NaN":          {2, 4, [][]byte{body(1, 0, 0, 0, 1, nan, 3, 4)}, false},
		"infinity":     {2, 4, [][]byte{body(1, 0, 0, 0, 1, inf, 3, 4)}, false},
		"huge":         {2, 4, [][]byte{body(1, 0, 0, 0, 1, 1e30, 3, 4)}, false},
		"nothing":      {2, 4, [][]byte{body(1, 0, 0, 0, 0, 0, 0, 0)}, false},
		"many":         {0, 4, [][]byte{body(1, 65, 0, 0), body(2, 65, 1, 0), body(3, 65, 2, 0), body(4, 65, 3, 0), body(5, 65, 4, 0)}, false},
		"tooManyRows":  {0, 4, [][]byte{append(body(1, 65, 0, 0)[:17], 255, 255, 255, 255)}, false},
		"manyOps":      {0, 4, [][]byte{append(body(1, 65, 0, 0)[:13], 255, 255, 255, 127)}, false},
		"honestInputs": {2, 4, [][]byte{body(1, 0, 0, 0, 1, 2, 3, 4)}, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSwarm(t, fake.Config{StepTime: time.Second}, "stage")
				stream, err := s.net.Join("bad").Open(t.Context(), swarmtest.ID("stage"), pipeline.Protocol)
				if err != nil {
					t.Fatal(err)
				}
				defer stream.Reset()
				out := wire.NewWriter(stream, time.Second)
				m := opening("bad", "stage")
				m.Chain[0].FirstShard, m.Chain[0].EndShard = c.first, c.end
				if err := out.Send(open, m); err != nil {
					t.Fatal(err)
				}
				in, code, got := wire.NewReader(stream, 10*time.Second, 0), "", false
				for code == "" && !got {
					kind, frame, err := in.Next()
					switch {
					case err != nil:
						t.Fatalf("no answer: %v", err)
					case kind == ready:
						for _, f := range c.frames {
							if err := out.SendPayload(batch, f); err != nil {
								t.Fatal(err)
							}
						}
					case kind == fault:
						var m wire.PipelineFault
						_ = wire.Unmarshal(frame, &m)
						code = m.Code
					case kind == result:
						got = true
						if failed := frame[8]&4 != 0; failed != (name == "position") && c.fails {
							t.Errorf("the batch failed: %v", failed)
						}
					}
				}
				if got != c.fails && !(name == "twice" || name == "many") {
					t.Errorf("got a result: %v, a fault: %q", got, code)
				}
			})
		})
	}
}

// evil is a stage that does as it is told by the test.
func evil(s *swarm, name string, shape *wire.PipelineShape, answer func(out *wire.Writer, body []byte)) {
	s.net.Join(name).Handle(pipeline.Protocol, func(stream core.Stream) {
		defer stream.Reset()
		in, out := wire.NewReader(stream, 10*time.Second, 0), wire.NewWriter(stream, time.Second)
		for {
			kind, frame, err := in.Next()
			if err != nil {
				return
			}
			switch kind {
			case open:
				_ = out.Send(beat, &wire.PipelineBeat{})
				_ = out.Send(ready, &wire.PipelineReady{Stages: []*wire.PipelineShape{shape}})
			case ping:
				_ = out.Send(beat, &wire.PipelineBeat{})
			case batch:
				answer(out, frame)
			}
		}
	})
}

func goodShape() *wire.PipelineShape {
	return &wire.PipelineShape{EndLayer: 4, First: true, Last: true, Embedding: 4, Vocabulary: fake.Vocabulary, Context: 1000, Sequences: 2, BatchRows: 64, CanTrim: true}
}

// sample is a result with one sample.
func sample(number uint64, row, token uint32, logprob float64) []byte {
	b := binary.LittleEndian.AppendUint64(nil, number)
	b = append(b, 0, 0, 0, 0, 0)
	b = binary.LittleEndian.AppendUint32(b, 0) // floats
	b = binary.LittleEndian.AppendUint32(b, 1)
	b = binary.LittleEndian.AppendUint32(b, row)
	b = binary.LittleEndian.AppendUint32(b, token)
	b = append(b, 0)
	b = binary.LittleEndian.AppendUint64(b, math.Float64bits(logprob))
	b = binary.LittleEndian.AppendUint32(b, 0) // piece
	b = binary.LittleEndian.AppendUint32(b, 0) // alternatives
	return binary.LittleEndian.AppendUint32(b, 0)
}

// TestHostileStages dials stages that lie: the host ends the session and blames them, or refuses the batch.
func TestHostileStages(t *testing.T) {
	number := func(body []byte) uint64 { return binary.LittleEndian.Uint64(body) }
	for name, answer := range map[string]func(out *wire.Writer, body []byte){
		"garbage":      func(out *wire.Writer, _ []byte) { _ = out.SendPayload(result, []byte("hello there")) },
		"empty":        func(out *wire.Writer, _ []byte) { _ = out.SendPayload(result) },
		"otherNumber":  func(out *wire.Writer, b []byte) { _ = out.SendPayload(result, sample(number(b)+1, 5, 65, 0)) },
		"token":        func(out *wire.Writer, b []byte) { _ = out.SendPayload(result, sample(number(b), 5, 1<<20, 0)) },
		"row":          func(out *wire.Writer, b []byte) { _ = out.SendPayload(result, sample(number(b), 2, 65, 0)) },
		"rowPast":      func(out *wire.Writer, b []byte) { _ = out.SendPayload(result, sample(number(b), 6, 65, 0)) },
		"NaN":          func(out *wire.Writer, b []byte) { _ = out.SendPayload(result, sample(number(b), 5, 65, math.NaN())) },
		"batchBack":    func(out *wire.Writer, b []byte) { _ = out.SendPayload(batch, b) },
		"unknownFrame": func(out *wire.Writer, b []byte) { _ = out.SendPayload(255, b) },
		"twice": func(out *wire.Writer, b []byte) {
			_ = out.SendPayload(result, sample(number(b), 5, 65, 0))
			_ = out.SendPayload(result, sample(number(b), 5, 65, 0))
		},
		"foreignBeat": func(out *wire.Writer, _ []byte) { _ = out.Send(beat, &wire.PipelineBeat{Index: 1 << 31}) },
		"readyTwice": func(out *wire.Writer, _ []byte) {
			_ = out.Send(ready, &wire.PipelineReady{})
			_ = out.Send(ready, &wire.PipelineReady{})
		},
		"cancelsAlone": func(out *wire.Writer, b []byte) {
			reply := append(binary.LittleEndian.AppendUint64(nil, number(b)), 4, 0, 0, 0, 0, 9, 0, 0, 0)
			_ = out.SendPayload(result, append(append(reply, "cancelled"...), 0, 0, 0, 0, 0, 0, 0, 0))
		},
		"silentAfterwards": func(*wire.Writer, []byte) {},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSwarm(t, fake.Config{}, "host")
				evil(s, "evil", goodShape(), answer)
				chain := scheduler(t, dial(t, s, "host", spec(fake.Config{}, "evil")))
				got := generate(t.Context(), chain, job("x", "prompt", 50))
				if got.err == nil || len(got.tokens) > 1 {
					t.Errorf("%d tokens, %v", len(got.tokens), got.err)
				}
				if l, ok := asLost(got.err); name != "row" && (!ok || l.Peer.String() != "evil") {
					t.Errorf("nobody is blamed: %v", got.err)
				}
			})
		})
	}
}

// TestHostileShapes dials stages that say what cannot be.
func TestHostileShapes(t *testing.T) {
	for name, change := range map[string]func(*wire.PipelineShape){
		"embedding":  func(m *wire.PipelineShape) { m.Embedding = 1 << 31 },
		"none":       func(m *wire.PipelineShape) { m.Embedding = 0 },
		"vocabulary": func(m *wire.PipelineShape) { m.Vocabulary = 1 << 31 },
		"layers":     func(m *wire.PipelineShape) { m.EndLayer = 0 },
		"context":    func(m *wire.PipelineShape) { m.Context = 1 << 31 },
		"sequences":  func(m *wire.PipelineShape) { m.Sequences = 1 << 31 },
		"rows":       func(m *wire.PipelineShape) { m.BatchRows = 1 << 31 },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSwarm(t, fake.Config{}, "host")
			shape := goodShape()
			change(shape)
			evil(s, "evil", shape, nil)
			p, err := pipeline.Dial(t.Context(), s.nodes["host"].Peer, spec(fake.Config{}, "evil"))
			if err == nil {
				_ = p.Close()
				t.Fatal("the shape is not refused")
			}
			if l, ok := asLost(err); !ok || l.Peer.String() != "evil" {
				t.Errorf("nobody is blamed: %v", err)
			}
		})
	}
}

// TestFloodOfSessions opens more sessions than one peer may have, and streams that say nothing: the stage stays small,
// and another host is served all the while.
func TestFloodOfSessions(t *testing.T) {
	s := newSwarm(t, fake.Config{}, "host", "stage")
	bad := s.net.Join("bad")
	before := memoryInUse()
	var streams []core.Stream
	for i := range 500 {
		stream, err := bad.Open(t.Context(), swarmtest.ID("stage"), pipeline.Protocol)
		if err != nil {
			t.Fatal(err)
		}
		streams = append(streams, stream)
		if i%2 == 0 {
			m := opening("bad", "stage")
			m.Session[0] = byte(i)
			_ = wire.NewWriter(stream, time.Second).Send(open, m) // may be refused already
		}
	}
	if n := s.nodes["stage"].server.Sessions(); n > 8 {
		t.Errorf("%d sessions of one peer", n)
	}
	if grown := (memoryInUse() - before) >> 20; grown > 64 {
		t.Errorf("memory grew by %d MiB", grown)
	}
	j := job("x", "prompt", 20)
	chain := scheduler(t, dial(t, s, "host", spec(fake.Config{}, "stage")))
	if got, want := generate(t.Context(), chain, j), alone(t, fake.Config{}, j); got.err != nil || got.text != want.text {
		t.Errorf("beside the flood: got %q, %v; want %q", got.text, got.err, want.text)
	}
	for _, stream := range streams {
		_ = stream.Reset()
	}
	await(t, func() bool { return s.nodes["stage"].server.Sessions() == 1 })
}

// TestSlowReader is a host that sends batches and takes no results: its session ends, and others go on meanwhile.
func TestSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSwarm(t, slow(), "host", "stage")
		stream, err := s.net.Join("bad").Open(t.Context(), swarmtest.ID("stage"), pipeline.Protocol)
		if err != nil {
			t.Fatal(err)
		}
		defer stream.Reset()
		if err := wire.NewWriter(stream, time.Second).Send(open, opening("bad", "stage")); err != nil {
			t.Fatal(err)
		}
		chain := scheduler(t, dial(t, s, "host", spec(slow(), "stage")))
		j := job("x", "prompt", 200)
		begin := time.Now()
		if got, want := generate(t.Context(), chain, j), alone(t, slow(), j); got.err != nil || got.text != want.text {
			t.Errorf("beside the slow reader: got %q, %v; want %q", got.text, got.err, want.text)
		}
		if took := time.Since(begin); took > 4200*time.Millisecond {
			t.Errorf("took %s", took)
		}
		time.Sleep(5 * time.Second) // the slow reader has not pinged either
		if n := s.nodes["stage"].server.Sessions(); n != 1 {
			t.Errorf("%d sessions, want the good one", n)
		}
	})
}

func memoryInUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}
