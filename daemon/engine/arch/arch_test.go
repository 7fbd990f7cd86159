package arch

import (
	"reflect"
	"slices"
	"testing"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// header is a Metadata for tests: a uint64 or []uint64 for each key.
type header map[string]any

func (h header) Uint(key string) (uint64, bool) {
	v, ok := h[key].(uint64)
	return v, ok
}

func (h header) Uints(key string) ([]uint64, bool) {
	v, ok := h[key].([]uint64)
	return v, ok
}

func TestSplittableRefusesWithAReason(t *testing.T) {
	for _, c := range []struct {
		name string
		head header
		ok   bool
	}{
		{"llama", header{"llama.block_count": uint64(22)}, true},
		{"llama", header{}, false},
		{"gemma3", header{"gemma3.block_count": uint64(26)}, true},
		{"gemma3", header{"gemma3.block_count": uint64(62)}, false},
		{"gemma2", header{"gemma2.block_count": uint64(46)}, false},
		{"deepseek2", header{"deepseek2.block_count": uint64(27)}, false},
		{"deepseek2", header{"deepseek2.block_count": uint64(61)}, true},
		{"deepseek2", header{"deepseek2.block_count": uint64(61), "deepseek2.nextn_predict_layers": uint64(1)}, false},
		{"glm4", header{"glm4.block_count": uint64(17), "glm4.rope.dimension_sections": []uint64{8, 12, 12, 0}}, false},
		{"gemma3n", header{"gemma3n.block_count": uint64(30)}, false},
		{"mamba", header{"mamba.block_count": uint64(30)}, false},
		{"nobody-knows", header{"nobody-knows.block_count": uint64(30)}, false},
		{"", header{}, false},
	} {
		err := Of(c.name, c.head).Splittable()
		if (err == nil) != c.ok {
			t.Errorf("%q %v: error %v, want ok %v", c.name, c.head, err, c.ok)
		}
		if err != nil && core.CodeOf(err) != core.CodeUnsupported {
			t.Errorf("%q: code %s", c.name, core.CodeOf(err))
		}
	}
}

func TestWindowRefusesLengthsOfOtherModels(t *testing.T) {
	m := Of("deepseek2", header{"deepseek2.block_count": uint64(61)})
	if _, err := m.Window(core.LayerRange{First: 0, End: 27}); core.CodeOf(err) != core.CodeUnsupported {
		t.Errorf("a window that looks like the lite variant gave %v", err)
	}
	if _, err := m.Window(core.LayerRange{First: 0, End: 28}); err != nil {
		t.Error(err)
	}
}

func TestWindowRefusesLayersOutsideTheModel(t *testing.T) {
	m := Of("llama", header{"llama.block_count": uint64(8)})
	for _, r := range []core.LayerRange{{First: -1, End: 2}, {First: 0, End: 9}, {First: 3, End: 3}, {First: 4, End: 2}} {
		if _, err := m.Window(r); core.CodeOf(err) != core.CodeInvalidRequest {
			t.Errorf("%v gave %v", r, err)
		}
	}
}

func TestWindowExportsItsLastLayer(t *testing.T) {
	w, err := Of("llama", header{"llama.block_count": uint64(8)}).Window(core.LayerRange{First: 3, End: 7})
	if err != nil || w.Export != "l_out-3" || w.Scale != 1 || w.Input != "" || len(w.Fixes) != 0 {
		t.Errorf("%+v %v", w, err)
	}
}

func TestLeadingDenseLayersShift(t *testing.T) {
	m := Of("deepseek", header{"deepseek.block_count": uint64(8), "deepseek.leading_dense_block_count": uint64(3)})
	for _, c := range []struct {
		r    core.LayerRange
		want uint32
	}{{core.LayerRange{First: 0, End: 2}, 2}, {core.LayerRange{First: 2, End: 5}, 1}, {core.LayerRange{First: 4, End: 8}, 0}} {
		w, err := m.Window(c.r)
		if err != nil || len(w.Fixes) != 1 || w.Fixes[0].Uint != c.want {
			t.Errorf("%v: %+v %v, want %d", c.r, w.Fixes, err, c.want)
		}
	}
}

func TestSlidingPattern(t *testing.T) {
	base := func(more header) header {
		h := header{"gemma3.block_count": uint64(8), "gemma3.attention.sliding_window": uint64(512), "gemma3.embedding_length": uint64(2304)}
		for k, v := range more {
			h[k] = v
		}
		return h
	}
	for _, c := range []struct {
		name string
		head header
		want []bool
	}{
		{"default period", base(nil), []bool{true, false, true, true}},
		{"period of the header", base(header{"gemma3.attention.sliding_window_pattern": uint64(2)}), []bool{true, false, true, false}},
		{"list of the header", base(header{"gemma3.attention.sliding_window_pattern": []uint64{0, 0, 0, 0, 1, 1, 0, 1}}), []bool{true, true, false, true}},
	} {
		m := Of("gemma3", c.head)
		w, err := m.Window(core.LayerRange{First: 4, End: 8})
		if err != nil || len(w.Fixes) != 1 || !slices.Equal(w.Fixes[0].Bools, c.want) || w.Scale != 48 {
			t.Errorf("%s: %+v %v", c.name, w, err)
		}
		if m.CanTrim() {
			t.Errorf("%s: a sliding window must not be trimmed", c.name)
		}
	}
	if m := Of("gemma3", header{"gemma3.block_count": uint64(8)}); !m.CanTrim() {
		t.Error("without a sliding window the cache can be trimmed")
	}
	if m := Of("gemma2", header{"gemma2.block_count": uint64(8)}); m.CanTrim() {
		t.Error("gemma2 slides by default")
	}
}

func TestWindowWithoutSlidingLayers(t *testing.T) {
	for _, c := range []struct {
		name  string
		layer int
		want  []Fix
	}{
		{"gemma3", 5, []Fix{{Key: "gemma3.attention.sliding_window"}}},
		{"olmo2", 3, []Fix{{Key: "olmo2.attention.sliding_window"}}},
		{"gemma2", 1, []Fix{
			{Key: "gemma2.attention.sliding_window_pattern", Bools: []bool{true}},
			{Key: "gemma2.attention.sliding_window", Uint: allPositions},
		}},
	} {
		m := Of(c.name, header{c.name + ".block_count": uint64(8), c.name + ".attention.sliding_window": uint64(64)})
		w, err := m.Window(core.LayerRange{First: c.layer, End: c.layer + 1})
		if err != nil || !reflect.DeepEqual(w.Fixes, c.want) {
			t.Errorf("%s: %+v %v", c.name, w.Fixes, err)
		}
	}
}

func TestNoArchitectureIsBothAllowedAndRefused(t *testing.T) {
	for _, name := range Names() {
		if reason, bad := refused[name]; bad {
			t.Errorf("%s is in the table and refused: %s", name, reason)
		}
	}
}
