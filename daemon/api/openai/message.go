package openai

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// maxMessages bounds a conversation; the body limit bounds its text.
const maxMessages = 8192

// chatMessage is one element of "messages".
type chatMessage struct {
	Role             string          `json:"role"`
	Content          json.RawMessage `json:"content"`
	ReasoningContent string          `json:"reasoning_content"`
	Name             string          `json:"name"`
	ToolCalls        []chatToolCall  `json:"tool_calls"`
	ToolCallID       string          `json:"tool_call_id"`
	unknown          map[string]json.RawMessage
}

type chatToolCall struct {
	ID       string `json:"id"`
	Type     string `json:"type"`
	Function struct {
		Name      string `json:"name"`
		Arguments string `json:"arguments"`
	} `json:"function"`
}

var messageFields = []string{"role", "content", "reasoning_content", "name", "tool_calls", "tool_call_id"}

// messageRules lets a caller send back what a reply held.
var messageRules = map[string]rule{
	"refusal":       harmless,
	"annotations":   harmless,
	"reasoning":     harmless,
	"audio":         only("audio is not supported"),
	"function_call": only("the old function calls are not supported; use tool_calls"),
}

// UnmarshalJSON implements json.Unmarshaler; it keeps all fields for the check that follows.
func (m *chatMessage) UnmarshalJSON(raw []byte) error {
	type plain chatMessage
	if err := json.Unmarshal(raw, (*plain)(m)); err != nil {
		return err
	}
	return json.Unmarshal(raw, &m.unknown)
}

// messages checks a conversation and returns it in the node's words.
func messages(in []chatMessage) ([]core.Message, error) {
	if len(in) == 0 || len(in) > maxMessages {
		return nil, refuse("messages", "messages must hold 1 to %d messages", maxMessages)
	}
	out := make([]core.Message, len(in))
	for i := range in {
		m, err := in[i].message(fmt.Sprintf("messages[%d]", i))
		if err != nil {
			return nil, err
		}
		out[i] = m
	}
	return out, nil
}

func (m *chatMessage) message(path string) (out core.Message, err error) {
	if err := checkFields(m.unknown, path+".", messageFields, messageRules); err != nil {
		return out, err
	}
	out = core.Message{Role: m.Role, ReasoningContent: m.ReasoningContent, Name: m.Name, ToolCallID: m.ToolCallID}
	switch m.Role {
	case "system", "user", "assistant":
	case "developer":
		out.Role = "system"
	case "tool":
		if m.ToolCallID == "" {
			return out, refuse(path+".tool_call_id", "%s: a tool message needs tool_call_id", path)
		}
	default:
		return out, refuse(path+".role", "%s.role must be system, developer, user, assistant or tool", path)
	}
	if out.ToolCalls, err = m.toolCalls(path); err != nil {
		return out, err
	}
	if isNull(m.Content) {
		if m.Role == "assistant" && (len(out.ToolCalls) > 0 || m.ReasoningContent != "") {
			return out, nil
		}
		return out, refuse(path+".content", "%s needs content", path)
	}
	out.Content, err = content(m.Content, path+".content")
	return out, err
}

func (m *chatMessage) toolCalls(path string) ([]core.ToolCall, error) {
	if len(m.ToolCalls) == 0 {
		return nil, nil
	}
	if m.Role != "assistant" || len(m.ToolCalls) > maxTools {
		return nil, refuse(path+".tool_calls", "%s: only an assistant message may hold tool_calls, at most %d", path, maxTools)
	}
	calls := make([]core.ToolCall, len(m.ToolCalls))
	for i, c := range m.ToolCalls {
		if c.Function.Name == "" || c.Type != "" && c.Type != "function" {
			return nil, refuse(path+".tool_calls", "%s.tool_calls[%d] must be a call of a function", path, i)
		}
		calls[i] = core.ToolCall{ID: c.ID, Name: c.Function.Name, Arguments: c.Function.Arguments}
	}
	return calls, nil
}

// content reads a text or a list of text parts.
func content(raw json.RawMessage, path string) (string, error) {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text, nil
	}
	var parts []struct {
		Type    string `json:"type"`
		Text    string `json:"text"`
		Refusal string `json:"refusal"`
	}
	if err := json.Unmarshal(raw, &parts); err != nil {
		return "", refuse(path, "%s must be a string or a list of text parts", path)
	}
	var all strings.Builder
	for i, p := range parts {
		switch p.Type {
		case "text":
			all.WriteString(p.Text)
		case "refusal":
			all.WriteString(p.Refusal)
		case "image_url":
			return "", unsupported(fmt.Sprintf("%s[%d]", path, i), "images cannot be read by this node yet; send text")
		case "input_audio", "file":
			return "", unsupported(fmt.Sprintf("%s[%d]", path, i), "audio and files cannot be read by this node; send text")
		default:
			return "", refuse(fmt.Sprintf("%s[%d].type", path, i), "%s[%d].type must be text", path, i)
		}
	}
	return all.String(), nil
}
