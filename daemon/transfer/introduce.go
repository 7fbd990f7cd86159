package transfer

import (
	"context"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// Introduce gets the manifest and the header of a cut from whoever has them, and none of its shards. It goes on until
// they are here or ctx ends.
func (m *Manager) Introduce(ctx context.Context, id core.ModelID, manifest core.Digest) error {
	_, err := m.model(ctx, id, manifest)
	return err
}
