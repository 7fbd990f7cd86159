package daemon

import (
	"context"
	"log/slog"
	"maps"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/core"
)

// join starts two nodes on loopback: the first has the demo model, the second has nothing and is let in by the first.
func join(t *testing.T) (host, guest *house) {
	t.Helper()
	return joinWith(t, func(_, _ *Config) {})
}

func joinWith(t *testing.T, change func(host, guest *Config)) (host, guest *house) {
	t.Helper()
	one, two := setup(t, t.TempDir()), setup(t, t.TempDir())
	two.Demo = nil
	change(&one, &two)
	for i, cfg := range []*Config{&one, &two} {
		cfg.Flags = maps.Clone(cfg.Flags)
		cfg.Flags["p2p_listen"], cfg.Flags["nickname"] = "127.0.0.1:0", []string{"host", "guest"}[i]
	}
	host, guest = run(t, one), run(t, two)
	status, answer := host.call("GET", "/api/admin/network-code", "")
	code, _ := answer["code"].(string)
	if status != http.StatusOK || !strings.HasPrefix(code, "swarm://") || answer["phase"] != "seedling" {
		t.Fatalf("network-code: %d %v", status, answer)
	}
	if status, answer = guest.call("POST", "/api/admin/join-network", `{"code":"`+code+`"}`); status != http.StatusOK || answer["status"] != "ok" {
		t.Fatalf("join-network: %d %v", status, answer)
	}
	return host, guest
}

// soon waits until ok holds.
func soon(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("not in time: %s", what)
		}
		<-time.After(10 * time.Millisecond)
	}
}

func (h *house) model(id string) (admin.ModelInfo, bool) {
	models, err := h.Models(context.Background())
	must(h.t, err)
	for _, m := range models {
		if m.ID == id {
			return m, true
		}
	}
	return admin.ModelInfo{}, false
}

// say asks for a reply and tells which way it went.
func (h *house) say() (string, core.Route, error) {
	reply, err := h.Generate(h.t.Context(), &core.GenerateRequest{Model: "demo", Prompt: "Hello", MaxTokens: 12}, func(core.Delta) error { return nil })
	if err != nil {
		return "", core.Route{}, err
	}
	return reply.Message.Content, reply.Route, nil
}

func TestGuestUsesTheHostsModel(t *testing.T) {
	host, guest := join(t)
	soon(t, "the guest lists the model", func() bool {
		m, ok := guest.model("demo")
		return ok && m.Status == admin.StatusAvailable && m.Source == "network" && m.Mode == "distributed" && m.GlobalAvailable && m.PeersHosting == 1
	})
	want, route, err := host.say()
	must(t, err)
	if route.Kind != core.RouteLocal {
		t.Errorf("the host's own reply went %+v", route)
	}
	got, route, err := guest.say()
	must(t, err)
	if got != want || route.Kind != core.RouteDistributed || len(route.Peers) != 1 || route.Peers[0] != host.network.swarm.Self() {
		t.Errorf("the guest got %q over %+v, want %q", got, route, want)
	}
	if s, err := guest.Stats(t.Context()); err != nil || s.Peers != 1 {
		t.Errorf("%d peers", s.Peers)
	}
	m, _ := host.model("demo")
	if p, err := guest.Peers(t.Context()); err != nil || len(p) != 1 || p[0].HeldShards["demo"] != m.ShardCount || p[0].Engine != host.runtime.Version() || p[0].RAMMB == 0 {
		t.Errorf("the guest knows of the host: %+v", p)
	}
	status, answer := guest.call("GET", "/api/admin/network-map", "")
	if status != http.StatusOK || len(answer["regions"].(map[string]any)) == 0 {
		t.Errorf("network map: %v", answer)
	}

	must(t, host.Pause(t.Context()))
	soon(t, "the guest notices the pause", func() bool {
		report, err := guest.Plan(t.Context(), mustID(t, "demo"))
		return err == nil && !report.Possible && len(report.Reasons) > 0 && report.Reasons[0].Code == "peer_paused"
	})
	if _, _, err := guest.say(); core.CodeOf(err) != core.CodeNotReady || !strings.Contains(err.Error(), "peer_paused") {
		t.Errorf("while the host is paused: %v", err)
	}
	must(t, host.Resume(t.Context()))
	soon(t, "the guest notices the end of the pause", func() bool { _, _, err := guest.say(); return err == nil })
}

// planned counts the plans that requests are made.
type planned struct {
	slog.Handler
	count *atomic.Int32
}

func (planned) Enabled(context.Context, slog.Level) bool { return true }

func (p planned) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "planning the way of a request" {
		p.count.Add(1)
	}
	return nil
}

func (p planned) WithAttrs([]slog.Attr) slog.Handler { return p }
func (p planned) WithGroup(string) slog.Handler      { return p }

// TestRequestOverAChainIsNotPlanned asks again and again while a chain is up.
func TestRequestOverAChainIsNotPlanned(t *testing.T) {
	var plans atomic.Int32
	_, guest := joinWith(t, func(host, guest *Config) { guest.Log = slog.New(planned{slog.DiscardHandler, &plans}) })
	soon(t, "the guest lists the model", func() bool { _, ok := guest.model("demo"); return ok })
	_, _, err := guest.say()
	must(t, err)
	first := plans.Load()
	for range 5 {
		_, route, err := guest.say()
		must(t, err)
		if route.Kind != core.RouteDistributed {
			t.Errorf("it went %+v", route)
		}
	}
	if first == 0 || plans.Load() != first {
		t.Errorf("%d plans for the first request, %d for five more over its chain", first, plans.Load()-first)
	}
}

func mustID(t *testing.T, s string) core.ModelID {
	t.Helper()
	id, err := core.ParseModelID(s)
	must(t, err)
	return id
}

func TestGuestFetchesAndForgets(t *testing.T) {
	host, guest := join(t)
	soon(t, "the guest lists the model", func() bool { _, ok := guest.model("demo"); return ok })
	if status, answer := guest.call("PUT", "/api/admin/models/demo/encrypted-pipeline", `{"enabled":true}`); status != http.StatusConflict {
		t.Errorf("encrypted pipeline without the ends: %d %v", status, answer)
	}
	status, answer := guest.call("POST", "/api/admin/models/demo/shards/0/download", "")
	if status != http.StatusOK || answer["status"] != "downloading" || answer["source"] != "p2p" || answer["peer"] != host.network.swarm.Self().String() {
		t.Fatalf("download: %d %v", status, answer)
	}
	soon(t, "shard 0 is here", func() bool { m, _ := guest.model("demo"); return m.HostedShards == 1 && m.Source == "hybrid" })
	if _, answer = guest.call("POST", "/api/admin/models/demo/shards/0/download", ""); answer["status"] != "already_local" {
		t.Errorf("again: %v", answer)
	}
	if _, answer = guest.call("POST", "/api/admin/models/demo/add", ""); answer["status"] != "acquiring" {
		t.Errorf("add: %v", answer)
	}
	soon(t, "the model is here", func() bool { m, _ := guest.model("demo"); return m.HostedShards == m.ShardCount && m.Mode == "full" })
	if _, answer = guest.call("PUT", "/api/admin/models/demo/encrypted-pipeline", `{"enabled":true}`); answer["enabled"] != true || answer["ready"] != true || answer["setting"] != "model" {
		t.Errorf("encrypted pipeline: %v", answer)
	}
	if m, _ := guest.model("demo"); !m.EncryptedPipeline {
		t.Error("the model does not show its encrypted pipeline")
	}
	if _, route, err := guest.say(); err != nil || route.Kind != core.RouteLocal {
		t.Errorf("a whole model goes %+v, %v", route, err)
	}
	if status, answer = guest.call("DELETE", "/api/admin/models/demo", ""); status != http.StatusOK {
		t.Fatalf("delete: %v", answer)
	}
	guest.catalog.Met()
	guest.network.swarm.Announce(guest.presence.Announcement(t.Context()))
	if _, ok := guest.model("demo"); ok {
		t.Error("a deleted model is back")
	}
	if status, answer = guest.call("POST", "/api/admin/models/nobody-has-it/add", ""); status != http.StatusNotFound {
		t.Errorf("add an unknown model: %d %v", status, answer)
	}
	must(t, host.DeleteShard(t.Context(), mustID(t, "demo"), 2))
	soon(t, "nobody has shard 2", func() bool {
		status, answer := host.call("POST", "/api/admin/models/demo/shards/2/download", "")
		return status == http.StatusBadRequest && strings.Contains(answer["error"].(map[string]any)["message"].(string), "HuggingFace")
	})
	report, err := host.Plan(t.Context(), mustID(t, "demo"))
	must(t, err)
	if report.Possible || report.Code != core.CodeNotReady || report.Reasons[0].Text != "no_holder: layer 2" {
		t.Errorf("%+v", report)
	}
	if _, _, err := host.say(); core.CodeOf(err) != core.CodeNotReady || !strings.Contains(err.Error(), "no_holder: layer 2") {
		t.Errorf("got %v", err)
	}
}

func TestInvitesOverTheAPI(t *testing.T) {
	host, guest := join(t)
	status, answer := host.call("GET", "/api/admin/network-code?new=true", "")
	if status != http.StatusOK || answer["phase"] != "established" {
		t.Fatalf("%d %v", status, answer)
	}
	id := answer["invite_id"].(string)
	if status, _ = host.call("DELETE", "/api/admin/invites/"+id, ""); status != http.StatusOK {
		t.Errorf("revoke: %d", status)
	}
	if status, _ = host.call("DELETE", "/api/admin/invites/"+strings.Repeat("0", 32), ""); status != http.StatusNotFound {
		t.Errorf("revoke nothing: %d", status)
	}
	invites, err := host.Invites(t.Context())
	must(t, err)
	states := map[string]string{} // two of one second are in no order
	for _, i := range invites {
		states[i.State] = i.UsedBy
	}
	if len(invites) != 2 || states["used"] != guest.network.swarm.Self().String() || states["revoked"] != "" {
		t.Errorf("%+v", invites)
	}
	for _, bad := range []string{"swarm://AAAA", "hello"} {
		if status, answer := guest.call("POST", "/api/admin/join-network", `{"code":"`+bad+`"}`); status != http.StatusBadRequest {
			t.Errorf("%s: %d %v", bad, status, answer)
		}
	}
}
