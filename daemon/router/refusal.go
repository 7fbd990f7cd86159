package router

import (
	"errors"
	"fmt"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// refusalOf is the error of a request that nobody can serve, for the log and the caller.
func (r *Router) refusalOf(id core.ModelID, err error) error {
	r.cfg.Log.Warn("no chain", "model", id.String(), "err", err)
	if e, ok := errors.AsType[*core.Error](err); ok && e.Hint == "" {
		return fmt.Errorf("%w", e.WithHint("GET /api/admin/plan/"+id.String()+" explains it; so does shoald plan "+id.String()+"."))
	}
	return err
}
