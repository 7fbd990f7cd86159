package netns_test

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/e2e"
	"github.com/shoal-p2p/shoal/daemon/gguf/gguftest"
)

// question and tokens make every reply of this package.
const (
	question = "Tell me a tale."
	tokens   = 48
)

// tale is a model of which the first node lacks the middle, which the second one has.
type tale struct {
	*lab
	first, second *e2e.Node
	id            core.ModelID
	want          string // the reply of the whole model
}

// share imports a model on the first node, moves its middle to the second, and keeps what the whole model said.
func (l *lab) share(first, second *e2e.Node) *tale {
	l.t.Helper()
	m, err := gguftest.New(gguftest.Config{Name: "tale", Layers: 4, Embedding: 256, Context: 1024, ChatTemplate: gguftest.ChatML})
	must(l.t, err)
	path := filepath.Join(l.t.TempDir(), "tale.gguf")
	must(l.t, m.WriteFile(path))
	info, err := first.Import(l.ctx, path, 0, nil)
	must(l.t, err)
	if info.ShardCount != 4 {
		l.t.Fatalf("the model has %d shards", info.ShardCount)
	}
	t := &tale{lab: l, first: first, second: second}
	t.id, err = core.ParseModelID(info.ID)
	must(l.t, err)
	must(l.t, second.Fetch(l.ctx, t.id, 1, 2))
	var route core.Route
	t.want, route, err = first.Ask(l.ctx, t.id, question, tokens)
	must(l.t, err)
	if route.Kind != core.RouteLocal {
		l.t.Errorf("the whole model went %+v", route)
	}
	_, err = first.Unload(l.ctx, t.id)
	must(l.t, err)
	for _, i := range []int{1, 2} {
		must(l.t, first.DeleteShard(l.ctx, t.id, i))
	}
	return t
}

// tell has the tale told over the chain and compares it with that of the whole model.
func (t *tale) tell(how string) {
	t.t.Helper()
	report, err := t.first.PlanUntil(t.ctx, t.id, func(r admin.PlanReport) bool {
		return r.Possible && r.Route == core.RouteDistributed
	})
	if err != nil {
		t.t.Fatalf("%s: %v: %+v", how, err, report)
	}
	t.ask(how)
}

// ask has the tale told over whatever chain is planned.
func (t *tale) ask(how string) {
	t.t.Helper()
	began := time.Now()
	text, route, err := t.first.Ask(t.ctx, t.id, question, tokens)
	if err != nil {
		t.t.Fatalf("%s: %v", how, err)
	}
	if text != t.want || route.Kind != core.RouteDistributed || len(route.Peers) != 1 {
		t.t.Errorf("%s: %+v\n got %q\nwant %q", how, route, text, t.want)
	}
	t.t.Logf("%s: %d tokens in %s", how, tokens, time.Since(began).Round(time.Millisecond))
}

// attempt is how long one request may take that finds out whether chains work again.
const attempt = 2 * time.Second

// healed waits until both nodes show the other as connected and a request over the chain is answered, and then for the
// whole tale.
func (t *tale) healed(what string) {
	t.t.Helper()
	began := time.Now()
	var shown time.Duration
	answered, last := false, ""
	t.until(what, func() bool {
		if shown == 0 && t.connection(t.first, t.second) == "direct" && t.connection(t.second, t.first) == "direct" {
			shown = time.Since(began)
		}
		if !answered {
			ctx, cancel := context.WithTimeout(t.ctx, attempt)
			defer cancel()
			_, route, err := t.first.Ask(ctx, t.id, question, 4)
			if text := fmt.Sprint(err); err != nil && text != last {
				t.t.Logf("%s: after %s: %v", what, time.Since(began).Round(time.Millisecond), err)
				last = text
			}
			answered = err == nil && route.Kind == core.RouteDistributed
			if answered {
				t.t.Logf("%s: answered after %s", what, time.Since(began).Round(time.Millisecond))
			}
		}
		return answered && shown != 0
	})
	t.t.Logf("%s: shown as direct after %s", what, shown.Round(time.Millisecond))
	t.within(soon, time.Since(began), what)
	t.tell("then")
}
