package e2e_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/e2e"
	"github.com/shoal-p2p/shoal/daemon/gguf/gguftest"
)

// TestDraftModel sets a draft model over the API and asks for replies over a chain: they are the same, and it guesses.
func TestDraftModel(t *testing.T) {
	f := launch(t, 2)
	host := f.nodes[0]
	must(t, f.nodes[1].Fetch(f.ctx, f.model, 1, 2, 3, 4))
	want := f.whole(1, 2, 3, 4)
	f.planned(func(r admin.PlanReport) bool { return len(r.Segments) == 3 })
	for name, vocabulary := range map[string]int{"tale-small": 512, "tale-strange": 1024} {
		m, err := gguftest.New(gguftest.Config{Name: name, Layers: 6, Embedding: 512, Context: 1024, Vocabulary: vocabulary})
		must(t, err)
		path := filepath.Join(t.TempDir(), name+".gguf")
		must(t, m.WriteFile(path))
		_, err = host.Import(f.ctx, path, 0, nil)
		must(t, err)
	}

	err := host.SetConfig(f.ctx, []byte(`{"draft_model":"nobody"}`))
	if core.CodeOf(err) != core.CodeInvalidRequest || !strings.Contains(err.Error(), "nobody") {
		t.Errorf("an unknown draft model: %v", err)
	}
	report, err := host.Plan(f.ctx, f.model)
	must(t, err)
	if report.Draft != nil {
		t.Errorf("without a draft model: %+v", report.Draft)
	}

	must(t, host.SetConfig(f.ctx, []byte(`{"draft_model":"tale-strange"}`)))
	f.same(want)
	report, err = host.Plan(f.ctx, f.model)
	must(t, err)
	if d := report.Draft; d == nil || d.ModelID != "tale-strange" || d.Usable || !strings.Contains(d.Text, "number") || d.Guessed != 0 {
		t.Errorf("with a strange vocabulary: %+v", d)
	}

	must(t, host.SetConfig(f.ctx, []byte(`{"draft_model":"tale-small"}`)))
	must(t, e2e.Until(f.ctx, func() (bool, error) {
		f.same(want)
		report, err := host.Plan(f.ctx, f.model)
		return err == nil && report.Draft != nil && report.Draft.Right > 0, err
	}))
	report, err = host.Plan(f.ctx, f.model)
	must(t, err)
	t.Logf("%+v", report.Draft)
	if d := report.Draft; !d.Usable || d.ModelID != "tale-small" || d.Right > d.Guessed {
		t.Errorf("with a draft model: %+v", d)
	}
}

// same asks the question of this file and checks the reply.
func (f *fleet) same(want string) {
	f.t.Helper()
	text, route, err := f.nodes[0].Ask(f.ctx, f.model, question, tokens)
	must(f.t, err)
	if text != want || route.Kind != core.RouteDistributed {
		f.t.Fatalf("%+v\n got %q\nwant %q", route, text, want)
	}
}
