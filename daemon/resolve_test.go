package daemon

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/gguf/gguftest"
)

// bring imports a generated model.
func bring(t *testing.T, n *house, name string) core.ModelID {
	t.Helper()
	m, err := gguftest.New(gguftest.Config{Name: name, Layers: layers})
	must(t, err)
	path := filepath.Join(t.TempDir(), name+".gguf")
	must(t, m.WriteFile(path))
	info, err := n.Import(t.Context(), path, 0, nil)
	must(t, err)
	id, err := core.ParseModelID(info.ID)
	must(t, err)
	return id
}

func TestNamesAndAuto(t *testing.T) {
	cfg := setup(t, t.TempDir())
	cfg.Demo = nil
	h := run(t, cfg)
	if _, err := h.Resolve("auto"); core.CodeOf(err) != core.CodeNotReady {
		t.Errorf("auto without models: %v", err)
	}
	alpha, beta := bring(t, h, "alpha-7b_Q4"), bring(t, h, "alpha-8b")
	for name, want := range map[string]core.ModelID{
		"alpha-7b-q4": alpha, "Alpha-7B_Q4.gguf": alpha, "/models/alpha-7b_Q4.GGUF": alpha, "alpha-8": beta, "ALPHA-8B": beta,
	} {
		if got, err := h.Resolve(name); err != nil || got != want {
			t.Errorf("%q: %v, %v; want %v", name, got, err, want)
		}
	}
	for _, name := range []string{"alpha", "gamma", "../../etc/passwd", strings.Repeat("x", 5000), "é"} {
		_, err := h.Resolve(name)
		if core.CodeOf(err) != core.CodeNotFound {
			t.Errorf("%.20q: %v", name, err)
		}
		if err != nil && len(err.Error()) > 300 {
			t.Errorf("%.20q is echoed whole", name)
		}
	}
	_, err := h.Load(t.Context(), beta)
	must(t, err)
	if got, err := h.Resolve(""); err != nil || got != beta {
		t.Errorf("auto: %v, %v; want the loaded one", got, err)
	}
	must(t, h.SetConfig(t.Context(), []byte(`{"default_model":"alpha-7b"}`)))
	if got, err := h.Resolve("auto"); err != nil || got != alpha {
		t.Errorf("auto: %v, %v; want the default", got, err)
	}
}
