package e2e_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/e2e"
	"github.com/shoal-p2p/shoal/daemon/gguf/gguftest"
)

// programs holds shoald and shoal-worker, built once.
var programs string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "shoal-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	programs = dir
	if err := e2e.Build("../..", dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// libraries is where packaging/runtime/install.sh puts llama.cpp.
func libraries(t *testing.T) string {
	t.Helper()
	dir, err := e2e.Libraries()
	if err != nil {
		t.Skip(err)
	}
	return dir
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// patience bounds each test; a busy machine needs a part of it.
const patience = 2 * time.Minute

// fleet is real nodes on loopback. The first imports a model of six shards.
type fleet struct {
	t     *testing.T
	ctx   context.Context
	nodes []*e2e.Node
	model core.ModelID
}

func launch(t *testing.T, count int) *fleet {
	t.Helper()
	libs := libraries(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	f := &fleet{t: t, ctx: ctx}
	for i := range count {
		n, err := e2e.Start(ctx, e2e.Config{
			Program: filepath.Join(programs, "shoald"), Dir: t.TempDir(), Name: fmt.Sprintf("node-%d", i), Runtime: libs,
			Args: []string{"--no-demo"}, Env: []string{"SHOAL_THREADS=1"},
		})
		must(t, err)
		f.nodes = append(f.nodes, n)
		t.Cleanup(func() {
			if t.Failed() {
				t.Logf("log of %s:\n%s", n.Name, n.Log())
			}
			n.Kill()
		})
	}
	f.bring()
	must(t, f.nodes[0].Invite(ctx, f.nodes[1:]...))
	return f
}

// bring imports a generated model, large enough that a reply takes a while.
func (f *fleet) bring() {
	f.t.Helper()
	m, err := gguftest.New(gguftest.Config{Name: "tale", Layers: 6, Embedding: 512, Context: 1024, ChatTemplate: gguftest.ChatML})
	must(f.t, err)
	path := filepath.Join(f.t.TempDir(), "tale.gguf")
	must(f.t, m.WriteFile(path))
	info, err := f.nodes[0].Import(f.ctx, path, 0, nil)
	must(f.t, err)
	if info.ShardCount != 6 {
		f.t.Fatalf("the model has %d shards", info.ShardCount)
	}
	f.model, err = core.ParseModelID(info.ID)
	must(f.t, err)
}

// question and tokens make every reply of this file.
const (
	question = "Tell me a tale."
	tokens   = 300
)

// whole is the reply of the whole model on the first node, which then drops the given shards.
func (f *fleet) whole(drop ...int) string {
	f.t.Helper()
	text, route, err := f.nodes[0].Ask(f.ctx, f.model, question, tokens)
	must(f.t, err)
	if route.Kind != core.RouteLocal || len(route.Peers) != 0 {
		f.t.Errorf("the whole model went %+v", route)
	}
	_, err = f.nodes[0].Unload(f.ctx, f.model)
	must(f.t, err)
	for _, i := range drop {
		must(f.t, f.nodes[0].DeleteShard(f.ctx, f.model, i))
	}
	return text
}

// planned waits until the first node can answer over a chain that is as wanted.
func (f *fleet) planned(ok func(admin.PlanReport) bool) admin.PlanReport {
	f.t.Helper()
	return f.plannedBy(f.nodes[0], ok)
}

func (f *fleet) plannedBy(n *e2e.Node, ok func(admin.PlanReport) bool) admin.PlanReport {
	f.t.Helper()
	report, err := n.PlanUntil(f.ctx, f.model, func(r admin.PlanReport) bool { return r.Possible && ok(r) })
	if err != nil {
		f.t.Fatalf("%v: %+v", err, report)
	}
	return report
}

func TestThreeNodesRunAModelThatNoneHolds(t *testing.T) {
	f := launch(t, 3)
	must(t, f.nodes[1].Fetch(f.ctx, f.model, 1, 2))
	must(t, f.nodes[2].Fetch(f.ctx, f.model, 3, 4))
	want := f.whole(1, 2, 3, 4)
	f.planned(func(r admin.PlanReport) bool { return len(r.Segments) == 4 })
	text, route, err := f.nodes[0].Ask(f.ctx, f.model, question, tokens)
	must(t, err)
	if text != want || route.Kind != core.RouteDistributed || len(route.Peers) != 2 {
		t.Errorf("%+v\n got %q\nwant %q", route, text, want)
	}
	// Asked of the others, the chain passes node-0 at the beginning and at the end. A window has room for two hosts.
	for i, n := range f.nodes[1:] {
		_, err := f.nodes[i].Unload(f.ctx, f.model)
		must(t, err)
		report := f.plannedBy(n, func(r admin.PlanReport) bool { return len(r.Segments) == 4 })
		if report.Segments[0].NodeID != report.Segments[3].NodeID {
			t.Errorf("planned by %s: %+v", n.Name, report.Segments)
		}
		text, route, err = n.Ask(f.ctx, f.model, question, tokens)
		must(t, err)
		if text != want || route.Kind != core.RouteDistributed || len(route.Peers) != 2 {
			t.Errorf("asked of %s: %+v\n got %q\nwant %q", n.Name, route, text, want)
		}
	}
}

// victim is the node that runs a segment of a plan.
func (f *fleet) victim(r admin.PlanReport, first int) *e2e.Node {
	f.t.Helper()
	for _, s := range r.Segments {
		if s.FirstShard != first {
			continue
		}
		for _, n := range f.nodes[1:] {
			if n.Name == s.Nickname {
				return n
			}
		}
	}
	f.t.Fatalf("no other node runs shard %d: %+v", first, r.Segments)
	return nil
}

// askAndKill asks the first node and kills the victim after a part of the reply.
func (f *fleet) askAndKill(victim *e2e.Node) (reply *core.Reply, gap time.Duration, err error) {
	pieces, killed := 0, time.Time{}
	reply, err = f.nodes[0].Generate(f.ctx, &core.GenerateRequest{
		Model: f.model.String(), Messages: []core.Message{{Role: "user", Content: question}}, MaxTokens: tokens,
	}, func(d core.Delta) error {
		switch {
		case d.Route != nil:
		case pieces == 20:
			victim.Kill()
			killed = time.Now()
		case !killed.IsZero():
			gap = max(gap, time.Since(killed))
			killed = time.Now()
		}
		pieces++
		return nil
	})
	if pieces < 20 {
		f.t.Errorf("the reply ended after %d pieces: %v", pieces, err)
	}
	if err != nil && !killed.IsZero() {
		gap = time.Since(killed)
	}
	return reply, gap, err
}

func TestKilledStageWithAStandby(t *testing.T) {
	f := launch(t, 3)
	for _, n := range f.nodes[1:] {
		must(t, n.Fetch(f.ctx, f.model, 1, 2, 3, 4))
	}
	want := f.whole(1, 2, 3, 4)
	f.planned(func(r admin.PlanReport) bool { return len(r.Segments) == 3 && len(r.Segments[1].Standbys) == 1 })
	_, _, err := f.nodes[0].Ask(f.ctx, f.model, question, 5)
	must(t, err)
	report := f.planned(func(r admin.PlanReport) bool { // the other node has the window in memory
		return len(r.Segments) == 3 && len(r.Segments[1].TakesOver) == 3 && r.Segments[1].TakesOver[1].Warmth == "warm"
	})
	reply, gap, err := f.askAndKill(f.victim(report, 1))
	must(t, err)
	if reply.Message.Content != want {
		t.Errorf("after a gap of %s\n got %q\nwant %q", gap, reply.Message.Content, want)
	}
	t.Logf("the reply paused for %s at most", gap)
}

func TestKilledStageWithoutAStandby(t *testing.T) {
	f := launch(t, 2)
	must(t, f.nodes[1].Fetch(f.ctx, f.model, 1, 2, 3, 4))
	f.whole(1, 2, 3, 4)
	f.planned(func(r admin.PlanReport) bool { return len(r.Segments) == 3 })
	reply, gap, err := f.askAndKill(f.nodes[1])
	if err == nil {
		t.Fatalf("a reply that looks complete: %q", reply.Message.Content)
	}
	if gap > 5*time.Second {
		t.Errorf("the error came after %s: %v", gap, err)
	}
	t.Logf("after %s: %v", gap, err)
	// The next request is refused with the planner's reason.
	_, err = f.nodes[0].PlanUntil(f.ctx, f.model, func(r admin.PlanReport) bool { return !r.Possible })
	must(t, err)
	if _, _, err := f.nodes[0].Ask(f.ctx, f.model, question, 5); core.CodeOf(err) != core.CodeNotReady {
		t.Errorf("got %v", err)
	}
}
