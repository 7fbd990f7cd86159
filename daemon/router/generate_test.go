package router

import (
	"context"
	"log/slog"
	"testing"

	"github.com/shoal-p2p/shoal/daemon/chat"
	"github.com/shoal-p2p/shoal/daemon/core"
)

// TestDeadWorkerIsAskedAgainOnce lets requests meet workers that die, before and after a piece of the reply was sent.
func TestDeadWorkerIsAskedAgainOnce(t *testing.T) {
	crash := core.Errorf(core.CodeEngineCrashed, "worker: signal: killed")
	full := core.Errorf(core.CodeContextTooLong, "too long")
	for _, c := range []struct {
		name    string
		ends    []error // of the calls, in order
		begun   bool
		calls   int
		outcome core.Code
	}{
		{"alive", []error{nil}, false, 1, ""},
		{"dead at first", []error{crash, nil}, false, 2, ""},
		{"dead each time", []error{crash, crash, crash}, false, 2, core.CodeEngineCrashed},
		{"dead in the reply", []error{crash, nil}, true, 1, core.CodeEngineCrashed},
		{"another error", []error{full, nil}, false, 1, core.CodeContextTooLong},
	} {
		t.Run(c.name, func(t *testing.T) {
			leases, calls := 0, 0
			r := &Router{cfg: Config{
				Log: slog.New(slog.DiscardHandler),
				Acquire: func(context.Context, core.ModelID) (chat.Model, func(), error) {
					leases++
					return chat.Model{}, func() { leases-- }, nil
				},
			}}
			err := r.answerHere(t.Context(), core.ModelID{}, func() bool { return c.begun }, func(chat.Model, func() core.Route) error {
				calls++
				return c.ends[calls-1]
			})
			if calls != c.calls || core.CodeOf(err) != c.outcome && err != nil || (err == nil) != (c.outcome == "") || leases != 0 {
				t.Errorf("%d calls, %v, %d leases kept; want %d calls, %q", calls, err, leases, c.calls, c.outcome)
			}
		})
	}
}
