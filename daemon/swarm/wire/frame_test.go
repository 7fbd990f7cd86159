package wire_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/swarm/swarmtest"
	"github.com/shoal-p2p/shoal/daemon/swarm/wire"
)

// memory is a stream that gives fixed bytes and keeps what is written.
type memory struct {
	in  *bytes.Reader
	out bytes.Buffer
}

func (m *memory) Read(b []byte) (int, error)       { return m.in.Read(b) }
func (m *memory) Write(b []byte) (int, error)      { return m.out.Write(b) }
func (m *memory) Close() error                     { return nil }
func (m *memory) CloseWrite() error                { return nil }
func (m *memory) Reset() error                     { return nil }
func (m *memory) SetReadDeadline(time.Time) error  { return nil }
func (m *memory) SetWriteDeadline(time.Time) error { return nil }
func (m *memory) Peer() core.PeerID                { return swarmtest.ID("x") }

func header(n uint32, kind wire.Kind) []byte {
	return append(binary.LittleEndian.AppendUint32(nil, n), byte(kind))
}

func TestFramesComeBack(t *testing.T) {
	m := &memory{}
	w := wire.NewWriter(m, time.Second)
	if err := w.Send(3, &wire.PipelineBeat{Index: 7}); err != nil {
		t.Fatal(err)
	}
	big := bytes.Repeat([]byte{1, 2, 3}, 100_000)
	if err := w.SendPayload(wire.FirstPayload, big[:5], big[5:]); err != nil {
		t.Fatal(err)
	}
	r := wire.NewReader(&memory{in: bytes.NewReader(m.out.Bytes())}, time.Second, 0)
	kind, body, err := r.Next()
	var beat wire.PipelineBeat
	if err != nil || kind != 3 || wire.Unmarshal(body, &beat) != nil || beat.Index != 7 {
		t.Errorf("got kind %d, %v, %v", kind, &beat, err)
	}
	if kind, body, err = r.Next(); err != nil || kind != wire.FirstPayload || !bytes.Equal(body, big) {
		t.Errorf("got kind %d with %d bytes, %v", kind, len(body), err)
	}
	if _, _, err := r.Next(); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
}

// TestLengthsAreCheckedFirst sends headers that promise too much: they are refused without memory for the body.
func TestLengthsAreCheckedFirst(t *testing.T) {
	for _, c := range []struct {
		n    uint32
		kind wire.Kind
	}{{wire.MaxControl + 1, 0}, {1 << 31, 1}, {1<<32 - 1, 127}, {1001, wire.FirstPayload}, {1<<32 - 1, 255}} {
		r := wire.NewReader(&memory{in: bytes.NewReader(header(c.n, c.kind))}, time.Second, 1000)
		if _, _, err := r.Next(); core.CodeOf(err) != core.CodeTooLarge {
			t.Errorf("frame of kind %d, %d bytes: %v", c.kind, c.n, err)
		}
	}
	w := wire.NewWriter(&memory{}, time.Second)
	if err := w.SendPayload(1, make([]byte, wire.MaxControl+1)); core.CodeOf(err) != core.CodeTooLarge {
		t.Errorf("writing a control frame that is too long: %v", err)
	}
}

func TestSilenceAndStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := swarmtest.New()
		a := n.Join("a")
		n.Join("b").Handle("/p", func(s core.Stream) {
			<-t.Context().Done()
			_ = s.Reset()
		})
		s, err := a.Open(t.Context(), swarmtest.ID("b"), "/p")
		if err != nil {
			t.Fatal(err)
		}
		defer s.Reset()
		begin := time.Now()
		if _, _, err := wire.NewReader(s, 3*time.Second, 0).Next(); core.CodeOf(err) != core.CodeTimeout || time.Since(begin) != 3*time.Second {
			t.Errorf("reading from a silent peer: %v after %s", err, time.Since(begin))
		}
		begin = time.Now()
		w := wire.NewWriter(s, 4*time.Second)
		if err := w.SendPayload(wire.FirstPayload, make([]byte, wire.MaxPayload)); core.CodeOf(err) != core.CodeTimeout || time.Since(begin) != 4*time.Second {
			t.Errorf("writing to a stalled peer: %v after %s", err, time.Since(begin))
		}
	})
}

func FuzzReader(f *testing.F) {
	f.Add(append(header(3, 1), 1, 2, 3))
	f.Add(append(header(1<<31, 200), 1))
	f.Add(header(0, 0))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := wire.NewReader(&memory{in: bytes.NewReader(data)}, time.Second, 1<<16)
		var again memory
		w := wire.NewWriter(&again, time.Second)
		for {
			kind, body, err := r.Next()
			if err != nil {
				break
			}
			if err := w.SendPayload(kind, body); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.HasPrefix(data, again.out.Bytes()) {
			t.Fatal("frames that were read do not come back as they were")
		}
	})
}
