package reply

import (
	"slices"
	"strings"
	"unicode"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// Config says what a reply may hold.
type Config struct {
	Format   Format
	Tools    []string // names of the functions on offer; without any, everything is text
	Thinking bool     // the prompt ends inside of <think>
	Raw      bool     // keep <think> in the text, as for a completion of a plain prompt
	Stop     []string
	NewID    func() string // makes the id of a call
}

// Parser takes one reply apart. It is not safe for concurrent use.
type Parser struct {
	cfg     Config
	decoder decoder
	stopper stopper
	decoded int    // bytes of text that came out of the decoder
	pending string // text whose meaning is open
	state   state
	message core.Message
	text    strings.Builder
	reason  strings.Builder
	args    []*strings.Builder // arguments of message.ToolCalls

	call     *call  // being read
	alone    bool   // its arguments stand alone: name[ARGS]{…}
	raw      string // what was read of it, to give back as text
	said     int    // bytes of its arguments that were emitted
	open     bool   // its id and name were emitted
	list     bool   // it is in a list
	sure     bool   // it stands behind a mark, so that it can be nothing else
	callID   string // written by the model
	started  bool   // text other than whitespace was emitted
	reasoned bool   // what is held back is reasoning
	whole    []bool // which of message.ToolCalls are complete
	out      core.Delta
}

type state uint8

const (
	atStart   state = iota // nothing but whitespace yet
	thinking               // between <think> and </think>
	afterMark              // whitespace to drop behind </think>
	inText
	inHead // behind [TOOL_CALLS] or <|python_tag|>, before the call
	inCall
	afterCall
)

// New returns a parser for one reply.
func New(cfg Config) *Parser {
	p := &Parser{cfg: cfg, stopper: stopper{stops: cfg.Stop}}
	switch {
	case cfg.Raw:
		p.state = inText
	case cfg.Thinking:
		p.state = thinking
	}
	return p
}

// Write takes the bytes of the next token, and returns what became certain. Nothing follows a stop string.
func (p *Parser) Write(piece []byte) core.Delta {
	if p.stopper.stopped {
		return core.Delta{}
	}
	text := p.decoder.write(piece)
	p.decoded += len(text)
	return p.take(text, false)
}

// Close ends the reply: what was held back comes out, a call that is not known to be one as text.
func (p *Parser) Close() core.Delta {
	if p.stopper.stopped {
		return core.Delta{}
	}
	text := p.decoder.flush()
	p.decoded += len(text)
	return p.take(text, true)
}

// Stopped tells whether a stop string was met.
func (p *Parser) Stopped() bool { return p.stopper.stopped }

// StoppedAt is where the stop string began, in bytes of text as Seen counts them.
func (p *Parser) StoppedAt() int { return p.stopper.at }

// Seen counts the bytes of text written so far, and Settled those that were emitted or dropped for good.
func (p *Parser) Seen() int { return p.decoded + len(p.decoder.tail) }

// Settled is described at Seen.
func (p *Parser) Settled() int { return p.decoded - len(p.stopper.held) - len(p.pending) }

// Message is everything that was emitted so far.
func (p *Parser) Message() core.Message {
	m := core.Message{Role: "assistant", Content: p.text.String(), ReasoningContent: p.reason.String()}
	for i, c := range p.message.ToolCalls {
		c.Arguments = p.args[i].String()
		m.ToolCalls = append(m.ToolCalls, c)
	}
	return m
}

// take runs the state machine over the text; last says that no more follows.
func (p *Parser) take(text string, last bool) core.Delta {
	p.out = core.Delta{}
	p.pending += text
	for !p.stopper.stopped && p.advance(last) {
	}
	if p.call != nil && p.open {
		p.sayArguments()
	}
	if last && !p.stopper.stopped {
		p.finish()
		p.release()
	}
	return p.out
}

// advance moves on by one state, or tells that it needs more text.
func (p *Parser) advance(last bool) bool {
	switch p.state {
	case atStart:
		return p.start(last)
	case thinking:
		return p.think()
	case afterMark:
		p.pending = strings.TrimLeftFunc(p.pending, unicode.IsSpace)
		if p.pending != "" {
			p.state = inText
		}
		return p.pending != ""
	case inText:
		return p.plain(last)
	case inHead:
		return p.head(last)
	case inCall:
		return p.readCall()
	}
	return p.between(last)
}

func (p *Parser) start(last bool) bool {
	body := strings.TrimLeftFunc(p.pending, unicode.IsSpace)
	switch {
	case strings.HasPrefix(body, thinkOpen):
		p.pending, p.state = body[len(thinkOpen):], thinking
	case !last && strings.HasPrefix(thinkOpen, body):
		return false
	default:
		p.state = inText
	}
	return true
}

// think emits reasoning without whitespace around it.
func (p *Parser) think() bool {
	if p.reason.Len() == 0 && p.stopper.held == "" {
		p.pending = strings.TrimLeftFunc(p.pending, unicode.IsSpace)
		if p.cfg.Thinking { // the prompt opened it; some models do so once more
			if p.pending != thinkOpen && strings.HasPrefix(thinkOpen, p.pending) {
				return false
			}
			p.cfg.Thinking = false
			p.pending = strings.TrimLeftFunc(strings.TrimPrefix(p.pending, thinkOpen), unicode.IsSpace)
		}
	}
	if i := strings.Index(p.pending, thinkClose); i >= 0 {
		thought := strings.TrimRightFunc(p.pending[:i], unicode.IsSpace)
		p.sayReasoning(thought, len(p.pending)-len(thought))
		p.release()
		p.pending, p.state = p.pending[i+len(thinkClose):], afterMark
		return true
	}
	keep := held(p.pending, thinkClose)
	sure := strings.TrimRightFunc(p.pending[:len(p.pending)-keep], unicode.IsSpace)
	p.sayReasoning(sure, len(p.pending)-len(sure))
	p.pending = p.pending[len(sure):]
	return false
}

// plain emits text up to a call.
func (p *Parser) plain(last bool) bool {
	if len(p.cfg.Tools) == 0 {
		p.say(p.pending, 0)
		p.pending = ""
		return false
	}
	body := strings.TrimLeftFunc(p.pending, unicode.IsSpace)
	if !p.started && p.cfg.Format.bare() && body != "" && (body[0] == '{' || body[0] == '[') {
		p.begin(p.pending[:len(p.pending)-len(body)], body, false)
		return true
	}
	opener := p.cfg.Format.opener()
	if i := strings.Index(p.pending, opener); opener != "" && i >= 0 {
		before := strings.TrimRightFunc(p.pending[:i], unicode.IsSpace)
		p.say(before, len(p.pending)-len(before))
		p.begin(p.pending[len(before):i+len(opener)], p.pending[i+len(opener):], true)
		return true
	}
	if last {
		return false
	}
	keep := 0
	if opener != "" {
		keep = held(p.pending, opener)
	}
	sure := strings.TrimRightFunc(p.pending[:len(p.pending)-keep], unicode.IsSpace)
	p.say(sure, len(p.pending)-len(sure))
	p.pending = p.pending[len(sure):]
	return false
}

// begin starts a call; raw is what was read of it, such as a mark.
func (p *Parser) begin(raw, rest string, sure bool) {
	p.raw, p.pending, p.state, p.list, p.sure = raw, rest, inHead, false, sure
}

// head reads up to the JSON of a call.
func (p *Parser) head(last bool) bool {
	body := strings.TrimLeftFunc(p.pending, unicode.IsSpace)
	switch {
	case body == "":
		return false
	case body[0] == '{':
		p.enter(&call{}, p.pending[:len(p.pending)-len(body)], body)
		return true
	case body[0] == '[' && !p.list && p.cfg.Format != Hermes && !strings.HasPrefix(body, mistralArgs):
		p.list = true
		p.raw += p.pending[:len(p.pending)-len(body)+1]
		p.pending = body[1:]
		return true
	case p.cfg.Format.mistral() && !p.list:
		return p.named(last)
	}
	p.giveUp()
	return true
}

// named reads the name in front of [ARGS], and the id that may stand between.
func (p *Parser) named(last bool) bool {
	i := strings.Index(p.pending, mistralArgs)
	if i < 0 {
		if last || len(p.pending) > 2*maxName {
			p.giveUp()
			return true
		}
		return false
	}
	name, id, _ := strings.Cut(p.pending[:i], mistralID)
	if name = strings.TrimSpace(name); !validName(name) {
		p.giveUp()
		return true
	}
	p.callID = ""
	if id = strings.TrimSpace(id); validName(id) {
		p.callID = id
	}
	at := i + len(mistralArgs)
	p.enter(argumentsOf(name), p.pending[:at], p.pending[at:])
	p.alone = true
	return true
}

// enter starts to read c; skipped is what lies between the mark and its first byte.
func (p *Parser) enter(c *call, skipped, rest string) {
	p.raw += skipped
	p.call, p.pending, p.state = c, rest, inCall
	p.alone, p.open, p.said = false, false, 0
}

// giveUp turns what looked like a call back into text.
func (p *Parser) giveUp() {
	p.say(p.raw, len(p.pending))
	p.raw, p.call, p.state, p.started = "", nil, inText, true
}

// readCall feeds the call's bytes.
func (p *Parser) readCall() bool {
	for i := range len(p.pending) {
		v := p.call.feed(p.pending[i], p.alone)
		if v == more && !p.open && p.ready() {
			p.announce()
		}
		if v == more {
			continue
		}
		at := i
		if v == complete {
			at++
		}
		p.raw += p.pending[:at]
		p.pending = p.pending[at:]
		p.settle(v)
		return true
	}
	p.raw += p.pending
	p.pending = ""
	return false
}

// ready tells whether the call is sure to be one: it has a name and its arguments have begun.
func (p *Parser) ready() bool {
	c := p.call
	return c.name != "" && c.hasArgs && (p.sure || slices.Contains(p.cfg.Tools, c.name))
}

// settle ends a call that is complete or bad. What was announced stays announced, but is not whole when it is bad.
func (p *Parser) settle(v verdict) {
	c := p.call
	if v == complete && !p.open && (p.ready() || p.sure) {
		p.announce()
	}
	if !p.open {
		p.giveUp()
		return
	}
	if v == bad { // too late to take it back: it stays unfinished, and its text is not lost
		p.sayArguments()
		p.giveUp()
		return
	}
	p.whole[len(p.whole)-1] = true
	if c.arguments.Len() == 0 {
		c.arguments.WriteString("{}")
	}
	p.sayArguments()
	p.call, p.raw, p.state, p.started = nil, "", afterCall, true
}

// between reads what separates calls.
func (p *Parser) between(last bool) bool {
	body := strings.TrimLeftFunc(p.pending, unicode.IsSpace)
	p.pending = body
	switch {
	case body == "":
		return false
	case p.cfg.Format == Hermes && strings.HasPrefix(body, hermesClose):
		p.pending = body[len(hermesClose):]
	case p.cfg.Format == Hermes && strings.HasPrefix(body, hermesOpen),
		p.cfg.Format.mistral() && strings.HasPrefix(body, mistralOpen):
		opener := p.cfg.Format.opener()
		p.begin(opener, body[len(opener):], true)
	case !last && (p.cfg.Format == Hermes && (strings.HasPrefix(hermesClose, body) || strings.HasPrefix(hermesOpen, body)) ||
		p.cfg.Format.mistral() && strings.HasPrefix(mistralOpen, body)):
		return false
	case p.list && body[0] == ']':
		p.pending, p.list = body[1:], false
	case p.list && body[0] == ',', p.cfg.Format.bare() && body[0] == ';':
		p.pending = body[1:]
	case body[0] == '{' && (p.list || p.cfg.Format.bare()):
		p.enter(&call{}, "", body)
	default:
		p.state = inText
	}
	return true
}

// Whole tells whether the i-th call of the message is complete: only such a call can be run.
func (p *Parser) Whole(i int) bool { return p.whole[i] }

// announce emits the head of the call.
func (p *Parser) announce() {
	p.release()
	p.whole = append(p.whole, false)
	p.open = true
	id := p.callID
	if id == "" {
		id = p.cfg.NewID()
	}
	p.callID = ""
	p.message.ToolCalls = append(p.message.ToolCalls, core.ToolCall{ID: id, Name: p.call.name})
	p.args = append(p.args, &strings.Builder{})
	p.out.ToolCalls = append(p.out.ToolCalls, core.ToolCallDelta{Index: len(p.args) - 1, ID: id, Name: p.call.name})
}

// sayArguments emits what was read of the arguments since the last time.
func (p *Parser) sayArguments() {
	text := p.call.arguments.String()[p.said:]
	if text == "" {
		return
	}
	p.said += len(text)
	p.args[len(p.args)-1].WriteString(text)
	p.out.ToolCalls = append(p.out.ToolCalls, core.ToolCallDelta{Index: len(p.args) - 1, Arguments: text})
}

// say emits text unless it may begin a stop string; behind it are so many bytes of what was decoded. Stop strings end
// text and reasoning. What a call holds is none of their business: a call is whole or it is none.
func (p *Parser) say(text string, behind int) {
	p.started = p.started || strings.TrimSpace(text) != ""
	p.emit(p.stopper.write(text, p.decoded-behind-len(text)))
}

func (p *Parser) sayReasoning(text string, behind int) {
	p.reasoned = true
	p.emit(p.stopper.write(text, p.decoded-behind-len(text)))
}

// release emits what was held back as a stop string's beginning, since what follows is no longer the same text.
func (p *Parser) release() {
	p.emit(p.stopper.flush())
	p.reasoned = false
}

func (p *Parser) emit(text string) {
	if p.reasoned {
		p.reason.WriteString(text)
		p.out.Reasoning += text
		return
	}
	p.text.WriteString(text)
	p.out.Text += text
}

// finish gives out what is left when the reply ends.
func (p *Parser) finish() {
	switch p.state {
	case thinking, afterMark, afterCall:
		if p.state == thinking {
			thought := strings.TrimRightFunc(p.pending, unicode.IsSpace)
			p.sayReasoning(thought, len(p.pending)-len(thought))
		}
	default:
		if !p.open || p.call == nil {
			p.say(p.raw+p.pending, 0)
		}
	}
	p.raw, p.pending = "", ""
}
