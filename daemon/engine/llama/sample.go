package llama

import (
	"math"
	"math/rand/v2"

	binding "github.com/hybridgroup/yzma/pkg/llama"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
)

const penaltyRow = 256 // tokens that the repetition penalties look back

// sampler chooses the tokens of one sequence. A nil sampler takes the likeliest token.
type sampler struct {
	chain    binding.Sampler // 0: the likeliest token
	grammar  binding.Sampler // 0: none
	logprobs bool
	top      int
	cand     []binding.TokenData // scratch
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

// noToken stands for a token where a grammar has none left to allow.
const noToken = -1

// sample chooses a token for row i of the batch, whose likeliest token is best.
func (s *sampler) sample(w *Window, i int, logits []float32, best int32) engine.Sample {
	token := best
	switch {
	case s == nil || s.chain == 0 && s.grammar == 0:
	case s.grammar == 0:
		token = int32(binding.SamplerSample(s.chain, w.ctx, int32(i)))
	default:
		token = s.constrained(logits, best)
	}
	if token == noToken {
		return engine.Sample{Row: i, Token: noToken, End: true}
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
func (s *sampler) constrained(logits []float32, best int32) int32 {
	token := best
	if s.chain != 0 {
		token = s.choose(logits, false)
	}
	if !s.allows(token) {
		token = s.choose(logits, true)
	}
	if token == noToken {
		return token
	}
	binding.SamplerAccept(s.grammar, binding.Token(token))
	binding.SamplerAccept(s.chain, binding.Token(token))
	return token
}

// choose runs the chain over all tokens, or over those that the grammar allows.
func (s *sampler) choose(logits []float32, onlyAllowed bool) int32 {
	if s.cand == nil {
		s.cand = make([]binding.TokenData, len(logits))
	}
	for i, l := range logits {
		s.cand[i] = binding.TokenData{Id: binding.Token(i), Logit: l}
	}
	array := binding.TokenDataArray{Data: &s.cand[0], Size: uint64(len(logits)), Selected: -1}
	if onlyAllowed {
		binding.SamplerApply(s.grammar, &array)
		array.Size = keepAllowed(s.cand)
	}
	if array.Size == 0 {
		return noToken
	}
	if s.chain == 0 {
		return bestOf(s.cand[:array.Size])
	}
	binding.SamplerApply(s.chain, &array)
	if array.Selected < 0 || array.Selected >= int64(array.Size) {
		return noToken
	}
	return int32(s.cand[array.Selected].Id)
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
