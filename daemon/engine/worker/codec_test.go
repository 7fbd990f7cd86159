package worker

import (
	"bytes"
	"encoding/binary"
	"math"
	"reflect"
	"testing"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
)

func sampleBatch() *engine.Batch {
	seed := uint32(7)
	return &engine.Batch{
		Ops: []engine.Op{
			{Kind: engine.OpTrim, Seq: 3, From: 12},
			{Kind: engine.OpCopy, Seq: 1, From: 5, Source: 2},
			{Kind: engine.OpSampler, Seq: 2, Sampler: &engine.Sampler{
				Sampling: core.Sampling{Temperature: 0.7, TopK: 40, Seed: &seed, LogitBias: map[int32]float64{5: -1.5}, Grammar: "root ::= \"a\""},
				History:  []int32{1, 2, 3},
			}},
		},
		Rows:   []engine.Row{{Token: -1, Pos: 4, Seq: 2}, {Token: 9, Pos: 5, Seq: 2, Sample: true}, {Token: 8, Pos: 6, Seq: 2, Sample: true, Draft: true}},
		Hidden: []float32{1.5, -2, 0, 65504},
		Embed:  true,
	}
}

func sampleOutput() *engine.Output {
	return &engine.Output{
		Hidden: []float32{1, -0.25},
		Samples: []engine.Sample{
			{Row: 3, Token: 42, Piece: []byte(" fish\xff"), End: true, Logprob: -0.5, Top: []engine.Candidate{{Token: 1, Piece: []byte("a"), Logprob: -1}}},
			{Row: 4, Token: -1},
		},
		Embeddings: [][]float32{{1, 2}, {3, 4}},
	}
}

func TestBatchRoundTrip(t *testing.T) {
	for _, over := range []bool{false, true} {
		want := sampleBatch()
		data, err := appendBatch(nil, want, over)
		if err != nil {
			t.Fatal(err)
		}
		var got engine.Batch
		ended, err := decodeBatch(data, &got)
		if err != nil || ended != over || !reflect.DeepEqual(&got, want) {
			t.Errorf("over %v: ended %v, %v\n got %+v\nwant %+v", over, ended, err, got, want)
		}
		for n := range data {
			if _, err := decodeBatch(data[:n], &got); err == nil {
				t.Errorf("over %v: %d of %d bytes are taken for a batch", over, n, len(data))
			}
		}
	}
}

func TestBatchRefusesWhatJSONCannotSay(t *testing.T) {
	b := &engine.Batch{Ops: []engine.Op{{Kind: engine.OpSampler, Sampler: &engine.Sampler{Sampling: core.Sampling{TopP: math.NaN()}}}}}
	if _, err := appendBatch(nil, b, false); core.CodeOf(err) != core.CodeInvalidRequest {
		t.Errorf("a NaN gave %v", err)
	}
}

func TestOutputRoundTrip(t *testing.T) {
	want := sampleOutput()
	data := appendOutput(nil, want)
	got, err := decodeOutput(data, nil)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\n got %+v\nwant %+v", err, got, want)
	}
	for n := range data {
		if _, err := decodeOutput(data[:n], nil); err == nil {
			t.Errorf("%d of %d bytes are taken for an output", n, len(data))
		}
	}
}

func TestOutputUsesSpareMemory(t *testing.T) {
	spare := make([]float32, 0, 8)
	got, err := decodeOutput(appendOutput(nil, sampleOutput()), spare)
	if err != nil || &got.Hidden[0] != &spare[:1][0] {
		t.Errorf("spare memory was not used; %v", err)
	}
}

func TestTextRoundTrip(t *testing.T) {
	const text = "a\x00b\xff"
	got, addSpecial, parseSpecial, err := decodeText(appendText(nil, text, true, false))
	if err != nil || got != text || !addSpecial || parseSpecial {
		t.Errorf("%q %v %v %v", got, addSpecial, parseSpecial, err)
	}
	pieces := [][]byte{[]byte("x"), nil, []byte("\xff")}
	list, err := decodePieces(appendPieces(nil, pieces))
	if err != nil || !reflect.DeepEqual(list, pieces) {
		t.Errorf("%q %v", list, err)
	}
}

func TestFrameRefusesLength(t *testing.T) {
	var h [headerSize]byte
	binary.LittleEndian.PutUint32(h[:], maxFrame+1)
	if _, err := readFrame(bytes.NewReader(h[:]), nil, maxFrame); core.CodeOf(err) != core.CodeTooLarge {
		t.Errorf("a frame of %d bytes gave %v", maxFrame+1, err)
	}
}

func FuzzDecodeBatch(f *testing.F) {
	for _, over := range []bool{false, true} {
		data, err := appendBatch(nil, sampleBatch(), over)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var b engine.Batch
		ended, err := decodeBatch(data, &b)
		if err != nil {
			return
		}
		again, err := appendBatch(nil, &b, ended)
		if err != nil {
			t.Fatal(err)
		}
		var c engine.Batch
		if _, err := decodeBatch(again, &c); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzDecodeOutput(f *testing.F) {
	f.Add(appendOutput(nil, sampleOutput()))
	f.Fuzz(func(t *testing.T, data []byte) {
		if out, err := decodeOutput(data, nil); err == nil {
			if _, err := decodeOutput(appendOutput(nil, out), nil); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func FuzzDecodeText(f *testing.F) {
	f.Add(appendText(nil, "Once", true, true))
	f.Add(appendPieces(nil, [][]byte{[]byte("Once"), nil}))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _, _, _ = decodeText(data)
		_, _ = decodePieces(data)
		c := &cursor{data: data}
		_ = c.tokens()
	})
}

func FuzzReadFrame(f *testing.F) {
	b, err := endFrame(append(startFrame(nil, kindStep, 9), "body"...))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, data []byte) {
		if fr, err := readFrame(bytes.NewReader(data), nil, 1<<16); err == nil && len(fr.body) > len(data) {
			t.Fatalf("%d bytes of body from %d", len(fr.body), len(data))
		}
	})
}
