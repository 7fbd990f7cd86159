package transfer

import (
	"bytes"
	"context"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/shard"
	"github.com/shoal-p2p/shoal/daemon/swarm/swarmtest"
	"github.com/shoal-p2p/shoal/daemon/swarm/wire"
)

// TestEveryFlippedBitIsCaught flips 1,000 random bits of frames, one each.
func TestEveryFlippedBitIsCaught(t *testing.T) {
	m, _ := source(t)
	tree, err := m.Tree(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	s := m.Manifest.Shards[0]
	rnd := rand.New(rand.NewPCG(1, 1))
	var frames [][]byte
	for i := range shard.Chunks(s.Size) {
		data := make([]byte, min(shard.ChunkSize, s.Size-int64(i)*shard.ChunkSize))
		if _, err := m.ReadAt(0, data, int64(i)*shard.ChunkSize); err != nil {
			t.Fatal(err)
		}
		frames = append(frames, append(appendHead(nil, i, tree.Proof(i)), data...))
	}
	check := func(want int, frame []byte) bool {
		c, err := decodeChunk(frame)
		if err != nil || c.Index != want {
			return false
		}
		_, err = shard.VerifyChunk(s.Hash, s.Size, c.Index, c.Data, c.Proof)
		return err == nil
	}
	for n := range 1000 {
		i := rnd.IntN(len(frames))
		bit := rnd.IntN(8 * len(frames[i]))
		frames[i][bit/8] ^= 1 << (bit % 8)
		if check(i, frames[i]) {
			t.Fatalf("%d: bit %d of chunk %d went unnoticed", n, bit, i)
		}
		frames[i][bit/8] ^= 1 << (bit % 8)
	}
	for i := range frames {
		if !check(i, frames[i]) {
			t.Errorf("chunk %d is refused unharmed", i)
		}
	}
}

// liar changes the chunks that it gets from an honest source.
type liar struct {
	Source
	lie func(*Chunk)
}

func (l liar) Open(ctx context.Context) (Session, error) {
	s, err := l.Source.Open(ctx)
	return liarSession{s, l.lie}, err
}

type liarSession struct {
	Session
	lie func(*Chunk)
}

func (s liarSession) Next() (Chunk, error) {
	c, err := s.Session.Next()
	if err == nil {
		c.Data = slices.Clone(c.Data)
		s.lie(&c)
	}
	return c, err
}

func TestLyingPeerIsPenalised(t *testing.T) {
	m, _ := source(t)
	for name, lie := range map[string]struct {
		do  func(*Chunk)
		act core.Conduct
	}{
		"bit":    {func(c *Chunk) { c.Data[len(c.Data)/2] ^= 4 }, core.ConductCorrupt},
		"short":  {func(c *Chunk) { c.Data = c.Data[1:] }, core.ConductCorrupt},
		"proof":  {func(c *Chunk) { c.Proof = nil }, core.ConductCorrupt},
		"number": {func(c *Chunk) { c.Index++ }, core.ConductMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			net := swarmtest.New()
			me, good, bad := net.Join("me"), net.Join("good"), net.Join("bad")
			serve(t, good)
			serve(t, bad)
			told := make(chan struct{})
			dishonest := liar{peerSource{me, bad.Self(), nil}, lie.do}
			holders := func() []Holder {
				list := []Holder{{Peer: bad.Self(), Shards: all(m), Source: dishonest}}
				select {
				case <-told:
					return append(list, Holder{Peer: good.Self(), Shards: all(m)})
				default:
					return list
				}
			}
			c := newClient(t, t.TempDir(), me, holders)
			background(t, c.Run)
			c.add(t)
			eventually(t, "a report", 10*time.Second, func() bool { return len(c.reported(bad.Self())) > 0 })
			close(told)
			c.await(t, core.DownloadDone)
			c.same(t)
			if got := c.reported(bad.Self()); !slices.Equal(got, []core.Conduct{lie.act}) || len(c.reported(good.Self())) != 0 {
				t.Errorf("reported %v of the liar, %v of the other", got, c.reported(good.Self()))
			}
		})
	}
}

func TestManifestOfAnotherModelIsRefused(t *testing.T) {
	m, _ := source(t)
	net := swarmtest.New()
	me, p := net.Join("me"), net.Join("p")
	text, err := m.Manifest.Encode()
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.Replace(text, []byte(`"rule"`), []byte(`"rule" `), 1) // still valid, but not for another digest
	p.Handle(Protocol, func(s core.Stream) {
		defer s.Close()
		r, w := wire.NewReader(s, time.Second, 1), wire.NewWriter(s, time.Second)
		if _, _, err := r.Next(); err == nil {
			_ = w.Send(kindSize, &wire.ShardSize{Bytes: uint64(len(text))})
			_ = w.SendPayload(kindPart, text)
		}
	})
	c := newClient(t, t.TempDir(), me, fixed(Holder{Peer: p.Self(), Shards: all(m)}))
	c.digest[0] ^= 1
	background(t, c.Run)
	c.add(t)
	eventually(t, "a report", 10*time.Second, func() bool {
		return slices.Equal(c.reported(p.Self()), []core.Conduct{core.ConductCorrupt})
	})
	if _, err := c.models.Open(c.id); core.CodeOf(err) != core.CodeNotFound {
		t.Errorf("the model was taken: %v", err)
	}
}

// TestPromisesAreNotBelieved offers a manifest of a size that is absurd, or one that never ends.
func TestPromisesAreNotBelieved(t *testing.T) {
	for name, answer := range map[string]func(*wire.Writer) error{
		"absurd": func(w *wire.Writer) error { return w.Send(kindSize, &wire.ShardSize{Bytes: 1 << 62}) },
		"more": func(w *wire.Writer) error {
			_ = w.Send(kindSize, &wire.ShardSize{Bytes: 10})
			return w.SendPayload(kindPart, make([]byte, 11))
		},
		"nothing": func(w *wire.Writer) error {
			_ = w.Send(kindSize, &wire.ShardSize{Bytes: 10})
			return w.SendPayload(kindPart)
		},
		"other kind": func(w *wire.Writer) error { return w.SendPayload(kindChunk, make([]byte, 100)) },
	} {
		net := swarmtest.New()
		me, p := net.Join("me"), net.Join("p")
		p.Handle(Protocol, func(s core.Stream) {
			defer s.Close()
			_, _, _ = wire.NewReader(s, time.Second, 1).Next()
			_ = answer(wire.NewWriter(s, time.Second))
		})
		s, err := peerSource{me, p.Self(), nil}.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Manifest(core.ModelID{}, core.Digest{}); core.CodeOf(err) != core.CodeInvalidRequest {
			t.Errorf("%s: %v", name, err)
		}
		_ = s.Close()
	}
}

// dial opens a stream to a server and returns its ends.
func dial(t *testing.T, from *swarmtest.Peer, to core.PeerID) (core.Stream, *wire.Reader, *wire.Writer) {
	t.Helper()
	s, err := from.Open(t.Context(), to, Protocol)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Reset() })
	return s, wire.NewReader(s, time.Minute, 0), wire.NewWriter(s, time.Minute)
}

func TestServerRefusesNonsense(t *testing.T) {
	m, d := source(t)
	ask := func(shard, first, count uint32) []byte {
		return marshal(t, &wire.ShardChunks{Model: m.Manifest.ModelID.String(), Manifest: d[:], Shard: shard, First: first, Count: count})
	}
	huge := binary.LittleEndian.AppendUint32(nil, 1<<31)
	for name, frame := range map[string][]byte{
		"too long":     append(huge, byte(kindChunks)),
		"payload":      {2, 0, 0, 0, byte(kindChunk), 1, 2},
		"unknown kind": {0, 0, 0, 0, 77},
		"no message":   {2, 0, 0, 0, byte(kindChunks), 0xff, 0xff},
		"many chunks":  framed(kindChunks, ask(0, 0, maxRequest+1)),
		"no chunks":    framed(kindChunks, ask(0, 0, 0)),
		"past the end": framed(kindChunks, ask(0, 0, maxRequest)),
		"bad model":    framed(kindManifest, marshal(t, &wire.ShardWhole{Model: "../x", Manifest: d[:]})),
		"short digest": framed(kindManifest, marshal(t, &wire.ShardWhole{Model: "x", Manifest: d[:5]})),
	} {
		net := swarmtest.New()
		me, p := net.Join("me"), net.Join("p")
		told := make(chan core.Conduct, 9)
		serve(t, p, func(c *ServerConfig) { c.Report = func(_ core.PeerID, a core.Conduct) { told <- a } })
		eventually(t, "the server", time.Second, func() bool {
			s, err := me.Open(t.Context(), p.Self(), Protocol)
			if err == nil {
				_ = s.Reset()
			}
			return err == nil
		})
		s, r, _ := dial(t, me, p.Self())
		_, _ = s.Write(frame) // the answer may be there before all is sent
		if _, _, err := r.Next(); err == nil {
			t.Errorf("%s: answered", name)
		}
		select {
		case act := <-told:
			if act != core.ConductMalformed {
				t.Errorf("%s: reported %s", name, act)
			}
		case <-time.After(5 * time.Second):
			t.Errorf("%s: not reported", name)
		}
	}
}

// TestServerSaysWhatItLacks and goes on with the stream.
func TestServerSaysWhatItLacks(t *testing.T) {
	m, d := source(t)
	net := swarmtest.New()
	me, p := net.Join("me"), net.Join("p")
	serve(t, p)
	s := session(t, me, p.Self())
	other := core.Digest{9}
	for name, got := range map[string]error{
		"cut":   second(s.Manifest(m.Manifest.ModelID, other)),
		"model": second(s.Manifest(modelID(t, "none"), d)),
		"shard": func() error { _ = s.Ask(m.Manifest.ModelID, d, 99, 0, 1); return second(s.Next()) }(),
	} {
		if core.CodeOf(got) != core.CodeNotFound {
			t.Errorf("%s: %v", name, got)
		}
	}
	if text, err := s.Manifest(m.Manifest.ModelID, d); err != nil || len(text) == 0 {
		t.Errorf("afterwards: %v", err)
	}
}

func session(t *testing.T, me core.Network, to core.PeerID) Session {
	t.Helper()
	var s Session
	eventually(t, "the server", time.Second, func() (ok bool) {
		var err error
		s, err = peerSource{me, to, nil}.Open(context.Background())
		return err == nil
	})
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func second[T any](_ T, err error) error { return err }

// TestSlowLoris sends a request byte by byte: it must be whole in time, however steadily bytes come.
func TestSlowLoris(t *testing.T) {
	source(t)
	synctest.Test(t, func(t *testing.T) {
		net := swarmtest.New()
		me, p := net.Join("me"), net.Join("p")
		serve(t, p)
		synctest.Wait()
		s, _, _ := dial(t, me, p.Self())
		began := time.Now()
		for {
			if _, err := s.Write([]byte{0}); err != nil {
				break
			}
			time.Sleep(2 * time.Second)
		}
		if took := time.Since(began); took > requestTime+3*time.Second {
			t.Errorf("held for %s", took)
		}
	})
}

func TestStreamsAndSlotsAreBounded(t *testing.T) {
	m, d := source(t)
	net := swarmtest.New()
	me, p := net.Join("me"), net.Join("p")
	serve(t, p, func(c *ServerConfig) { c.Slots = 1 })
	s := session(t, me, p.Self())
	// It takes the only slot and then does not read what comes.
	if err := s.Ask(m.Manifest.ModelID, d, 0, 0, 4); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Next(); err != nil {
		t.Fatal(err)
	}
	other := session(t, net.Join("other"), p.Self())
	if _, err := other.Manifest(m.Manifest.ModelID, d); core.CodeOf(err) != core.CodeOverloaded {
		t.Errorf("without a slot: %v", err)
	}
	for range maxPeerStreams - 1 {
		if _, err := session(t, me, p.Self()).Manifest(m.Manifest.ModelID, d); core.CodeOf(err) != core.CodeOverloaded {
			t.Errorf("another stream: %v", err)
		}
	}
	extra, err := me.Open(t.Context(), p.Self(), Protocol)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := extra.Read(make([]byte, 1)); err == nil {
		t.Error("one stream too many is served")
	}
}
