package pipeline

import (
	"reflect"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
)

func someBounds() bounds { return bounds{rows: 64, sequences: 4, vocabulary: 100, width: 2} }

func somePacket() *packet {
	return &packet{
		number: 7, slowest: 9, embed: true,
		ops: []engine.Op{
			{Kind: engine.OpTrim, Seq: 1, From: 5},
			{Kind: engine.OpCopy, Seq: 2, Source: 1, From: 3},
			{Kind: engine.OpSampler, Seq: 3, Sampler: &engine.Sampler{Sampling: core.Sampling{Temperature: 0.5, Grammar: "root ::= \"x\""}, Accepted: []int32{4}}},
		},
		rows:   []engine.Row{{Token: 0, Pos: 4, Seq: 1}, {Token: 0, Pos: 5, Seq: 1, Sample: true}, {Token: 8, Pos: 6, Seq: 1, Sample: true, Draft: true}},
		hidden: []float32{1, 2, 3, 4, 5, -6},
	}
}

func TestPacketsComeBack(t *testing.T) {
	for _, half := range []bool{false, true} {
		body, err := appendPacket(nil, somePacket(), view{samples: true, half: half})
		if err != nil {
			t.Fatal(err)
		}
		var got packet
		if err := decodePacket(body, &got, someBounds()); err != nil || !reflect.DeepEqual(&got, somePacket()) {
			t.Errorf("got %+v, %v", got, err)
		}
	}
}

// TestStagesSeeNoMoreThanTheyNeed checks what a stage in the middle is not told.
func TestStagesSeeNoMoreThanTheyNeed(t *testing.T) {
	p := somePacket()
	p.rows[0].Token = 65
	body, err := appendPacket(nil, p, view{})
	if err != nil {
		t.Fatal(err)
	}
	var got packet
	if err := decodePacket(body, &got, someBounds()); err != nil {
		t.Fatal(err)
	}
	for _, r := range got.rows {
		if r.Token != 0 {
			t.Errorf("a middle stage is told token %d", r.Token)
		}
	}
	if s := got.ops[2].Sampler; s.Grammar != "" || len(s.Accepted) > 0 {
		t.Errorf("a middle stage is told the sampler %+v", s)
	}
}

// TestLargeFloatsTravelWhole checks that a batch which half floats cannot hold goes as float32.
func TestLargeFloatsTravelWhole(t *testing.T) {
	p := somePacket()
	p.hidden[2] = 70_000
	body, err := appendPacket(nil, p, view{samples: true, half: true})
	if err != nil {
		t.Fatal(err)
	}
	var got packet
	if err := decodePacket(body, &got, someBounds()); err != nil || got.hidden[2] != 70_000 {
		t.Errorf("got %v, %v", got.hidden, err)
	}
}

func FuzzDecodePacket(f *testing.F) {
	good, _ := appendPacket(nil, somePacket(), view{tokens: true, samples: true})
	f.Add(good)
	failed := somePacket()
	failed.failed = core.Errorf(core.CodeCancelled, "gone")
	other, _ := appendPacket(nil, failed, view{samples: true, half: true})
	f.Add(other)
	f.Fuzz(func(t *testing.T, data []byte) {
		var p packet
		if decodePacket(data, &p, someBounds()) != nil {
			return
		}
		if len(p.rows) > 64 || len(p.hidden) != 2*len(p.rows) || checkHidden(p.hidden, 2) != nil {
			t.Fatalf("accepted %+v", p)
		}
		body, err := appendPacket(nil, &p, view{tokens: true, samples: true})
		if err != nil {
			return // a sampler that JSON reads but does not write
		}
		var again packet
		if err := decodePacket(body, &again, someBounds()); err != nil || len(again.rows) != len(p.rows) || again.number != p.number {
			t.Fatalf("%+v comes back as %+v, %v", p, again, err)
		}
	})
}

func FuzzDecodeResult(f *testing.F) {
	want := wanted{rows: 8, width: 2, vocabulary: 100}
	f.Add(appendResult(nil, &result{packet: packet{number: 3}, samples: []engine.Sample{{Row: 1, Token: 5, Piece: []byte("x"), Top: []engine.Candidate{{Token: 1}}}}}, view{}), false)
	f.Add(appendResult(nil, &result{packet: packet{number: 3, hidden: make([]float32, 16)}}, view{half: true}), true)
	f.Add(appendResult(nil, &result{packet: packet{failed: core.Errorf(core.CodeTimeout, "late")}}, view{}), true)
	f.Fuzz(func(t *testing.T, data []byte, hidden bool) {
		to := want
		to.hidden = hidden
		r, err := decodeResult(data, nil, to)
		if err != nil {
			return
		}
		if len(r.samples) > 8 || len(r.embeddings) > 8 || r.failed == nil && hidden && len(r.hidden) != 16 {
			t.Fatalf("accepted %+v", r)
		}
		again, err := decodeResult(appendResult(nil, r, view{}), nil, to)
		if err != nil || len(again.samples) != len(r.samples) {
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
