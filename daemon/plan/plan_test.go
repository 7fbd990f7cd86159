package plan

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
)

func peerID(t testing.TB, s string) core.PeerID {
	t.Helper()
	id, err := core.ParsePeerID(s)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func modelID(t testing.TB, s string) core.ModelID {
	t.Helper()
	id, err := core.ParseModelID(s)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// cut is a model of n shards with the given layers each.
func cut(n, layers int, bytes int64) (list []Shard) {
	for i := range n {
		list = append(list, Shard{core.LayerRange{First: i * layers, End: (i + 1) * layers}, bytes})
	}
	return list
}

func bitmap(indexes ...int) (b core.Bitmap) {
	for _, i := range indexes {
		b = b.With(i)
	}
	return b
}

func run(first, end int) (b core.Bitmap) {
	for i := first; i < end; i++ {
		b = b.With(i)
	}
	return b
}

var manifest = core.Digest{1}

// node holds shards of the model, all in memory, and is 10 ms away.
func node(t testing.TB, name string, layer time.Duration, shards core.Bitmap) Peer {
	return Peer{
		Announcement: core.Announcement{
			Peer: peerID(t, name), Nickname: name, Engine: "e1", RAMMB: 1 << 20,
			Holdings: []core.Holding{{Model: modelID(t, "m"), Manifest: manifest, Shards: shards, Loaded: shards}},
			Speeds:   []core.Speed{{Model: modelID(t, "m"), LayerTime: layer, PrefillRow: layer / 10}},
		},
		RTT: 10 * time.Millisecond, Trust: 0.5,
	}
}

func request(t testing.TB, shards int, peers ...Peer) Request {
	return Request{
		Model: modelID(t, "m"), Manifest: manifest, Shards: cut(shards, 2, 100<<20), Self: peerID(t, "self"),
		Engine: "e1", Peers: peers, MinTrust: 0.2, Alternatives: true,
	}
}

func shape(p Plan) string {
	var parts []string
	for _, s := range p.Segments {
		parts = append(parts, fmt.Sprintf("%s[%d,%d)", s.Peer, s.First, s.End))
	}
	return strings.Join(parts, " ")
}

func mustChain(t *testing.T, r Request) Plan {
	t.Helper()
	p, err := Chain(r)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestLocalBeatsSplitAndSaysSo(t *testing.T) {
	p := mustChain(t, request(t, 4, node(t, "self", 3*time.Millisecond, run(0, 4)), node(t, "b", time.Millisecond, run(2, 4))))
	if !p.Local() || !strings.Contains(p.Text, "This PC runs the whole model alone, about 41.7 tokens/s") || !strings.Contains(p.Text, "layers 4-7 on b") {
		t.Errorf("%s: %s", shape(p), p.Text)
	}
	if len(p.Alternatives) != 1 || p.Alternatives[0].Name != "split" {
		t.Errorf("alternatives %+v", p.Alternatives)
	}
}

func TestSplitBeatsASlowHost(t *testing.T) {
	p := mustChain(t, request(t, 4, node(t, "self", 20*time.Millisecond, run(0, 4)), node(t, "b", time.Millisecond, run(2, 4))))
	if shape(p) != "self[0,2) b[2,4)" || !strings.Contains(p.Text, "this PC alone would give about 6.2") {
		t.Errorf("%s: %s", shape(p), p.Text)
	}
	// 4 layers of 20 ms, 5.5 ms there, 4 of 1 ms, 5.5 ms back.
	if got, want := p.Forecast.DecodeTokensPerSecond, 1000/95.; got < want-0.01 || got > want+0.01 {
		t.Errorf("forecast %v, want %v", got, want)
	}
	if got := p.Forecast.PrefillTokensPerSecond; got != 1000/8. {
		t.Errorf("prefill %v: the slowest stage has 8 ms a row", got)
	}
}

func TestPrefersFewNearAndLoaded(t *testing.T) {
	near, far := node(t, "near", time.Millisecond, run(0, 4)), node(t, "far", time.Millisecond, run(0, 4))
	near.RTT = 2 * time.Millisecond
	halves := []Peer{node(t, "x", time.Millisecond, run(0, 2)), node(t, "y", time.Millisecond, run(2, 4))}
	if p := mustChain(t, request(t, 4, append(halves, far, near)...)); shape(p) != "near[0,4)" {
		t.Errorf("with a near peer that has all: %s", shape(p))
	}
	if p := mustChain(t, request(t, 4, append(halves, far)...)); shape(p) != "far[0,4)" {
		t.Errorf("with one that has all: %s", shape(p))
	}
	cold := near
	cold.Announcement = node(t, "cold", time.Millisecond, run(0, 4)).Announcement
	cold.Holdings[0].Loaded = nil
	cold.RTT = 9 * time.Millisecond
	p := mustChain(t, request(t, 4, cold, far))
	if shape(p) != "far[0,4)" || !p.Segments[0].Loaded || !slices.Equal(p.Segments[0].Standbys, []core.PeerID{cold.Peer}) {
		t.Errorf("with one that is loaded: %s, standbys %v", shape(p), p.Segments[0].Standbys)
	}
}

func TestMeasuredWayBetweenPeers(t *testing.T) {
	a, b, c := node(t, "a", time.Millisecond, run(0, 2)), node(t, "b", time.Millisecond, run(2, 4)), node(t, "c", time.Millisecond, run(2, 4))
	c.RTT = 11 * time.Millisecond
	r := request(t, 4, a, b, c)
	if p := mustChain(t, r); shape(p) != "a[0,2) b[2,4)" {
		t.Errorf("by estimate: %s", shape(p))
	}
	r.RTT = func(x, y core.PeerID) (time.Duration, bool) {
		return time.Millisecond, x == a.Peer && y == c.Peer
	}
	if p := mustChain(t, r); shape(p) != "a[0,2) c[2,4)" {
		t.Errorf("measured: %s", shape(p))
	}
}

func TestHostInTheMiddle(t *testing.T) {
	p := mustChain(t, request(t, 6, node(t, "self", time.Millisecond, run(2, 4)), node(t, "a", time.Millisecond, run(0, 2)), node(t, "b", time.Millisecond, run(4, 6))))
	if shape(p) != "a[0,2) self[2,4) b[4,6)" || !slices.Equal(p.Peers(), []core.PeerID{peerID(t, "a"), peerID(t, "b")}) {
		t.Error(shape(p))
	}
}

func TestPeerWithTwoParts(t *testing.T) {
	a, b := node(t, "a", time.Millisecond, bitmap(0, 2)), node(t, "b", time.Millisecond, bitmap(1))
	p := mustChain(t, request(t, 3, a, b))
	if shape(p) != "a[0,1) b[1,2) a[2,3)" || !slices.Equal(p.Peers(), []core.PeerID{a.Peer, b.Peer}) {
		t.Errorf("a peer on both sides of another: %s, peers %v", shape(p), p.Peers())
	}
	// Rows of a prompt pass a twice, 2 layers of 0.1 ms each time.
	if got := p.Forecast.PrefillTokensPerSecond; got != 1000/0.4 {
		t.Errorf("prefill %v", got)
	}
	if p = mustChain(t, request(t, 3, a, node(t, "self", time.Millisecond, bitmap(1)))); shape(p) != "a[0,1) self[1,2) a[2,3)" {
		t.Errorf("a peer on both sides of the host: %s", shape(p))
	}
	// Each part fits a, both do not.
	a.Holdings[0].Loaded, a.RAMMB = nil, 199
	refused(t, request(t, 3, a, b), core.CodeInsufficientRAM, "not_enough_memory: layers 0-5")
	c := node(t, "c", 50*time.Millisecond, bitmap(2))
	if p = mustChain(t, request(t, 3, a, b, c)); shape(p) != "a[0,1) b[1,2) c[2,3)" {
		t.Errorf("with another for the last part: %s", shape(p))
	}
	// More pieces of one peer than it takes part with.
	even, odd := bitmap(), bitmap()
	for i := range segmentsPerPeer + 1 {
		even, odd = even.With(2*i), odd.With(2*i+1)
	}
	refused(t, request(t, 2*segmentsPerPeer+2, node(t, "a", 1, even), node(t, "b", 1, odd)), core.CodeNotReady, "too_many_stages")
}

func TestEncryptedPipelineBeginsAndEndsAtHome(t *testing.T) {
	self := node(t, "self", 50*time.Millisecond, bitmap(0, 3))
	all := node(t, "b", time.Millisecond, run(0, 4))
	r := request(t, 4, self, all)
	if p := mustChain(t, r); shape(p) != "b[0,4)" {
		t.Errorf("without: %s", shape(p))
	}
	r.Encrypted = true
	p := mustChain(t, r)
	if shape(p) != "self[0,1) b[1,3) self[3,4)" || len(p.Segments[0].Standbys) != 0 {
		t.Errorf("with: %s", shape(p))
	}
	r.Peers[0].Holdings[0].Shards = bitmap(0)
	refused(t, r, core.CodeNotReady, "first_and_last_not_here: layers 6-7")
	// Both ends together must fit.
	r.Peers[0].Holdings[0].Shards, r.Peers[0].Holdings[0].Loaded, r.Peers[0].RAMMB = bitmap(0, 3), nil, 150
	refused(t, r, core.CodeInsufficientRAM, "not_enough_memory: layers 0-7")
}

func refused(t *testing.T, r Request, code core.Code, text string) {
	t.Helper()
	p, err := Chain(r)
	refusal, ok := errors.AsType[*Refusal](err)
	if !ok || core.CodeOf(err) != code || !strings.Contains(err.Error(), text) || len(refusal.Reasons) == 0 {
		t.Errorf("got %s, %v; want %s %q", shape(p), err, code, text)
	}
}

func TestEveryRefusalHasAReason(t *testing.T) {
	first := node(t, "a", time.Millisecond, run(0, 2))
	for text, change := range map[string]func(*Peer, *Request){
		"no_holder: layers 4-7":                   func(p *Peer, _ *Request) { p.Holdings[0].Shards = run(0, 2) },
		"no_holder: layers 6-7":                   func(p *Peer, _ *Request) { p.Holdings[0].Shards = run(0, 3) },
		"untrusted: layers 4-7 at b":              func(p *Peer, _ *Request) { p.Trust = 0.1 },
		"peer_paused: layers 4-7 at b":            func(p *Peer, _ *Request) { p.Paused = true },
		"peer_unreachable: layers 4-7 at b":       func(p *Peer, _ *Request) { p.Unreachable = true },
		"engine_mismatch: layers 4-7 at b":        func(p *Peer, _ *Request) { p.Engine = "e2" },
		"other_swarm: layers 4-7 at b":            func(p *Peer, _ *Request) { p.Public = true },
		"peer_lost: layers 4-7 at b":              func(p *Peer, r *Request) { r.Exclude = []core.PeerID{p.Peer} },
		"manifest_mismatch at b":                  func(p *Peer, _ *Request) { p.Holdings[0].Manifest = core.Digest{2} },
		"other_swarm: layers 0-7":                 func(_ *Peer, r *Request) { r.Public = true },
		"first_and_last_not_here: layers 0-1; fi": func(_ *Peer, r *Request) { r.Encrypted = true },
	} {
		second := node(t, "b", time.Millisecond, run(2, 4))
		r := request(t, 4, first, second)
		change(&r.Peers[1], &r)
		refused(t, r, core.CodeNotReady, text)
	}
	for code, change := range map[core.Code]func(*Peer){
		core.CodeOverloaded:      func(p *Peer) { p.Overloaded = true },
		core.CodeInsufficientRAM: func(p *Peer) { p.Holdings[0].Loaded, p.RAMMB = nil, 99 },
	} {
		second := node(t, "b", time.Millisecond, run(2, 4))
		change(&second)
		refused(t, request(t, 4, first, second), code, "layers 4-7 at b")
	}
	refused(t, request(t, 3), core.CodeNotReady, "no_holder: layers 0-5")
	var many []Peer
	for i := range 60 {
		many = append(many, node(t, fmt.Sprint("p", i), time.Millisecond, bitmap(i)))
	}
	refused(t, request(t, 60, many...), core.CodeNotReady, "too_many_stages: layers 0-119")
}

func TestBadRequests(t *testing.T) {
	r := request(t, 2)
	r.Shards[1].Layers.First = 3
	for _, r := range []Request{r, {}} {
		if _, err := Chain(r); core.CodeOf(err) != core.CodeInvalidRequest {
			t.Errorf("got %v", err)
		}
	}
}

func TestContextTakesMemory(t *testing.T) {
	b := node(t, "b", time.Millisecond, run(0, 2))
	b.Holdings[0].Loaded, b.RAMMB = nil, 210
	r := request(t, 2, b)
	mustChain(t, r)
	r.KVBytes = 10 << 20
	refused(t, r, core.CodeInsufficientRAM, "not_enough_memory: layers 0-3")
}

func TestPrefixIsKeptWhileItPays(t *testing.T) {
	a, b := node(t, "a", 2*time.Millisecond, run(0, 4)), node(t, "b", time.Millisecond, run(0, 4))
	r := request(t, 4, a, b)
	r.Prefix = &Prefix{Segments: []Segment{{Peer: a.Peer, First: 0, End: 4}}, Tokens: 10}
	if p := mustChain(t, r); shape(p) != "b[0,4)" || p.UsesPrefix {
		t.Errorf("short prefix: %s", shape(p))
	}
	r.Prefix.Tokens = 4000
	if p := mustChain(t, r); shape(p) != "a[0,4)" || !p.UsesPrefix {
		t.Errorf("long prefix: %s", shape(p))
	}
	for _, bad := range [][]Segment{{}, {{Peer: a.Peer, First: 0, End: 3}}, {{Peer: a.Peer, First: 0, End: 2}, {Peer: a.Peer, First: 2, End: 4}}, {{Peer: a.Peer, End: 9}}} {
		r.Prefix.Segments = bad
		if p := mustChain(t, r); shape(p) != "b[0,4)" {
			t.Errorf("prefix %+v: %s", bad, shape(p))
		}
	}
	r.Prefix.Segments, r.Exclude = []Segment{{Peer: a.Peer, First: 0, End: 4}}, []core.PeerID{a.Peer}
	if p := mustChain(t, r); shape(p) != "b[0,4)" {
		t.Errorf("prefix at a lost peer: %s", shape(p))
	}
}

func TestGuessesSpeed(t *testing.T) {
	card, cpu := node(t, "card", 0, run(0, 4)), node(t, "cpu", 0, run(0, 4))
	card.VRAMMB = 8 << 10
	p := mustChain(t, request(t, 4, cpu, card))
	if shape(p) != "card[0,4)" || p.Segments[0].Measured || p.Forecast.DecodeTokensPerSecond <= 0 {
		t.Errorf("%s, %+v", shape(p), p.Forecast)
	}
	near := node(t, "near", 0, run(0, 4))
	near.RTT, near.LAN, cpu.RTT = 0, true, 0
	if p := mustChain(t, request(t, 4, cpu, near)); shape(p) != "near[0,4)" {
		t.Errorf("unmeasured way: %s", shape(p))
	}
}

func TestReplicationTarget(t *testing.T) {
	for _, c := range []struct{ nodes, requests, floor, want int }{
		{0, 0, 2, 1},
		{1, 500, 2, 1},
		{2, 0, 2, 1},
		{3, 0, 2, 1},
		{6, 0, 2, 2},
		{12, 0, 2, 4},
		{100, 0, 2, 7},
		{100, 5, 2, 11},
		{100, 20, 2, 14},
		{100, 100, 2, 18},
		{100, 101, 2, 21},
		{4, 1000, 2, 3},
		{9, 0, 5, 3},
		{2, 1000, 2, 2},
	} {
		if got := ReplicationTarget(c.nodes, c.requests, c.floor); got != c.want {
			t.Errorf("%+v: got %d", c, got)
		}
	}
}

// random makes a request with everything in it that can go wrong.
func random(t testing.TB, rnd *rand.Rand, peers, shards int) Request {
	r := request(t, shards)
	for i := range r.Shards {
		r.Shards[i].Bytes = rnd.Int64N(200 << 20)
	}
	for i := range peers {
		name := fmt.Sprint("p", i)
		if i == 0 {
			name = "self"
		}
		p := node(t, name, time.Duration(1+rnd.IntN(20))*time.Millisecond, nil)
		h := &p.Holdings[0]
		for range 1 + rnd.IntN(2) {
			first := rnd.IntN(shards)
			for j := first; j < shards && rnd.IntN(4) > 0; j++ {
				h.Shards = h.Shards.With(j)
				if rnd.IntN(2) == 0 {
					h.Loaded = h.Loaded.With(j)
				}
			}
		}
		p.RTT = time.Duration(rnd.IntN(40)) * time.Millisecond
		p.LAN, p.RAMMB = rnd.IntN(2) == 0, rnd.Int64N(600)
		if rnd.IntN(6) == 0 {
			p.Speeds = nil
		}
		spoil(&p, &r, rnd.IntN(30))
		r.Peers = append(r.Peers, p)
	}
	r.Encrypted, r.KVBytes, r.Standbys = rnd.IntN(4) == 0, rnd.Int64N(2)<<20, rnd.IntN(4)
	if rnd.IntN(2) == 0 {
		r.RTT = func(a, b core.PeerID) (time.Duration, bool) {
			n := len(a.String())*7 + int(a.String()[len(a.String())-1])*int(b.String()[len(b.String())-1])
			return time.Duration(n%30) * time.Millisecond, n%3 != 0
		}
	}
	return r
}

func spoil(p *Peer, r *Request, how int) {
	switch how {
	case 0:
		p.Paused = true
	case 1:
		p.Trust = 0.1
	case 2:
		p.Engine = "e2"
	case 3:
		p.Holdings[0].Manifest = core.Digest{2}
	case 4:
		p.Unreachable = true
	case 5:
		p.Overloaded = true
	case 6:
		p.Public = true
	case 7:
		r.Exclude = append(r.Exclude, p.Peer)
	}
}

// allowed checks a chain against the request alone, without the code under test.
func allowed(r *Request, segments []Segment) error {
	at, taken := 0, map[core.PeerID]int64{}
	for i, s := range segments {
		p := r.Peers[slices.IndexFunc(r.Peers, func(p Peer) bool { return p.Peer == s.Peer })]
		self := p.Peer == r.Self
		if s.First != at || s.End <= at || s.Layers != r.layers(s.First, s.End) || s.Local != self {
			return fmt.Errorf("segment %d is out of order", i)
		}
		at = s.End
		if i > 0 && segments[i-1].Peer == s.Peer {
			return fmt.Errorf("segment %d: a peer twice in a row", i)
		}
		if p.Paused || p.Engine != r.Engine || slices.Contains(r.Exclude, p.Peer) || p.Holdings[0].Manifest != r.Manifest ||
			!self && (p.Trust < r.MinTrust || p.Unreachable || p.Overloaded || p.Public != r.Public) {
			return fmt.Errorf("segment %d is on a peer that may not be used", i)
		}
		if r.Encrypted && (s.First == 0 || s.End == len(r.Shards)) && !self {
			return fmt.Errorf("segment %d: an end is not at home", i)
		}
		need := taken[p.Peer]
		for j := s.First; j < s.End; j++ {
			if !p.Holdings[0].Shards.Has(j) {
				return fmt.Errorf("segment %d: shard %d is not there", i, j)
			}
			if !p.Holdings[0].Loaded.Has(j) {
				need += r.Shards[j].Bytes + r.KVBytes*int64(r.Shards[j].Layers.Len())
			}
		}
		if taken[p.Peer] = need; need > (p.RAMMB+p.VRAMMB)<<20 {
			return fmt.Errorf("segment %d does not fit", i)
		}
	}
	if at != len(r.Shards) {
		return fmt.Errorf("ends at shard %d of %d", at, len(r.Shards))
	}
	return nil
}

// cheapest tries every chain.
func cheapest(r *Request, p *problem) (best time.Duration, ok bool) {
	var chain []step
	var try func(at int)
	try = func(at int) {
		if at == len(r.Shards) {
			if allowed(r, p.segments(chain)) == nil && (!ok || p.cost(chain) < best) {
				best, ok = p.cost(chain), true
			}
			return
		}
		for c := range p.holders {
			for end := at + 1; end <= len(r.Shards); end++ {
				chain = append(chain, step{c, at, end})
				if partly := *r; allowed(&partly, p.segments(chain)) != nil && end == at+1 && !p.holders[c].shards.Has(at) {
					chain = chain[:len(chain)-1]
					break
				}
				try(end)
				chain = chain[:len(chain)-1]
			}
		}
	}
	try(0)
	return best, ok
}

func TestNeverWorseThanTryingAll(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 7))
	found := 0
	for n := range 1500 {
		r := random(t, rnd, 1+rnd.IntN(5), 1+rnd.IntN(4))
		holders, _ := eligible(&r)
		oracle := newProblem(&r, holders)
		want, there := cheapest(&r, oracle)
		plan, err := Chain(r)
		if there != (err == nil) {
			t.Fatalf("%d: a chain exists: %v; got %v", n, there, err)
		}
		if err != nil {
			continue
		}
		found++
		if got := oracle.cost(oracle.steps(plan.Segments)); got != want {
			t.Fatalf("%d: %s costs %v, the best %v", n, shape(plan), got, want)
		}
	}
	if found < 200 {
		t.Errorf("only %d chains were found", found)
	}
}

func TestPlansAreAllowed(t *testing.T) {
	rnd := rand.New(rand.NewPCG(8, 8))
	found := 0
	for n := range 3000 {
		r := random(t, rnd, 1+rnd.IntN(60), 1+rnd.IntN(12))
		plan, err := Chain(r)
		if err != nil {
			if refusal, ok := errors.AsType[*Refusal](err); !ok || len(refusal.Reasons) == 0 {
				t.Fatalf("%d: refused without a reason: %v", n, err)
			}
			continue
		}
		found++
		if err := allowed(&r, plan.Segments); err != nil {
			t.Fatalf("%d: %s: %v", n, shape(plan), err)
		}
		for _, a := range plan.Alternatives {
			if err := allowed(&r, a.Segments); err != nil {
				t.Fatalf("%d: alternative %s: %v", n, a.Name, err)
			}
		}
		standbysFit(t, &r, plan)
	}
	if found < 1000 {
		t.Errorf("only %d plans were found", found)
	}
}

// standbysFit checks that each standby in its place gives a chain that is allowed; what it runs before and after becomes
// one segment.
func standbysFit(t *testing.T, r *Request, plan Plan) {
	t.Helper()
	for i, s := range plan.Segments {
		for _, id := range s.Standbys {
			changed := slices.Clone(plan.Segments)
			changed[i].Peer, changed[i].Local = id, id == r.Self
			if err := allowed(r, joined(r, changed)); err != nil {
				t.Fatalf("standby %s for %d of %s: %v", id, i, shape(plan), err)
			}
		}
	}
}

// joined makes one segment of those in a row that are on one peer.
func joined(r *Request, segments []Segment) (list []Segment) {
	for _, s := range segments {
		if n := len(list); n > 0 && list[n-1].Peer == s.Peer {
			list[n-1].End, list[n-1].Layers = s.End, r.layers(list[n-1].First, s.End)
			continue
		}
		list = append(list, s)
	}
	return list
}

// big is a swarm of 1,000 peers that hold runs of 100 models.
func big(t testing.TB) []Request {
	rnd := rand.New(rand.NewPCG(9, 9))
	const peers, models, shards = 1000, 100, 40
	all := make([]Peer, peers)
	for i := range all {
		all[i] = node(t, fmt.Sprint("p", i), time.Duration(1+rnd.IntN(20))*time.Millisecond, nil)
		all[i].Holdings, all[i].Speeds = nil, nil
		all[i].RTT = time.Duration(1+rnd.IntN(200)) * time.Millisecond
		for m := range models {
			first := rnd.IntN(shards)
			held := run(first, min(shards, first+1+rnd.IntN(20)))
			all[i].Holdings = append(all[i].Holdings, core.Holding{Model: modelID(t, fmt.Sprint("m", m)), Manifest: manifest, Shards: held})
			all[i].Speeds = append(all[i].Speeds, core.Speed{Model: modelID(t, fmt.Sprint("m", m)), LayerTime: time.Duration(1+rnd.IntN(20)) * time.Millisecond})
		}
	}
	var list []Request
	for m := range models {
		r := request(t, shards, all...)
		r.Model, r.Alternatives = modelID(t, fmt.Sprint("m", m)), false
		list = append(list, r)
	}
	return list
}

// BenchmarkThousandPeers plans one of 100 models in a swarm of 1,000 peers that all hold a part of each.
func BenchmarkThousandPeers(b *testing.B) {
	list := big(b)
	for i := 0; b.Loop(); i++ {
		if _, err := Chain(list[i%len(list)]); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkAlternatives also looks for other ways.
func BenchmarkAlternatives(b *testing.B) {
	list := big(b)
	for i := range list {
		list[i].Alternatives = true
	}
	for i := 0; b.Loop(); i++ {
		if _, err := Chain(list[i%len(list)]); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFewPeers is an ordinary swarm, searched exactly.
func BenchmarkFewPeers(b *testing.B) {
	rnd := rand.New(rand.NewPCG(3, 3))
	var list []Request
	for len(list) < 50 {
		if r := random(b, rnd, 16, 24); true {
			r.Peers = append(r.Peers, node(b, "whole", 30*time.Millisecond, run(0, 24)))
			r.Encrypted = false
			list = append(list, r)
		}
	}
	for i := 0; b.Loop(); i++ {
		if _, err := Chain(list[i%len(list)]); err != nil {
			b.Fatal(err)
		}
	}
}
