package openai

import (
	"encoding/json"
	"slices"

	"github.com/shoal-p2p/shoal/daemon/core"
)

const (
	maxTools    = 128
	maxToolName = 64
)

type chatTool struct {
	Type     string          `json:"type"`
	Function json.RawMessage `json:"function"`
}

type toolFunction struct {
	Name        string          `json:"name"`
	Description string          `json:"description"`
	Parameters  json.RawMessage `json:"parameters"`
	Strict      bool            `json:"strict"`
}

// tools checks the functions a request offers.
func tools(raw json.RawMessage) (out []core.Tool, err error) {
	err = list(raw, "tools", maxTools, func(path string, value []byte) error {
		var t chatTool
		if err := json.Unmarshal(value, &t); err != nil {
			return jsonError(err, path)
		}
		if t.Type != "function" {
			return unsupported(path+".type", "%s: only tools of type function are supported", path)
		}
		tool, err := function(t.Function, path+".function")
		if err == nil && slices.ContainsFunc(out, func(t core.Tool) bool { return t.Name == tool.Name }) {
			err = refuse(path+".function.name", "the tool %q is there twice", tool.Name)
		}
		out = append(out, tool)
		return err
	})
	return out, err
}

// function reads one function that a request offers.
func function(raw json.RawMessage, path string) (core.Tool, error) {
	var f toolFunction
	if err := decode(raw, &f, path, nil); err != nil {
		return core.Tool{}, err
	}
	if !toolName(f.Name) {
		return core.Tool{}, refuse(path+".name", "%s.name has 1 to %d letters, digits, '_', '-' and '.', and is not a value of tool_choice", path, maxToolName)
	}
	if isNull(f.Parameters) {
		f.Parameters = nil
	} else if !isObject(f.Parameters) {
		return core.Tool{}, refuse(path+".parameters", "%s.parameters must be a JSON schema object", path)
	}
	return core.Tool{Name: f.Name, Description: f.Description, Parameters: f.Parameters, Strict: f.Strict}, nil
}

func toolName(s string) bool {
	if s == "" || len(s) > maxToolName || s == "auto" || s == "none" || s == "required" {
		return false
	}
	for _, c := range []byte(s) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && c != '_' && c != '-' && c != '.' {
			return false
		}
	}
	return true
}

// toolChoice reads tool_choice: a word, or the one function that must be called.
func toolChoice(raw json.RawMessage, offered []core.Tool) (string, error) {
	if isNull(raw) {
		return "", nil
	}
	var word string
	if json.Unmarshal(raw, &word) == nil {
		switch {
		case word == "auto" || word == "none":
			return word, nil
		case word == "required" && len(offered) > 0:
			return word, nil
		case word == "required":
			return "", refuse("tool_choice", "tool_choice required needs tools")
		}
		return "", refuse("tool_choice", "tool_choice must be auto, none, required or a function")
	}
	var in struct {
		Type     string `json:"type"`
		Function struct {
			Name string `json:"name"`
		} `json:"function"`
	}
	if err := decode(raw, &in, "tool_choice", nil); err != nil {
		return "", err
	}
	if in.Type != "function" {
		return "", unsupported("tool_choice.type", "tool_choice.type must be function")
	}
	if !slices.ContainsFunc(offered, func(t core.Tool) bool { return t.Name == in.Function.Name }) {
		return "", refuse("tool_choice.function.name", "tool_choice names %q, which is not among the tools", cut(in.Function.Name))
	}
	return in.Function.Name, nil
}
