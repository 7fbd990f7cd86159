package catalog

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/library"
	"github.com/shoal-p2p/shoal/daemon/store"
)

// swarm is what others announce.
type swarm struct {
	peers []admin.PeerInfo
	said  []core.Announcement
}

func (s *swarm) Peers() []admin.PeerInfo            { return s.peers }
func (s *swarm) Announcements() []core.Announcement { return s.said }

func (s *swarm) PeerRTT(core.PeerID) (time.Duration, bool) { return 0, false }

// models are the models here, by what asking for one says; a model that is not in it is not known.
type models map[core.ModelID]error

func (m models) Blueprint(id core.ModelID) (library.Blueprint, error) {
	err, ok := m[id]
	if !ok {
		err = core.Errorf(core.CodeNotFound, "not here")
	}
	return library.Blueprint{ID: id}, err
}

func (m models) Refresh(_ context.Context, id core.ModelID) error {
	m[id] = nil
	return nil
}

func peer(n byte) core.PeerID {
	id, err := core.ParsePeerID(string('0' + rune(n)))
	if err != nil {
		panic(err)
	}
	return id
}

func model(t *testing.T, name string) core.ModelID {
	t.Helper()
	id, err := core.ParseModelID(name)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// house is a catalog, and what a test may change of its surroundings.
type house struct {
	*Catalog
	swarm      *swarm
	models     models
	introduced []Version
	refusal    error // of introductions
	foreign    int
	anchor     bool
}

func furnish(t *testing.T) *house {
	t.Helper()
	db, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "shoal.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	h := &house{swarm: &swarm{}, models: models{}}
	h.Catalog = New(Config{
		Swarm: h.swarm, Models: h.models, Store: db, Log: slog.New(slog.DiscardHandler), Changed: func() {},
		Foreign: func() int { return h.foreign }, Anchor: func() bool { return h.anchor },
		Introduce: func(_ context.Context, id core.ModelID, manifest core.Digest) error {
			h.introduced = append(h.introduced, Version{id, manifest})
			return h.refusal
		},
	})
	return h
}

// meet lets a peer that is connected announce shards of a version.
func (h *house) meet(p admin.PeerInfo, v Version, shards ...int) {
	var have core.Bitmap
	for _, i := range shards {
		have = have.With(i)
	}
	h.swarm.peers = append(h.swarm.peers, p)
	h.swarm.said = append(h.swarm.said, core.Announcement{Peer: p.NodeID, Holdings: []core.Holding{{Model: v.Model, Manifest: v.Manifest, Shards: have}}})
}

func TestHoldersAreThoseWhoAnswer(t *testing.T) {
	h := furnish(t)
	v, other := Version{model(t, "m"), core.Digest{1}}, Version{model(t, "m"), core.Digest{2}}
	h.meet(admin.PeerInfo{NodeID: peer(1), Connection: "direct"}, v, 0, 1)
	h.meet(admin.PeerInfo{NodeID: peer(2), Connection: "none", Healthy: true}, v, 1)
	h.meet(admin.PeerInfo{NodeID: peer(3), Connection: "none"}, v, 0, 1, 2) // gone
	h.meet(admin.PeerInfo{NodeID: peer(4), Connection: "direct"}, v, 2)
	h.swarm.said[3].Paused = true
	h.meet(admin.PeerInfo{NodeID: peer(5), Connection: "direct"}, other, 2)
	byShard, nodes := h.Holders(v.Model, v.Manifest, 3)
	if !slices.Equal(byShard, []int{1, 2, 0}) || nodes != 2 || h.HasShard(v, 2) || !h.HasShard(other, 2) {
		t.Errorf("%v of %d nodes", byShard, nodes)
	}
	if list := h.Sources(v.Model, v.Manifest); len(list) != 2 || list[0].Peer != peer(1) || !list[0].Shards.Has(1) {
		t.Errorf("sources %+v", list)
	}
}

func TestNearestIsOnTheLANFirst(t *testing.T) {
	v := Version{Manifest: core.Digest{1}}
	for name, c := range map[string]struct {
		peers []admin.PeerInfo
		want  core.PeerID
	}{
		"LAN before latency":   {[]admin.PeerInfo{{NodeID: peer(1), LatencyMS: 1}, {NodeID: peer(2), LatencyMS: 9, IsLANPeer: true}}, peer(2)},
		"latency before trust": {[]admin.PeerInfo{{NodeID: peer(1), LatencyMS: 9, TrustScore: 1}, {NodeID: peer(2), LatencyMS: 1}}, peer(2)},
		"trust at last":        {[]admin.PeerInfo{{NodeID: peer(1), TrustScore: 0.2}, {NodeID: peer(2), TrustScore: 0.9}}, peer(2)},
	} {
		h := furnish(t)
		for _, p := range c.peers {
			p.Connection = "direct"
			h.meet(p, v, 0)
		}
		if got, ok := h.Nearest(v, 0); !ok || got != c.want {
			t.Errorf("%s: %v, %t", name, got, ok)
		}
		if _, ok := h.Nearest(v, 1); ok {
			t.Errorf("%s: somebody has a shard that nobody has", name)
		}
	}
}

func TestEnsureKnown(t *testing.T) {
	damaged := core.Errorf(core.CodeCorrupt, "damaged")
	for name, c := range map[string]struct {
		here       error // what asking for the model says; nil is that it is known
		held       bool
		refusal    error
		introduced int
		want       core.Code
	}{
		"known":                       {nil, true, nil, 0, ""},
		"held by others":              {core.Errorf(core.CodeNotFound, "no"), true, nil, 1, ""},
		"held by nobody":              {core.Errorf(core.CodeNotFound, "no"), false, nil, 0, core.CodeNotFound},
		"damaged, and sound at one":   {damaged, true, nil, 1, ""},
		"damaged, and held by nobody": {damaged, false, nil, 0, core.CodeCorrupt},
		"the holder fails":            {core.Errorf(core.CodeNotFound, "no"), true, errors.New("reset"), 1, core.CodeNotReady},
	} {
		h := furnish(t)
		id := model(t, "m")
		h.models[id], h.refusal = c.here, c.refusal
		if c.held {
			h.meet(admin.PeerInfo{NodeID: peer(1), Connection: "direct"}, Version{id, core.Digest{1}}, 0)
		}
		_, err := h.EnsureKnown(t.Context(), id)
		if (err == nil) != (c.want == "") || err != nil && core.CodeOf(err) != c.want || len(h.introduced) != c.introduced {
			t.Errorf("%s: %v after %d introductions; want %q after %d", name, err, len(h.introduced), c.want, c.introduced)
		}
	}
}

// TestNotEveryModelIsIntroduced names those that are not: what is kept of strangers' models has an end.
func TestNotEveryModelIsIntroduced(t *testing.T) {
	id := model(t, "m")
	for name, c := range map[string]struct {
		change func(h *house)
		want   bool
	}{
		"new":          {func(*house) {}, true},
		"known":        {func(h *house) { h.models[id] = nil }, false},
		"damaged":      {func(h *house) { h.models[id] = core.Errorf(core.CodeCorrupt, "damaged") }, true},
		"on an anchor": {func(h *house) { h.anchor = true }, false},
		"one too many": {func(h *house) { h.foreign = maxUnintroduced }, false},
		"deleted":      {func(h *house) { _ = h.Hide(t.Context(), id) }, false},
		"wanted again": {func(h *house) { _ = h.Hide(t.Context(), id); _ = h.Show(t.Context(), id) }, true},
	} {
		h := furnish(t)
		c.change(h)
		if got := h.isUnintroduced(t.Context(), id); got != c.want {
			t.Errorf("%s: %t, want %t", name, got, c.want)
		}
	}
}
