package grammar

import (
	"context"

	"github.com/shoal-p2p/shoal/daemon/chat/reply"
	"github.com/shoal-p2p/shoal/daemon/core"
)

// Options say what surrounds the JSON.
type Options struct {
	// Thinking says that the prompt ends inside of <think>, so that the model may finish its thought first.
	Thinking bool
}

// Object is the grammar of any JSON object.
func Object(o Options) string {
	c := newConverter(context.Background(), nil)
	out, _ := c.finish(c.shared("object"), o) // the primitives are far below the limits
	return out
}

// Schema is the grammar of what a JSON schema describes. An error has the code core.CodeInvalidRequest when it is
// no schema or takes too much work, core.CodeTooLarge, core.CodeUnsupported with the keyword that cannot be kept, or
// core.CodeCancelled when ctx ends. It names the place in the schema.
func Schema(ctx context.Context, schema []byte, o Options) (string, error) {
	c := newConverter(ctx, nil)
	term, err := c.rooted(schema)
	if err == nil {
		term, err = c.finish(term, o)
	}
	return term, told(err)
}

// rooted is the term of a schema that references of its own point into.
func (c *converter) rooted(schema []byte) (string, error) {
	root, err := decode(schema)
	if err != nil {
		return "", err
	}
	c.root, c.refs = root, map[string]string{}
	return c.schema(root, 0)
}

// finish adds the root rule and writes the grammar.
func (c *converter) finish(term string, o Options) (string, error) {
	if err := c.checkLoops(); err != nil {
		return "", err
	}
	if o.Thinking {
		if _, err := c.define("thought", `([^<] | "<"+ ([^</] | "/" [^t<] | "/t" [^h<]))*`); err != nil {
			return "", err
		}
		term = `thought "</think>" "\n"{0,2} ` + term
	}
	if _, err := c.define("root", term); err != nil {
		return "", err
	}
	return c.String(), nil
}

// maxCalls is how many calls one reply may make.
const maxCalls = 16

// ToolCalls is the grammar of one or more calls of the tools in a model's own notation; name picks one of them, ""
// is any. The errors are those of Schema.
func ToolCalls(ctx context.Context, f reply.Format, tools []core.Tool, name string, o Options) (string, error) {
	c := newConverter(ctx, nil)
	calls, err := c.toolCalls(f, tools, name)
	if err == nil {
		calls, err = c.finish(calls, o)
	}
	return calls, told(err)
}

// Either is the grammar of calls of the tools or else of JSON by a schema; a nil schema is any object.
func Either(ctx context.Context, f reply.Format, tools []core.Tool, schema []byte, o Options) (string, error) {
	c := newConverter(ctx, nil)
	both, err := c.either(f, tools, schema)
	if err == nil {
		both, err = c.finish(both, o)
	}
	return both, told(err)
}

func (c *converter) either(f reply.Format, tools []core.Tool, schema []byte) (string, error) {
	calls, err := c.toolCalls(f, tools, "")
	if err != nil {
		return "", err
	}
	term := c.shared("object")
	if schema != nil {
		if term, err = c.rooted(schema); err != nil {
			return "", err
		}
	}
	return c.choice([]string{calls, term})
}

func (c *converter) toolCalls(f reply.Format, tools []core.Tool, name string) (string, error) {
	var calls []string
	for _, t := range tools {
		if name != "" && t.Name != name {
			continue
		}
		call, err := c.toolCall(f, t)
		if err != nil {
			return "", at(err, "tool "+t.Name)
		}
		calls = append(calls, call)
	}
	if len(calls) == 0 {
		return "", core.Errorf(core.CodeInvalidRequest, "there is no tool %q", quoted(name, maxQuote)).WithParam("tool_choice")
	}
	one, err := c.choice(calls)
	if err != nil {
		return "", err
	}
	return c.fresh(c.sequence(f, one))
}

// toolCall is a call of one tool.
func (c *converter) toolCall(f reply.Format, t core.Tool) (string, error) {
	args, err := c.arguments(t)
	if err != nil {
		return "", err
	}
	if f == reply.MistralArgs {
		return c.fresh(quote("[TOOL_CALLS]"+t.Name+"[ARGS]") + " " + args)
	}
	key := "arguments"
	if f == reply.Llama {
		key = "parameters"
	}
	ws := c.shared("ws")
	return c.fresh(`"{" ` + ws + ` "\"name\":" ` + ws + " " + quote(encode(t.Name)) + ` "," ` + ws + " " +
		quote(encode(key)+":") + " " + ws + " " + args + " " + ws + ` "}"`)
}

// arguments is the object of a tool's arguments. References point into the tool's own schema.
func (c *converter) arguments(t core.Tool) (string, error) {
	if len(t.Parameters) == 0 || string(t.Parameters) == "null" {
		return c.shared("object"), nil
	}
	root, err := decode(t.Parameters)
	if err != nil {
		return "", err
	}
	o, ok := root.(*object)
	if !ok {
		return "", invalid("the parameters of a tool must be an object")
	}
	if !o.has("type") && !o.has("$ref") && !o.has("anyOf") && !o.has("oneOf") && !o.has("allOf") {
		o = o.with("type", "object")
	}
	c.root, c.refs = o, map[string]string{}
	return c.schema(o, 0)
}

// sequence is one call after the other.
func (c *converter) sequence(f reply.Format, one string) string {
	more := maxCalls - 1
	switch f {
	case reply.Hermes:
		call := quote("<tool_call>\n") + " " + one + " " + quote("\n</tool_call>")
		return call + " " + repeat("("+quote("\n")+" "+call+")", 0, more)
	case reply.Mistral:
		return quote("[TOOL_CALLS]") + ` " "? "[" ` + one + " " + repeat(`("," " "? `+one+")", 0, more) + ` "]"`
	case reply.MistralArgs:
		return repeat(one, 1, more+1)
	}
	return one
}
