package transfer

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/swarm/swarmtest"
)

// slowed is a source that takes its time for each chunk.
type slowed struct {
	Source
	each time.Duration
}

func (s slowed) Open(ctx context.Context) (Session, error) {
	inner, err := s.Source.Open(ctx)
	return slowedSession{inner, ctx, s.each}, err
}

type slowedSession struct {
	Session
	ctx  context.Context
	each time.Duration
}

func (s slowedSession) Next() (Chunk, error) {
	select {
	case <-time.After(s.each):
		return s.Session.Next()
	case <-s.ctx.Done():
		return Chunk{}, s.ctx.Err()
	}
}

// TestFarSourcesHelpSlowNearOnes checks that a far source is not used while near ones are fast, and soon is when they
// are not, however many they are.
func TestFarSourcesHelpSlowNearOnes(t *testing.T) {
	m, _ := source(t)
	for name, test := range map[string]struct {
		near int
		each time.Duration // of a near chunk of 1 MiB
		far  bool          // is used
		most time.Duration
	}{
		"fast":      {1, 200 * time.Millisecond, false, 20 * time.Second},
		"slow":      {1, 4 * time.Second, true, 15 * time.Second},
		"many slow": {5, 20 * time.Second, true, 15 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				net := swarmtest.New()
				me, far := net.Join("me"), net.Join("far")
				serve(t, far)
				helper := &counted{Source: slowed{peerSource{me, far.Self(), nil}, 100 * time.Millisecond}}
				holders := []Holder{{Peer: far.Self(), Shards: all(m), Source: helper}}
				for i := range test.near {
					near := net.Join("near" + string(rune('a'+i)))
					serve(t, near)
					holders = append(holders, Holder{
						Peer: near.Self(), LAN: true, Shards: all(m), Source: slowed{peerSource{me, near.Self(), nil}, test.each},
					})
				}
				c := newClient(t, t.TempDir(), me, fixed(holders...))
				background(t, c.Run)
				began := time.Now()
				c.add(t)
				c.await(t, core.DownloadDone)
				c.same(t)
				if took := time.Since(began); took > test.most {
					t.Errorf("took %s", took)
				}
				if used := helper.count() > 0; used != test.far {
					t.Errorf("%d chunks came from the far source", helper.count())
				}
			})
		})
	}
}
