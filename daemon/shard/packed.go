package shard

import (
	"errors"
	"io"
	"sort"

	"github.com/shoal-p2p/shoal/daemon/gguf"
)

// packed reads the bytes of a shard out of the original file: its tensors one after the other, padded with zeros.
type packed struct {
	src     io.ReaderAt
	tensors []TensorRange
	starts  []int64 // of each tensor in the shard
	size    int64
}

func newPacked(src io.ReaderAt, s *Shard, align int64) *packed {
	p := &packed{src: src, tensors: s.Tensors, starts: starts(s.Tensors, align), size: s.Size}
	return p
}

// starts are where the tensors begin in the packed bytes.
func starts(tensors []TensorRange, align int64) []int64 {
	list, at := make([]int64, len(tensors)), int64(0)
	for i, t := range tensors {
		list[i] = at
		at += gguf.Pad(t.Size, align)
	}
	return list
}

// ReadAt implements io.ReaderAt over the packed bytes.
func (p *packed) ReadAt(b []byte, off int64) (int, error) {
	whole := len(b)
	if off >= p.size {
		return 0, io.EOF
	}
	b = b[:min(int64(len(b)), p.size-off)]
	clear(b)
	end := off + int64(len(b))
	first := sort.Search(len(p.starts), func(i int) bool { return p.starts[i]+p.tensors[i].Size > off })
	for i := first; i < len(p.tensors) && p.starts[i] < end; i++ {
		t, start := p.tensors[i], p.starts[i]
		from, to := max(start, off), min(start+t.Size, end)
		if from >= to {
			continue
		}
		if n, err := p.src.ReadAt(b[from-off:to-off], t.Offset+from-start); n < int(to-from) {
			return int(from-off) + n, unexpected(err)
		}
	}
	if len(b) < whole {
		return len(b), io.EOF
	}
	return len(b), nil
}

// unexpected turns the end of a file that should go on into an error.
func unexpected(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
