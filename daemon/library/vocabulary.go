package library

import (
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/gguf"
)

// maxPadding is how many tokens a vocabulary may have beyond another that counts as the same: models of one family
// round the size up differently and never use the rest.
const maxPadding = 128

// SameVocabulary tells whether the tokens of two models mean the same. If not, the error has code CodeUnsupported and
// says what differs; otherwise errors are of reading the headers.
func (l *Library) SameVocabulary(a, b core.ModelID) error {
	var models [2]*Model
	for i, id := range []core.ModelID{a, b} {
		m, err := l.Find(id)
		if err != nil {
			return err
		}
		models[i] = m
	}
	l.comparing.Lock() // one comparison at a time, and the last is kept: it reads two headers, which may be large
	defer l.comparing.Unlock()
	now := comparison{models, [2]headerStamp{models[0].headerStamp(), models[1].headerStamp()}, ""}
	if last := l.compared; last != nil && last.models == now.models && last.stamps == now.stamps {
		return last.err()
	}
	var headers [2]*gguf.File
	for i, m := range models {
		var err error
		if headers[i], err = m.header(); err != nil {
			return core.Errorf(core.CodeNotReady, "model %s: %w", m.ID, err)
		}
	}
	now.why = differ(headers[0], headers[1])
	l.compared = &now
	return now.err()
}

// comparison is how the vocabularies of two models compared, and the files that was read from.
type comparison struct {
	models [2]*Model
	stamps [2]headerStamp
	why    string // how they differ; "" if they do not
}

func (c *comparison) err() error {
	if c.why == "" {
		return nil
	}
	return core.Errorf(core.CodeUnsupported, "%s and %s have different vocabularies: %s", c.models[0].ID, c.models[1].ID, c.why)
}

// differ says how the vocabularies of two headers differ; "" if they do not.
func differ(a, b *gguf.File) string {
	kindA, _ := a.String("tokenizer.ggml.model")
	kindB, _ := b.String("tokenizer.ggml.model")
	if kindA != kindB {
		return "the kinds of tokenizer"
	}
	tokensA, _ := a.Strings("tokenizer.ggml.tokens")
	tokensB, _ := b.Strings("tokenizer.ggml.tokens")
	common := min(len(tokensA), len(tokensB))
	if common == 0 {
		return "one has no tokens"
	}
	if max(len(tokensA), len(tokensB))-common > maxPadding {
		return "the numbers of tokens"
	}
	typesA, _ := a.Uints("tokenizer.ggml.token_type")
	typesB, _ := b.Uints("tokenizer.ggml.token_type")
	for i := range common {
		if tokensA[i] != tokensB[i] {
			return "the texts of tokens"
		}
		if i < len(typesA) && i < len(typesB) && typesA[i] != typesB[i] {
			return "the types of tokens"
		}
	}
	for _, key := range []string{"bos_token_id", "eos_token_id"} {
		idA, hasA := a.Uint("tokenizer.ggml." + key)
		idB, hasB := b.Uint("tokenizer.ggml." + key)
		if hasA != hasB || idA != idB {
			return "the tokens that begin and end a text"
		}
	}
	return ""
}
