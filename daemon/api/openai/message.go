package openai

import (
	"encoding/json"
	"strings"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// Bounds of a conversation; the body limit bounds its text.
const (
	maxMessages = 8192
	maxParts    = 4096 // of one message's content
)

// chatMessage is one element of "messages".
type chatMessage struct {
	Role             string          `json:"role"`
	Content          json.RawMessage `json:"content"`
	ReasoningContent string          `json:"reasoning_content"`
	Name             string          `json:"name"`
	ToolCalls        json.RawMessage `json:"tool_calls"`
	ToolCallID       string          `json:"tool_call_id"`
}

type chatToolCall struct {
	ID       string `json:"id"`
	Type     string `json:"type"`
	Function struct {
		Name      string `json:"name"`
		Arguments string `json:"arguments"`
	} `json:"function"`
}

// messageRules lets a caller send back what a reply held.
var messageRules = map[string]rule{
	"refusal":       harmless,
	"annotations":   harmless,
	"reasoning":     harmless,
	"audio":         only("audio is not supported"),
	"function_call": only("the old function calls are not supported; use tool_calls"),
}

// messages checks a conversation and returns it in the node's words.
func messages(raw json.RawMessage) ([]core.Message, error) {
	var out []core.Message
	err := list(raw, "messages", maxMessages, func(path string, value []byte) error {
		var in chatMessage
		if err := decode(value, &in, path, messageRules); err != nil {
			return err
		}
		m, err := in.message(path)
		out = append(out, m)
		return err
	})
	if err == nil && len(out) == 0 {
		err = refuse("messages", "messages must hold 1 to %d messages", maxMessages)
	}
	return out, err
}

func (m *chatMessage) message(path string) (out core.Message, err error) {
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

func (m *chatMessage) toolCalls(path string) (calls []core.ToolCall, err error) {
	path += ".tool_calls"
	if m.Role != "assistant" && !isNull(m.ToolCalls) && string(m.ToolCalls) != "[]" {
		return nil, refuse(path, "%s: only an assistant message may hold tool calls", path)
	}
	err = list(m.ToolCalls, path, maxTools, func(at string, value []byte) error {
		var c chatToolCall
		if err := json.Unmarshal(value, &c); err != nil {
			return jsonError(err, at)
		}
		if c.Function.Name == "" || c.Type != "" && c.Type != "function" {
			return refuse(path, "%s must be a call of a function", at)
		}
		calls = append(calls, core.ToolCall{ID: c.ID, Name: c.Function.Name, Arguments: c.Function.Arguments})
		return nil
	})
	return calls, err
}

// content reads a text or a list of text parts.
func content(raw json.RawMessage, path string) (string, error) {
	if raw[0] == '"' {
		return text(raw), nil
	}
	if raw[0] != '[' {
		return "", refuse(path, "%s must be a string or a list of text parts", path)
	}
	var all strings.Builder
	err := list(raw, path, maxParts, func(at string, value []byte) error {
		var p struct {
			Type    string `json:"type"`
			Text    string `json:"text"`
			Refusal string `json:"refusal"`
		}
		if json.Unmarshal(value, &p) != nil {
			return refuse(path, "%s must be a string or a list of text parts", path)
		}
		switch p.Type {
		case "text":
			all.WriteString(p.Text)
		case "refusal":
			all.WriteString(p.Refusal)
		case "image_url":
			return unsupported(at, "images cannot be read by this node yet; send text")
		case "input_audio", "file":
			return unsupported(at, "audio and files cannot be read by this node; send text")
		default:
			return refuse(at+".type", "%s.type must be text", at)
		}
		return nil
	})
	return all.String(), err
}
