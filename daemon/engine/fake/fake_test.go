package fake_test

import (
	"testing"

	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/enginetest"
	"github.com/shoal-p2p/shoal/daemon/engine/fake"
)

func TestConformance(t *testing.T) {
	for name, cfg := range map[string]fake.Config{"plain": {}, "no trim": {NoTrim: true}} {
		t.Run(name, func(t *testing.T) {
			enginetest.Run(t, enginetest.Config{
				Windows: []int{1, 2, 3, 4},
				Open: func(t *testing.T, windows int, spec engine.Spec) []engine.Window {
					cut, err := fake.Cut(cfg, spec, windows)
					if err != nil {
						t.Fatal(err)
					}
					return cut
				},
			})
		})
	}
}
