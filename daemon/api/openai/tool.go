package openai

import (
	"encoding/json"
	"fmt"
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
func tools(in []chatTool) ([]core.Tool, error) {
	if len(in) > maxTools {
		return nil, refuse("tools", "tools may hold at most %d tools", maxTools)
	}
	var out []core.Tool
	for i, t := range in {
		path := fmt.Sprintf("tools[%d]", i)
		if t.Type != "function" {
			return nil, unsupported(path+".type", "%s: only tools of type function are supported", path)
		}
		var f toolFunction
		if err := object(t.Function, &f, path+".function", []string{"name", "description", "parameters", "strict"}, nil); err != nil {
			return nil, err
		}
		if !toolName(f.Name) {
			return nil, refuse(path+".function.name", "%s: a name has 1 to %d letters, digits, '_', '-' and '.', and is not a value of tool_choice", path, maxToolName)
		}
		if isNull(f.Parameters) {
			f.Parameters = nil
		} else if !isObject(f.Parameters) {
			return nil, refuse(path+".function.parameters", "%s.function.parameters must be a JSON schema object", path)
		}
		if slices.ContainsFunc(out, func(t core.Tool) bool { return t.Name == f.Name }) {
			return nil, refuse(path+".function.name", "the tool %q is there twice", f.Name)
		}
		out = append(out, core.Tool{Name: f.Name, Description: f.Description, Parameters: f.Parameters, Strict: f.Strict})
	}
	return out, nil
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
	if err := object(raw, &in, "tool_choice", []string{"type", "function"}, nil); err != nil {
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
