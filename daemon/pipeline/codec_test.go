package pipeline

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/frame"
)

func someLimits() frame.Limits {
	return frame.Limits{Rows: 64, Sequences: 4, Vocabulary: 100, Width: 2}
}

func somePacket() *packet {
	return &packet{
		header{number: 7, slowest: 9},
		engine.Batch{
			Embed: true,
			Ops: []engine.Op{
				{Kind: engine.OpTrim, Seq: 1, From: 5},
				{Kind: engine.OpCopy, Seq: 2, Source: 1, From: 3},
				{Kind: engine.OpSampler, Seq: 3, Sampler: &engine.Sampler{Sampling: core.Sampling{Temperature: 0.5, Grammar: "root ::= \"x\""}, Accepted: []int32{4}}},
			},
			Rows:   []engine.Row{{Token: 0, Pos: 4, Seq: 1}, {Token: 0, Pos: 5, Seq: 1, Sample: true}, {Token: 8, Pos: 6, Seq: 1, Sample: true, Draft: true}},
			Hidden: []float32{1, 2, 3, 4, 5, -6},
		},
	}
}

func failedPacket() *packet {
	p := somePacket()
	p.fail(core.Errorf(core.CodeCancelled, "gone"))
	return p
}

func someResults() map[string]*result {
	return map[string]*result{
		"result": {header{number: 3, slowest: 1200}, engine.Output{
			Samples: []engine.Sample{
				{Row: 1, Token: 5, Piece: []byte(" x\xff"), Logprob: -0.5, Top: []engine.Candidate{{Token: 1, Piece: []byte("a"), Logprob: -1}}},
				{Row: 2, Token: -1, End: true},
			},
			Embeddings: [][]float32{{1, 2}, {3, 4}},
		}},
		"result-hidden": {header{number: 3, slowest: 5}, engine.Output{Hidden: []float32{1, -2, 0.5, 4}}},
		"result-failed": {header{number: 4, failed: core.Errorf(core.CodeTimeout, "late").WithParam("x")}, engine.Output{}},
	}
}

// wantedFor is what a result of someResults is read for.
func wantedFor(name string) frame.Wanted {
	if name == "result-hidden" {
		return frame.Wanted{Rows: 2, Width: 2, Hidden: true, Vocabulary: 100}
	}
	return frame.Wanted{Rows: 3, Width: 2, Vocabulary: 100}
}

// TestWireBytes holds the frames against those of earlier versions, which are in other nodes: what changes here changes
// the name of the protocol.
func TestWireBytes(t *testing.T) {
	for name, c := range map[string]struct {
		packet *packet
		to     frame.View
	}{
		"batch":        {somePacket(), frame.View{Tokens: true, Samplers: true}},
		"batch-half":   {somePacket(), frame.View{Half: true}},
		"batch-failed": {failedPacket(), frame.View{Samplers: true}},
	} {
		body, err := appendPacket(nil, c.packet, c.to)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, name, body)
		var got packet
		for n := range body {
			if decodePacket(body[:n], &got, someLimits()) == nil {
				t.Errorf("%s: %d of %d bytes are taken for a batch", name, n, len(body))
			}
		}
	}
	for name, r := range someResults() {
		body := appendResult(nil, r, frame.View{Half: name == "result-hidden"})
		golden(t, name, body)
		if got, err := decodeResult(body, nil, wantedFor(name)); err != nil || !reflect.DeepEqual(got, r) {
			t.Errorf("%s comes back as %+v, %v", name, got, err)
		}
		for n := range body {
			if _, err := decodeResult(body[:n], nil, wantedFor(name)); err == nil {
				t.Errorf("%s: %d of %d bytes are taken for a result", name, n, len(body))
			}
		}
	}
}

// golden compares bytes with those of testdata/wire.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "wire", name+".hex"))
	if err != nil {
		t.Fatal(err)
	}
	want, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is %x, want %x; %v", name, got, want, err)
	}
}

func TestPacketsComeBack(t *testing.T) {
	for _, half := range []bool{false, true} {
		body, err := appendPacket(nil, somePacket(), frame.View{Samplers: true, Half: half})
		if err != nil {
			t.Fatal(err)
		}
		var got packet
		if err := decodePacket(body, &got, someLimits()); err != nil || !reflect.DeepEqual(&got, somePacket()) {
			t.Errorf("got %+v, %v", got, err)
		}
	}
}

// TestStagesSeeNoMoreThanTheyNeed checks what a stage in the middle is not told.
func TestStagesSeeNoMoreThanTheyNeed(t *testing.T) {
	p := somePacket()
	p.batch.Rows[0].Token = 65
	body, err := appendPacket(nil, p, frame.View{})
	if err != nil {
		t.Fatal(err)
	}
	var got packet
	if err := decodePacket(body, &got, someLimits()); err != nil {
		t.Fatal(err)
	}
	for _, r := range got.batch.Rows {
		if r.Token != 0 {
			t.Errorf("a middle stage is told token %d", r.Token)
		}
	}
	if s := got.batch.Ops[2].Sampler; s.Grammar != "" || len(s.Accepted) > 0 {
		t.Errorf("a middle stage is told the sampler %+v", s)
	}
}

// TestLargeFloatsTravelWhole checks that a batch which half floats cannot hold goes as float32.
func TestLargeFloatsTravelWhole(t *testing.T) {
	p := somePacket()
	p.batch.Hidden[2] = 70_000
	body, err := appendPacket(nil, p, frame.View{Samplers: true, Half: true})
	if err != nil {
		t.Fatal(err)
	}
	var got packet
	if err := decodePacket(body, &got, someLimits()); err != nil || got.batch.Hidden[2] != 70_000 {
		t.Errorf("got %v, %v", got.batch.Hidden, err)
	}
}

func FuzzDecodePacket(f *testing.F) {
	good, _ := appendPacket(nil, somePacket(), frame.View{Tokens: true, Samplers: true})
	f.Add(good)
	other, _ := appendPacket(nil, failedPacket(), frame.View{Samplers: true, Half: true})
	f.Add(other)
	f.Fuzz(func(t *testing.T, data []byte) {
		var p packet
		if decodePacket(data, &p, someLimits()) != nil {
			return
		}
		if len(p.batch.Rows) > 64 || len(p.batch.Hidden) != 2*len(p.batch.Rows) || frame.CheckHidden(p.batch.Hidden, 2) != nil {
			t.Fatalf("accepted %+v", p)
		}
		body, err := appendPacket(nil, &p, frame.View{Tokens: true, Samplers: true})
		if err != nil {
			return // a sampler that JSON reads but does not write
		}
		var again packet
		if err := decodePacket(body, &again, someLimits()); err != nil || len(again.batch.Rows) != len(p.batch.Rows) || again.number != p.number {
			t.Fatalf("%+v comes back as %+v, %v", p, again, err)
		}
	})
}

func FuzzDecodeResult(f *testing.F) {
	for name, r := range someResults() {
		f.Add(appendResult(nil, r, frame.View{Half: true}), name == "result-hidden")
	}
	f.Fuzz(func(t *testing.T, data []byte, hidden bool) {
		want := frame.Wanted{Rows: 8, Width: 2, Vocabulary: 100, Hidden: hidden}
		r, err := decodeResult(data, nil, want)
		if err != nil {
			return
		}
		out := r.output
		if len(out.Samples) > 8 || len(out.Embeddings) > 8 || r.failed == nil && hidden && len(out.Hidden) != 16 {
			t.Fatalf("accepted %+v", r)
		}
		again, err := decodeResult(appendResult(nil, r, frame.View{}), nil, want)
		if err != nil || len(again.output.Samples) != len(out.Samples) {
			t.Fatalf("%+v comes back as %+v, %v", r, again, err)
		}
	})
}

func FuzzReadOpen(f *testing.F) {
	self, _ := core.ParsePeerID("self")
	from, _ := core.ParsePeerID("from")
	f.Fuzz(func(t *testing.T, data []byte) {
		o, err := readOpen(data, self, from)
		if err != nil {
			return
		}
		if o.self().Peer != self || len(o.chain) > maxStages || o.credits > maxCredits || o.options.BatchRows > maxRows {
			t.Fatalf("accepted %+v", o)
		}
	})
}

func FuzzReadWarm(f *testing.F) {
	id, _ := core.ParseModelID("m")
	sp := Spec{Model: id, Options: Options{Context: 4096, Sequences: 8, BatchRows: 512}}
	good, err := proto.Marshal(warmMessage(sp, Stage{FirstShard: 2, EndShard: 4}))
	if err != nil {
		f.Fatal(err)
	}
	if w, err := readWarm(good); err != nil || w.stage != (Stage{FirstShard: 2, EndShard: 4}) || w.options != sp.Options || w.model != id {
		f.Fatalf("%+v, %v", w, err)
	}
	f.Add(good)
	f.Fuzz(func(t *testing.T, data []byte) {
		w, err := readWarm(data)
		if err != nil {
			return
		}
		if w.stage.FirstShard < 0 || w.stage.EndShard > 4096 || w.stage.EndShard <= w.stage.FirstShard || !w.options.within() {
			t.Fatalf("accepted %+v", w)
		}
	})
}
