package schedule

import "github.com/shoal-p2p/shoal/daemon/engine"

// cache is the book of the windows' KV cache: which sequence holds which tokens for whom, and how much is left. It
// only decides; its decisions become operations, which travel with the next batch.
type cache struct {
	slots   []*slot
	size    int  // tokens in all
	used    int  // tokens held by all slots
	canTrim bool // a sequence may lose its tail
	ops     []engine.Op
	clock   uint64
	evicted int64 // cached prefixes dropped to make room
}

// slot is one sequence of the windows.
type slot struct {
	seq       int32
	busy      bool
	held      int     // KV tokens that count as this slot's
	tokens    []int32 // what an idle slot has cached
	requester string  // whose tokens they are
	idleSince uint64  // clock when it became idle
}

func newCache(shape engine.Shape) *cache {
	c := &cache{size: shape.Context, canTrim: shape.CanTrim}
	for i := range shape.Sequences {
		c.slots = append(c.slots, &slot{seq: int32(i)})
	}
	return c
}

// admit gives a prompt a slot with room for it and for extra tokens more, and tells how many of its tokens are
// cached there already. It returns nil when there is no slot, or no room until some job ends. A cached sequence of
// which the prompt would keep less than half is copied rather than cut, if there is room for both.
func (c *cache) admit(requester string, prompt []int32, extra int) (*slot, int) {
	source, n := c.longestPrefix(requester, prompt)
	if source == nil {
		return c.take(c.vacant(nil), nil, 0, len(prompt), extra), 0
	}
	if 2*n < len(source.tokens) {
		if target := c.take(c.vacant(source), source, 0, len(prompt), extra); target != nil {
			c.ops = append(c.ops, engine.Op{Kind: engine.OpCopy, Seq: target.seq, From: int32(n), Source: source.seq})
			source.idleSince = c.tick()
			return target, n
		}
	}
	return c.take(source, nil, n, len(prompt), extra), n
}

// longestPrefix finds the idle slot of the requester with the most tokens in common with the prompt, of which at
// least one is left to run. A requester without a name shares nothing.
func (c *cache) longestPrefix(requester string, prompt []int32) (best *slot, n int) {
	if requester == "" {
		return nil, 0
	}
	for _, s := range c.slots {
		if s.busy || s.requester != requester {
			continue
		}
		common := commonPrefix(s.tokens, prompt[:len(prompt)-1])
		if common > n && (c.canTrim || common == len(s.tokens)) {
			best, n = s, common
		}
	}
	return best, n
}

func commonPrefix(a, b []int32) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// vacant finds the idle slot whose loss costs least: an empty one, or the one idle for longest.
func (c *cache) vacant(except *slot) (best *slot) {
	for _, s := range c.slots {
		if s.busy || s == except {
			continue
		}
		if len(s.tokens) == 0 {
			return s
		}
		if best == nil || s.idleSince < best.idleSince {
			best = s
		}
	}
	return best
}

// take makes s busy for a prompt of which it keeps the first tokens. It returns nil, and changes nothing, when the
// prompt and extra do not fit while the slot protected stays.
func (c *cache) take(s, protected *slot, keep, prompt, extra int) *slot {
	if s == nil || !c.makeRoom(prompt+extra-s.held, s, protected) {
		return nil
	}
	c.trim(s, keep)
	s.busy, s.tokens, s.requester = true, nil, ""
	c.used += prompt - s.held
	s.held = prompt
	return s
}

// makeRoom drops cached prefixes, the longest idle first, until n more tokens fit. When they cannot, it drops none.
func (c *cache) makeRoom(n int, keep, protected *slot) bool {
	idle := 0
	for _, s := range c.slots {
		if !s.busy && s != keep && s != protected {
			idle += s.held
		}
	}
	if c.used-idle+n > c.size {
		return false
	}
	for c.used+n > c.size {
		c.trim(c.oldest(keep, protected), 0)
		c.evicted++
	}
	return true
}

func (c *cache) oldest(keep, protected *slot) (best *slot) {
	for _, s := range c.slots {
		if s.busy || s == keep || s == protected || s.held == 0 {
			continue
		}
		if best == nil || s.idleSince < best.idleSince {
			best = s
		}
	}
	return best
}

// trim drops what an idle slot has cached from position n.
func (c *cache) trim(s *slot, n int) {
	if n < len(s.tokens) {
		c.ops = append(c.ops, engine.Op{Kind: engine.OpTrim, Seq: s.seq, From: int32(n)})
		s.tokens = s.tokens[:n]
	}
	c.used -= s.held - n
	s.held = n
}

// grow makes room for one more token of a busy slot.
func (c *cache) grow(s *slot) bool {
	if !c.makeRoom(1, s, nil) {
		return false
	}
	s.held++
	c.used++
	return true
}

// release makes a slot idle. tokens are what its KV cache surely holds; unsure tells that there may be more.
func (c *cache) release(s *slot, requester string, tokens []int32, unsure bool) {
	if unsure && !c.canTrim {
		tokens = nil
	}
	if unsure {
		c.ops = append(c.ops, engine.Op{Kind: engine.OpTrim, Seq: s.seq, From: int32(len(tokens))})
	}
	c.used -= s.held - len(tokens)
	s.busy, s.held, s.tokens, s.requester, s.idleSince = false, len(tokens), tokens, requester, c.tick()
}

func (c *cache) tick() uint64 {
	c.clock++
	return c.clock
}
