package fake

import (
	"math"
	"strings"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
)

// forced is the logit bias from which a token is always chosen.
const forced = 100

// sampler chooses the tokens of one sequence. Greedy choices depend on the sequence alone; the others also on the
// seed, on how many were made, and, with a penalty, on the history: so a lost or repeated OpSampler shows.
type sampler struct {
	how     engine.Sampler
	draws   uint64
	history uint64
	reply   []int32
	begun   bool
}

func (s *sampler) set(how *engine.Sampler) error {
	if how == nil {
		return core.Errorf(core.CodeInvalidRequest, "operation without a sampler")
	}
	if how.Grammar != "" && !strings.Contains(how.Grammar, "root") {
		return core.Errorf(core.CodeInvalidRequest, "grammar has no rule root")
	}
	*s = sampler{how: *how}
	for _, t := range how.History {
		s.history = mix(s.history, uint64(t))
	}
	for _, t := range how.Accepted {
		s.history = mix(s.history, uint64(t))
		s.draws++
	}
	return nil
}

func (s *sampler) sample(cfg Config, row int, x uint64, tokens []int32) engine.Sample {
	token := s.choose(cfg, x, tokens)
	s.draws++
	s.history = mix(s.history, uint64(token))
	sample := engine.Sample{Row: row, Token: token, End: token == TokenEnd || token == TokenTurnEnd}
	if token < 256 {
		sample.Piece = []byte{byte(token)}
	}
	if s.how.Logprobs {
		sample.Logprob = -float64(x%1000) / 1000
		for i := range s.how.TopLogprobs {
			b := byte(printable(x + uint64(i)))
			sample.Top = append(sample.Top, engine.Candidate{Token: int32(b), Piece: []byte{b}, Logprob: sample.Logprob - float64(i)})
		}
	}
	return sample
}

func (s *sampler) choose(cfg Config, x uint64, tokens []int32) int32 {
	if cfg.Reply != nil {
		return s.scripted(cfg, tokens)
	}
	for token, bias := range s.how.LogitBias {
		if bias >= forced {
			return token
		}
	}
	if s.how.Temperature > 0 {
		x = mix(x^math.Float64bits(s.how.Temperature), s.draws)
		if s.how.Seed != nil {
			x = mix(x, uint64(*s.how.Seed))
		}
	}
	if s.how.RepeatPenalty > 1 || s.how.FrequencyPenalty != 0 || s.how.PresencePenalty != 0 {
		x = mix(x, s.history)
	}
	if cfg.EndOdds > 0 && x%uint64(cfg.EndOdds) == 0 {
		return TokenEnd
	}
	return printable(x)
}

func (s *sampler) scripted(cfg Config, tokens []int32) int32 {
	if !s.begun {
		accepted := len(s.how.Accepted)
		s.begun, s.reply = true, cfg.Reply(append([]int32(nil), tokens[:len(tokens)-accepted]...))
		s.reply = s.reply[min(accepted, len(s.reply)):]
	}
	if len(s.reply) == 0 {
		return TokenEnd
	}
	token := s.reply[0]
	s.reply = s.reply[1:]
	return token
}

// printable is a visible ASCII character.
func printable(x uint64) int32 { return int32((x>>8)%94) + '!' }
