package shard

import (
	"slices"
	"strconv"
	"strings"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/gguf"
)

// Rule says how a file is cut. Nodes that use the same rule on the same file get the same shards.
type Rule struct {
	Number    int   `json:"number"`           // version of the rule; 1 is the only one
	ShardSize int64 `json:"shard_size_bytes"` // about how large a shard may be
	MinShards int   `json:"min_shards"`       // a model of fewer bytes is cut into so many shards, if it has the layers
}

// DefaultRule cuts shards of 512 MiB, and no model into fewer than 8, so that small ones can be spread too.
func DefaultRule() Rule { return Rule{Number: 1, ShardSize: 512 << 20, MinShards: 8} }

// Bounds of what is cut.
const (
	maxLayers    = 1024
	maxFileSize  = 1 << 48
	maxShared    = 1 << 20 // bytes of a tensor outside the layers that every shard gets a copy of
	maxSharers   = 64      // how many such tensors there may be
	reservedUnit = 64 << 10
)

// place is one shard of a layout: its layers, and its tensors in packed order, which is
//
//	the tensors of its layers, layer by layer
//	on the last shard: the output tensors, and the token embedding if that is the output matrix too
//	small tensors that belong to no layer, a copy in each shard
//	on the first shard: the token embedding and large tensors that belong to no layer
//
// Each window the shard is in needs a prefix of this list, which is what lets one file serve them all.
type place struct {
	layers  core.LayerRange
	tensors []*gguf.Tensor
	own     int // tensors of the layers
	output  int // own, and on the last shard the output tensors
	tied    int // output, and on the last shard of a tied model the embedding
	shared  int // tied, and what every shard has a copy of
}

// plan is how a file is cut.
type plan struct {
	shards []place
	layers int
	tied   bool   // the embedding is the output matrix too
	large  string // a tensor outside the layers that is too large to copy; windows are refused
}

func (r Rule) check() error {
	if r.Number != 1 {
		return core.Errorf(core.CodeUnsupported, "layout rule %d is not known", r.Number)
	}
	if r.ShardSize < 1 || r.ShardSize > maxFileSize || r.MinShards < 1 || r.MinShards > maxLayers {
		return core.Errorf(core.CodeInvalidRequest, "layout rule is out of range")
	}
	return nil
}

// layOut cuts f by rule r. It depends on the header only.
func layOut(f *gguf.File, r Rule) (*plan, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	layers, _ := f.ArchUint("block_count")
	if layers < 1 || layers > maxLayers {
		return nil, core.Errorf(core.CodeUnsupported, "the file has %d layers; it is no language model that can be cut", layers)
	}
	p := &plan{layers: int(layers), tied: f.Tensor("output.weight") == nil}
	parts, err := sortTensors(f, p)
	if err != nil {
		return nil, err
	}
	for _, run := range r.cut(parts.sizes(f.Alignment())) {
		p.shards = append(p.shards, parts.place(run, p))
	}
	return p, nil
}

// checkLayers tells whether the file has something of every layer that its header speaks of: a worker that is told of
// layers which are not there ends without a word.
func (p *plan) checkLayers(f *gguf.File) error {
	there := make([]bool, p.layers)
	for i := range f.Tensors {
		if layer, ok := layerOf(f.Tensors[i].Name); ok && layer < p.layers {
			there[layer] = true
		}
	}
	if i := slices.Index(there, false); i >= 0 {
		return core.Errorf(core.CodeCorrupt, "the header speaks of %d layers, and there is nothing of layer %d in the file", p.layers, i)
	}
	return nil
}

// parts are the tensors of a file by where they go.
type parts struct {
	layers    [][]*gguf.Tensor
	output    []*gguf.Tensor
	shared    []*gguf.Tensor
	embedding []*gguf.Tensor // and what else only the first shard has
	tied      []*gguf.Tensor // the embedding, if it is the output matrix
}

func sortTensors(f *gguf.File, p *plan) (*parts, error) {
	s := &parts{layers: make([][]*gguf.Tensor, p.layers)}
	var large []*gguf.Tensor
	for _, t := range f.ByOffset() {
		layer, inLayer := layerOf(t.Name)
		switch {
		case inLayer && layer >= p.layers:
			return nil, core.Errorf(core.CodeCorrupt, "tensor %q is of a layer past the last", t.Name)
		case inLayer:
			s.layers[layer] = append(s.layers[layer], t)
		case strings.HasPrefix(t.Name, "output"):
			s.output = append(s.output, t)
		case strings.HasPrefix(t.Name, "token_embd"):
			s.embedding = append(s.embedding, t)
		case t.Size() > maxShared || len(s.shared) == maxSharers:
			p.large = t.Name
			large = append(large, t)
		default:
			s.shared = append(s.shared, t)
		}
	}
	if t := f.Tensor(embeddingName); p.tied && t != nil {
		s.tied = []*gguf.Tensor{t}
	}
	s.embedding = append(s.embedding, large...)
	return s, nil
}

// embeddingName is the tensor that tokens are looked up in.
const embeddingName = "token_embd.weight"

// place packs the tensors of the shard with the given layers.
func (s *parts) place(layers core.LayerRange, p *plan) place {
	sh := place{layers: layers}
	for l := layers.First; l < layers.End; l++ {
		sh.tensors = append(sh.tensors, s.layers[l]...)
	}
	first, last := layers.First == 0, layers.End == p.layers
	sh.own = len(sh.tensors)
	if last {
		sh.tensors = append(sh.tensors, s.output...)
	}
	sh.output = len(sh.tensors)
	if last {
		sh.tensors = append(sh.tensors, s.tied...)
	}
	sh.tied = len(sh.tensors)
	sh.tensors = append(sh.tensors, s.shared...)
	sh.shared = len(sh.tensors)
	if first {
		for _, t := range s.embedding {
			if !last || len(s.tied) == 0 || t != s.tied[0] {
				sh.tensors = append(sh.tensors, t)
			}
		}
	}
	return sh
}

// sizes are the packed sizes of the layers.
func (s *parts) sizes(align int64) []int64 {
	sizes := make([]int64, len(s.layers))
	for l, tensors := range s.layers {
		sizes[l] = packedSize(tensors, align)
	}
	return sizes
}

func packedSize(tensors []*gguf.Tensor, align int64) (n int64) {
	for _, t := range tensors {
		n += gguf.Pad(t.Size(), align)
	}
	return n
}

// cut splits layers of the given sizes into runs of about the same number of bytes: as few as keep a run below
// ShardSize on average, but at least MinShards if there are so many layers.
func (r Rule) cut(sizes []int64) []core.LayerRange {
	var total int64
	for _, n := range sizes {
		total += n
	}
	layers := int64(len(sizes))
	count := min(max((total+r.ShardSize-1)/r.ShardSize, min(layers, int64(r.MinShards))), layers)
	runs := make([]core.LayerRange, 0, count)
	var first int
	var done int64
	for i := range count {
		end := first + 1
		done += sizes[first]
		// A layer belongs to this run while its middle is before the run's ideal end; each later run keeps a layer.
		for int64(end) < layers-(count-1-i) && (i == count-1 || (done+sizes[end]/2)*count <= (i+1)*total) {
			done += sizes[end]
			end++
		}
		runs = append(runs, core.LayerRange{First: first, End: end})
		first = end
	}
	return runs
}

// layerOf reads the layer's number from a tensor's name.
func layerOf(name string) (layer int, ok bool) {
	rest, ok := strings.CutPrefix(name, "blk.")
	if !ok {
		return 0, false
	}
	digits, _, ok := strings.Cut(rest, ".")
	n, err := strconv.ParseUint(digits, 10, 31)
	return int(n), ok && err == nil && strconv.FormatUint(n, 10) == digits
}

// reserved is the size of the area in front of the tensors of every shard: room for the largest header that
// PrepareWindow may have to write there.
func (p *plan) reserved(f *gguf.File) (int64, error) {
	most := int64(0)
	for i := range p.shards {
		header, err := gguf.Marshal(splitHeader(f, p.shards[i].tensors, 0, split{}))
		if err != nil {
			return 0, err
		}
		// Counts have a fixed width and window names are never longer, so this is the longest.
		most = max(most, int64(len(header)))
	}
	return gguf.Pad(most, reservedUnit), nil
}
