package llama

import (
	"cmp"
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	binding "github.com/hybridgroup/yzma/pkg/llama"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
)

const (
	penaltyRow = 256 // tokens that the repetition penalties look back
	// grammarGroup is how many tokens a grammar is asked about at once. It cannot be stopped meanwhile.
	grammarGroup = 256
	grammarLimit = 5 * time.Second // for a grammar to choose one token
)

// sampler chooses the tokens of one sequence. A nil sampler takes the likeliest token.
type sampler struct {
	chain    binding.Sampler // 0: the likeliest token
	grammar  binding.Sampler // 0: none
	logprobs bool
	top      int
	cand     []binding.TokenData // scratch
	group    []binding.TokenData // scratch
}

// newSampler checks s and makes llama.cpp's samplers for it, in the order that llama.cpp's own server uses.
func newSampler(w *Window, s *engine.Sampler) (*sampler, error) {
	if err := s.Check(w.shape.Vocabulary); err != nil {
		return nil, err
	}
	out := &sampler{logprobs: s.Logprobs, top: s.TopLogprobs}
	if s.Grammar != "" {
		if out.grammar = binding.SamplerInitGrammar(w.vocab, s.Grammar, "root"); out.grammar == 0 {
			return nil, core.Errorf(core.CodeInvalidRequest, "grammar is not valid GBNF with a rule root").WithParam("grammar")
		}
	}
	if !out.follow(s.Accepted) {
		out.free()
		return nil, core.Errorf(core.CodeInvalidRequest, "the grammar does not allow the tokens accepted before").WithParam("grammar")
	}
	greedy := s.Temperature <= 0
	penalties := s.RepeatPenalty != 0 && s.RepeatPenalty != 1 || s.FrequencyPenalty != 0 || s.PresencePenalty != 0
	if greedy && !penalties && len(s.LogitBias) == 0 {
		return out, nil
	}
	out.chain = binding.SamplerChainInit(binding.SamplerChainParams{NoPerf: 1})
	out.addBias(w, s.LogitBias)
	if penalties {
		repeat := s.RepeatPenalty
		if repeat == 0 {
			repeat = 1
		}
		out.add(binding.SamplerInitPenalties(int32(w.shape.Vocabulary), penaltyRow, float32(repeat),
			float32(s.FrequencyPenalty), float32(s.PresencePenalty)))
	}
	if greedy {
		out.add(binding.SamplerInitGreedy())
	} else {
		out.addRandom(s)
	}
	if penalties {
		for _, list := range [][]int32{s.History, s.Accepted} {
			for _, t := range list[max(0, len(list)-penaltyRow):] {
				binding.SamplerAccept(out.chain, binding.Token(t))
			}
		}
	}
	return out, nil
}

// follow takes the grammar past tokens. It is false for tokens that the grammar does not allow, at which llama.cpp
// would end the process.
func (s *sampler) follow(tokens []int32) bool {
	if s.grammar == 0 {
		return true
	}
	for _, t := range tokens {
		if !s.allows(t) {
			return false
		}
		binding.SamplerAccept(s.grammar, binding.Token(t))
	}
	return true
}

func (s *sampler) add(link binding.Sampler) { binding.SamplerChainAdd(s.chain, link) }

func (s *sampler) addBias(w *Window, bias map[int32]float64) {
	if len(bias) == 0 {
		return
	}
	list := make([]binding.LogitBias, 0, len(bias))
	for token, b := range bias {
		list = append(list, binding.LogitBias{Token: binding.Token(token), Bias: float32(b)})
	}
	s.add(binding.SamplerInitLogitBias(int32(w.shape.Vocabulary), int32(len(list)), &list[0]))
}

func (s *sampler) addRandom(from *engine.Sampler) {
	if from.TopK > 0 {
		s.add(binding.SamplerInitTopK(int32(from.TopK)))
	}
	if from.TopP > 0 && from.TopP < 1 {
		s.add(binding.SamplerInitTopP(float32(from.TopP), 1))
	}
	if from.MinP > 0 {
		s.add(binding.SamplerInitMinP(float32(from.MinP), 1))
	}
	if from.Temperature != 1 {
		s.add(binding.SamplerInitTemp(float32(from.Temperature)))
	}
	seed := rand.Uint32()
	if from.Seed != nil {
		seed = *from.Seed
	}
	if seed == binding.DefaultSeed { // which llama.cpp takes for "draw one"
		seed--
	}
	s.add(binding.SamplerInitDist(seed))
}

func (s *sampler) free() {
	if s == nil {
		return
	}
	binding.SamplerFree(s.chain)
	binding.SamplerFree(s.grammar)
	s.chain, s.grammar = 0, 0
}

// What stands for a token where a grammar has none left to allow, or has taken too long to say.
const (
	noToken = -1
	tooLong = -2
)

// sample chooses a token for row i of the batch, whose likeliest token is best.
func (s *sampler) sample(ctx context.Context, w *Window, i int, logits []float32, best int32) engine.Sample {
	token := best
	switch {
	case s == nil || s.chain == 0 && s.grammar == 0:
	case s.grammar == 0:
		token = int32(binding.SamplerSample(s.chain, w.ctx, int32(i)))
	default:
		token = s.constrained(ctx, w, logits, best)
	}
	if token < 0 {
		return engine.Sample{Row: i, Token: noToken, End: true, Failed: token == tooLong}
	}
	out := engine.Sample{Row: i, Token: token, End: binding.VocabIsEOG(w.vocab, binding.Token(token))}
	out.Piece = w.piece(token, false)
	if s != nil && s.logprobs {
		s.report(w, &out, logits)
	}
	return out
}

// constrained chooses a token that the grammar allows. It first chooses without the grammar, which is cheap to
// check for one token; if the grammar forbids that, it chooses among what the grammar allows. The result is
// distributed as if only allowed tokens had been there.
func (s *sampler) constrained(ctx context.Context, w *Window, logits []float32, best int32) int32 {
	token := best
	if s.chain != 0 {
		s.fill(logits)
		token = s.choose(s.cand)
	}
	if !s.allows(token) {
		s.fill(logits)
		if !s.restrict(ctx, w) {
			return tooLong
		}
		token = s.choose(s.cand[:keepAllowed(s.cand)])
	}
	if token == noToken {
		return token
	}
	binding.SamplerAccept(s.grammar, binding.Token(token))
	binding.SamplerAccept(s.chain, binding.Token(token))
	return token
}

// fill makes every token a candidate.
func (s *sampler) fill(logits []float32) {
	if s.cand == nil {
		s.cand = make([]binding.TokenData, len(logits))
	}
	for i, l := range logits {
		s.cand[i] = binding.TokenData{Id: binding.Token(i), Logit: l}
	}
}

// restrict forbids what the grammar does not allow; the candidates are in the order of their tokens. It is false if that
// took too long, or ctx ended. What an ambiguous grammar takes grows with the length of a token, so the short ones go
// first: the limit is passed long before the worst of them.
func (s *sampler) restrict(ctx context.Context, w *Window) bool {
	order, until := w.tokensByLength(), time.Now().Add(w.grammarLimit)
	for len(order) > 0 {
		if ctx.Err() != nil || time.Now().After(until) {
			return false
		}
		n := min(grammarGroup, len(order))
		s.group = s.group[:0]
		for _, token := range order[:n] {
			s.group = append(s.group, s.cand[token])
		}
		binding.SamplerApply(s.grammar, &binding.TokenDataArray{Data: &s.group[0], Size: uint64(n), Selected: -1})
		for _, c := range s.group {
			s.cand[c.Id].Logit = c.Logit
		}
		order = order[n:]
	}
	return true
}

// tokensByLength are all tokens, those of few bytes first.
func (w *Window) tokensByLength() []int32 {
	if w.byLength != nil {
		return w.byLength
	}
	length := make([]int, w.shape.Vocabulary)
	w.byLength = make([]int32, w.shape.Vocabulary)
	for i := range w.byLength {
		w.byLength[i], length[i] = int32(i), len(w.piece(int32(i), false))
	}
	slices.SortStableFunc(w.byLength, func(a, b int32) int { return cmp.Compare(length[a], length[b]) })
	return w.byLength
}

// choose runs the chain over candidates.
func (s *sampler) choose(list []binding.TokenData) int32 {
	if len(list) == 0 {
		return noToken
	}
	if s.chain == 0 {
		return bestOf(list)
	}
	array := binding.TokenDataArray{Data: &list[0], Size: uint64(len(list)), Selected: -1}
	binding.SamplerApply(s.chain, &array)
	if array.Selected < 0 || array.Selected >= int64(array.Size) {
		return noToken
	}
	return int32(list[array.Selected].Id)
}

// keepAllowed moves the tokens that have not been forbidden to the front and counts them.
func keepAllowed(list []binding.TokenData) (n uint64) {
	for _, c := range list {
		if !math.IsInf(float64(c.Logit), -1) {
			list[n] = c
			n++
		}
	}
	return n
}

func bestOf(list []binding.TokenData) int32 {
	best := list[0]
	for _, c := range list[1:] {
		if c.Logit > best.Logit {
			best = c
		}
	}
	return int32(best.Id)
}

// allows asks the grammar about one token.
func (s *sampler) allows(token int32) bool {
	one := [1]binding.TokenData{{Id: binding.Token(token), Logit: 1}}
	binding.SamplerApply(s.grammar, &binding.TokenDataArray{Data: &one[0], Size: 1, Selected: -1})
	return !math.IsInf(float64(one[0].Logit), -1)
}

// argmax is the first of the largest logits. It is not ok if one is NaN.
func argmax(logits []float32) (best int32, ok bool) {
	ok = true
	top := logits[0]
	for i, l := range logits {
		if l > top {
			top, best = l, int32(i)
		}
		if l != l {
			ok = false
		}
	}
	return best, ok
}
