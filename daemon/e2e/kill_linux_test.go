package e2e_test

import (
	"path/filepath"
	"testing"

	"github.com/shoal-p2p/shoal/daemon/e2e/kill"
)

// TestPeersAreTakenAway is a short form of `make kill`.
func TestPeersAreTakenAway(t *testing.T) {
	for name, cfg := range map[string]kill.Config{
		"standby": {Standby: true, Rounds: 4, Kinds: []string{kill.KillNode, kill.KillWorker, kill.StopNode, kill.StopWorker}, Seed: 1},
		// A peer that is silent is noticed after 2 s, which leaves a busy machine little of the 5 s.
		"alone": {HomeEnd: true, Rounds: 2, Kinds: []string{kill.KillNode, kill.KillWorker}, Seed: 2},
	} {
		t.Run(name, func(t *testing.T) {
			cfg.Program, cfg.Runtime, cfg.Dir = filepath.Join(programs, "shoald"), libraries(t), t.TempDir()
			cfg.Each = func(o kill.Outcome) {
				if o.Logs != "" {
					t.Error(o.Logs)
				}
				t.Logf("%s: %s, paused for %s, ended after %s. %s", o.Kind, o.Verdict, o.Pause, o.Told, o.Detail)
			}
			list, err := kill.Run(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range list {
				if !o.OK(cfg.Standby) {
					t.Errorf("round %d: %+v", o.Round, o)
				}
			}
		})
	}
}
