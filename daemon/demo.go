package daemon

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// demoOffered is the key of the store that says that the demo model was imported once. A user who deletes it does
// not get it again.
const demoOffered = "demo_offered"

// importDemo imports the built-in model at the first start, if there is no other.
func (n opening) importDemo(ctx context.Context) error {
	_, offered, err := n.store.Value(ctx, demoOffered)
	if err != nil || offered || len(n.cfg.Demo) == 0 || len(n.library.All()) > 0 {
		return err
	}
	dir, err := os.MkdirTemp("", "shoal-demo-*")
	if err != nil {
		return fmt.Errorf("demo model: %w", err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, filepath.Base(n.cfg.DemoName))
	if err := os.WriteFile(path, n.cfg.Demo, 0o600); err != nil {
		return fmt.Errorf("demo model: %w", err)
	}
	if _, err := n.control.Import(ctx, path, 0, nil); err != nil {
		return err
	}
	return n.store.SetValue(ctx, demoOffered, "1")
}
