package renderer

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"time"

	"github.com/shoal-p2p/shoal/daemon/chat/template"
	"github.com/shoal-p2p/shoal/daemon/core"
)

// maxFrame bounds what a node and its renderer send each other. A prompt of the greatest length fits, escaped as it may be.
const maxFrame = 96 << 20

// question asks a renderer for one prompt.
type question struct {
	Limits   Limits
	Template []byte // its text, byte for byte
	BOS, EOS string
	Control  []string
	Messages []core.Message
	Tools    []tool
	Generate bool
	Args     []byte // JSON
	Now      time.Time
}

// tool is a core.Tool whose schema need not be JSON.
type tool struct {
	Name, Description string
	Parameters        []byte
}

// answer is what became of a question.
type answer struct {
	Segments []string
	Code     core.Code // of the error; empty when there is none
	Message  string
	Param    string
}

func newQuestion(l Limits, s template.Source, in template.Input) (*question, error) {
	args, err := json.Marshal(in.Args)
	if err != nil {
		return nil, core.Errorf(core.CodeInvalidRequest, "template arguments: %w", err)
	}
	q := &question{
		Limits: l, Template: []byte(s.Text), BOS: s.BOS, EOS: s.EOS, Control: s.Control,
		Messages: in.Messages, Generate: in.AddGenerationPrompt, Args: args, Now: in.Now,
	}
	for _, t := range in.Tools {
		q.Tools = append(q.Tools, tool{t.Name, t.Description, t.Parameters})
	}
	return q, nil
}

func (q *question) source() template.Source {
	return template.Source{Text: string(q.Template), BOS: q.BOS, EOS: q.EOS, Control: q.Control}
}

func (q *question) input() (template.Input, error) {
	in := template.Input{Messages: q.Messages, AddGenerationPrompt: q.Generate, Now: q.Now}
	for _, t := range q.Tools {
		in.Tools = append(in.Tools, core.Tool{Name: t.Name, Description: t.Description, Parameters: t.Parameters})
	}
	var args map[string]json.RawMessage // not read further here, so that numbers stay as they are
	if err := json.Unmarshal(q.Args, &args); err != nil {
		return in, core.Errorf(core.CodeInvalidRequest, "template arguments: %w", err)
	}
	in.Args = map[string]any{}
	for name, v := range args {
		in.Args[name] = v
	}
	return in, nil
}

// asAnswer makes an answer of what a render gave.
func asAnswer(segments []string, err error) *answer {
	if err == nil {
		return &answer{Segments: segments}
	}
	a := &answer{Code: core.CodeOf(err), Message: err.Error()}
	if e, ok := errors.AsType[*core.Error](err); ok {
		a.Param = e.Param
	}
	return a
}

func (a *answer) result() ([]string, error) {
	if a.Code == "" {
		return a.Segments, nil
	}
	return nil, core.Errorf(a.Code, "%s", a.Message).WithParam(a.Param)
}

// pack makes the frame of v: its length in four bytes, and JSON.
func pack(v any) ([]byte, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	if len(body) > maxFrame {
		return nil, core.Errorf(core.CodeContextTooLong, "the conversation is too long for a chat template")
	}
	return append(binary.BigEndian.AppendUint32(make([]byte, 0, len(body)+4), uint32(len(body))), body...), nil
}

// unpack reads a frame into v.
func unpack(r io.Reader, v any) error {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > maxFrame {
		return core.Errorf(core.CodeTooLarge, "a frame of %d bytes", n)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return err
	}
	return json.Unmarshal(body, v)
}
