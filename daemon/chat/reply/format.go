package reply

import "strings"

// Format is the notation in which a model writes tool calls.
type Format uint8

// The notations.
const (
	JSON        Format = iota // an object with "name" and "arguments" or "parameters" at the start, or a list of them
	Hermes                    // <tool_call>{…}</tool_call>, also Qwen
	Llama                     // as JSON, also behind <|python_tag|>
	Mistral                   // [TOOL_CALLS][{…}]
	MistralArgs               // [TOOL_CALLS]name[ARGS]{…}, the newer notation; both are read under either name
)

// FormatOf chooses the notation from the text of the model's chat template and, failing that, its architecture.
func FormatOf(template, arch string) Format {
	switch {
	case strings.Contains(template, mistralOpen) && strings.Contains(template, mistralArgs):
		return MistralArgs
	case strings.Contains(template, mistralOpen):
		return Mistral
	case strings.Contains(template, "<tool_call>"):
		return Hermes
	case strings.Contains(template, "<|python_tag|>"), strings.Contains(template, "<|start_header_id|>"):
		return Llama
	case strings.HasPrefix(arch, "qwen"):
		return Hermes
	}
	return JSON
}

// Markers are the special tokens that carry meaning in a reply. The caller writes their text to the parser, although
// special tokens have no text otherwise.
func (f Format) Markers() []string {
	marks := []string{thinkOpen, thinkClose}
	switch f {
	case Hermes:
		return append(marks, hermesOpen, hermesClose)
	case Llama:
		return append(marks, pythonTag)
	case Mistral, MistralArgs:
		return append(marks, mistralOpen, mistralArgs, mistralID)
	}
	return marks
}

const (
	thinkOpen   = "<think>"
	thinkClose  = "</think>"
	hermesOpen  = "<tool_call>"
	hermesClose = "</tool_call>"
	pythonTag   = "<|python_tag|>"
	mistralOpen = "[TOOL_CALLS]"
	mistralArgs = "[ARGS]"
	mistralID   = "[CALL_ID]"
)

// opener is the mark that starts a call in the middle of text, if the format has one.
func (f Format) opener() string {
	switch f {
	case Hermes:
		return hermesOpen
	case Llama:
		return pythonTag
	case Mistral, MistralArgs:
		return mistralOpen
	}
	return ""
}

// bare tells whether a reply may start with a call without any mark.
func (f Format) bare() bool { return f == JSON || f == Llama }

func (f Format) mistral() bool { return f == Mistral || f == MistralArgs }
