package llama

import (
	"context"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/shard"
)

// planShards prepares a window of a model's folder. The files are locked until the plan's unlock is called.
func planShards(ctx context.Context, spec engine.Spec) (*plan, error) {
	model, err := shard.Open(spec.ModelDir)
	if err != nil {
		return nil, err
	}
	unlock, err := shard.Lock(ctx, spec.ModelDir)
	if err != nil {
		return nil, err
	}
	p, err := planWindow(model, spec)
	if err != nil {
		unlock()
		return nil, err
	}
	p.unlock = unlock
	return p, nil
}

func planWindow(model *shard.Model, spec engine.Spec) (*plan, error) {
	if spec.VocabOnly {
		path, err := model.PrepareVocab()
		return &plan{vocab: path}, err
	}
	paths, w, err := shard.PrepareWindow(spec.ModelDir, spec.FirstShard, spec.EndShard)
	if err != nil {
		return nil, err
	}
	p := &plan{paths: paths, layers: w.Layers, first: w.First, last: w.Last, window: w.Window, vocabulary: w.Vocabulary}
	for _, s := range model.Manifest.Shards[spec.FirstShard:spec.EndShard] {
		p.bytes += s.Size
	}
	p.cacheRow = cacheRow(model.Header)
	if w.Last && !w.Whole {
		p.vocab = w.Vocab
	}
	if w.First && !w.Whole {
		if int64(w.Embedding) != w.Tokens.Columns {
			return nil, core.Errorf(core.CodeCorrupt, "token embedding is %d wide, the model %d", w.Tokens.Columns, w.Embedding)
		}
		p.embedding = rowTable{
			path: w.Tokens.Path, offset: w.Tokens.Offset, typ: w.Tokens.Type,
			width: w.Embedding, rows: int(w.Tokens.Rows),
		}
	}
	return p, nil
}
