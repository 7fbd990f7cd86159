package transfer

import (
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/shard"
)

// part is a shard that is being fetched. Its fields are guarded by the fetch's mutex.
type part struct {
	index    int
	size     int64
	writer   *shard.Writer
	chunks   []chunkState
	owner    []*worker // by chunk: who was asked last
	left     int       // chunks that are not written
	bytes    int64     // written
	speed    meter
	peers    map[core.PeerID]bool
	finished bool
}

// chunkState is how far a chunk is.
type chunkState uint8

const (
	chunkMissing chunkState = iota
	chunkAsked
	chunkTwice // asked of two sources
	chunkHere
)

// newPart opens a shard's Writer and takes over what is there.
func newPart(m *shard.Model, index int) (*part, error) {
	w, err := m.NewWriter(index)
	if err != nil {
		return nil, err
	}
	size := m.Manifest.Shards[index].Size
	n := shard.Chunks(size)
	p := &part{index: index, size: size, writer: w, chunks: make([]chunkState, n), owner: make([]*worker, n), bytes: w.Written(), peers: map[core.PeerID]bool{}}
	for i := range p.chunks {
		p.chunks[i] = chunkHere
	}
	for _, i := range w.Missing() {
		p.chunks[i] = chunkMissing
		p.left++
	}
	return p, nil
}

// run finds up to most chunks in a row for which ok holds; count is 0 if there are none.
func (p *part) run(most int, ok func(i int) bool) (first, count int) {
	for i := range p.chunks {
		switch {
		case ok(i):
			if count == 0 {
				first = i
			}
			if count++; count == most {
				return first, count
			}
		case count > 0:
			return first, count
		}
	}
	return first, count
}

// meter measures bytes a second over the last few seconds.
type meter struct {
	since time.Time
	bytes int64
	rate  float64
}

// meterStep is how often the rate is worked out.
const meterStep = time.Second

func (m *meter) add(n int64, now time.Time) {
	if m.since.IsZero() {
		m.since = now
	}
	m.bytes += n
	if d := now.Sub(m.since); d >= meterStep {
		fresh := float64(m.bytes) / d.Seconds()
		if m.rate == 0 {
			m.rate = fresh
		}
		m.rate = (m.rate + fresh) / 2
		m.since, m.bytes = now, 0
	}
}

// perSecond is the rate as of now: it falls while nothing comes.
func (m *meter) perSecond(now time.Time) float64 {
	if m.since.IsZero() {
		return 0
	}
	return (m.rate*meterStep.Seconds() + float64(m.bytes)) / max(now.Sub(m.since), meterStep).Seconds()
}
