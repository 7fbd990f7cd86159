package worker

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/frame"
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
		Rows:   []engine.Row{{Token: 1, Pos: 4, Seq: 2}, {Token: 9, Pos: 5, Seq: 2, Sample: true}, {Token: 8, Pos: 6, Seq: 2, Sample: true, Draft: true}},
		Hidden: []float32{1.5, -2, 3, 65504, 0.25, 1},
		Embed:  true,
	}
}

func sampleOutput() *engine.Output {
	return &engine.Output{
		Samples: []engine.Sample{
			{Row: 1, Token: 42, Piece: []byte(" fish\xff"), End: true, Logprob: -0.5, Top: []engine.Candidate{{Token: 1, Piece: []byte("a"), Logprob: -1}}},
			{Row: 2, Token: -1, End: true},
		},
		Embeddings: [][]float32{{1, 2}, {3, 4}},
	}
}

// middle is a window that takes and gives hidden states of two floats.
func middle() engine.Shape {
	return engine.Shape{Embedding: 2, Vocabulary: 100, Sequences: 4, BatchRows: 8}
}

// TestWireBytes holds the form of the frames against that of earlier versions. A node and its worker are of one version,
// but the operations, rows and outputs in them are also what nodes send one another.
func TestWireBytes(t *testing.T) {
	limits := frame.LimitsOf(middle())
	for name, ended := range map[string]bool{"batch": false, "batch-ended": true} {
		want := sampleBatch()
		if ended {
			want = &engine.Batch{Ops: want.Ops[:2]}
		}
		data, err := appendBatch(nil, want, ended)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, name, data)
		var got engine.Batch
		over, err := decodeBatch(data, &got, limits)
		if err != nil || over != ended || !reflect.DeepEqual(got.Rows, want.Rows) && len(want.Rows) > 0 || !reflect.DeepEqual(got.Ops, want.Ops) || !slices.Equal(got.Hidden, want.Hidden) {
			t.Errorf("%s: ended %v, %v\n got %+v\nwant %+v", name, over, err, got, want)
		}
		for n := range data {
			if _, err := decodeBatch(data[:n], &got, limits); err == nil {
				t.Errorf("%s: %d of %d bytes are taken for a batch", name, n, len(data))
			}
		}
	}
	last := middle()
	last.Last = true
	for name, c := range map[string]struct {
		out   *engine.Output
		shape engine.Shape
	}{"output": {sampleOutput(), last}, "output-hidden": {&engine.Output{Hidden: []float32{1, -0.25, 3, 4, 5, 6}}, middle()}} {
		data := frame.AppendOutput(nil, c.out, false)
		golden(t, name, data)
		got, err := decodeOutput(data, nil, frame.WantedOf(c.shape, 3))
		if err != nil || !reflect.DeepEqual(got, c.out) {
			t.Errorf("%s: %v\n got %+v\nwant %+v", name, err, got, c.out)
		}
		for n := range data {
			if _, err := decodeOutput(data[:n], nil, frame.WantedOf(c.shape, 3)); err == nil {
				t.Errorf("%s: %d of %d bytes are taken for an output", name, n, len(data))
			}
		}
	}
	golden(t, "text", appendText(nil, "a\x00b\xff", true, false))
	golden(t, "pieces", appendPieces(nil, [][]byte{[]byte("x"), nil, []byte("\xff")}))
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

func TestBatchRefusesWhatJSONCannotSay(t *testing.T) {
	b := &engine.Batch{Ops: []engine.Op{{Kind: engine.OpSampler, Sampler: &engine.Sampler{Sampling: core.Sampling{TopP: math.NaN()}}}}}
	if _, err := appendBatch(nil, b, false); core.CodeOf(err) != core.CodeInvalidRequest {
		t.Errorf("a NaN gave %v", err)
	}
}

func TestOutputUsesSpareMemory(t *testing.T) {
	spare := make([]float32, 0, 8)
	data := frame.AppendOutput(nil, &engine.Output{Hidden: []float32{1, 2, 3, 4}}, false)
	got, err := decodeOutput(data, spare, frame.WantedOf(middle(), 2))
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
		ended, err := decodeBatch(data, &b, frame.LimitsOf(middle()))
		if err != nil {
			return
		}
		again, err := appendBatch(nil, &b, ended)
		if err != nil {
			t.Fatal(err)
		}
		var c engine.Batch
		if _, err := decodeBatch(again, &c, frame.LimitsOf(middle())); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzDecodeText(f *testing.F) {
	f.Add(appendText(nil, "Once", true, true))
	f.Add(appendPieces(nil, [][]byte{[]byte("Once"), nil}))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _, _, _ = decodeText(data)
		_, _ = decodePieces(data)
		_ = frame.Read(data).Tokens()
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
