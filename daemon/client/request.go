package client

import (
	"strconv"

	"github.com/shoal-p2p/shoal/daemon/api/openai"
	"github.com/shoal-p2p/shoal/daemon/core"
)

// completionBody is the body of a request for plain completions.
func completionBody(req *core.GenerateRequest) map[string]any {
	body := samplingBody(req)
	body["prompt"] = any(req.Prompt)
	if req.PromptIDs != nil {
		body["prompt"] = req.PromptIDs
	}
	body["echo"] = req.Echo
	if req.MaxTokens == 0 {
		body["max_tokens"] = 1 << 20 // the API's default is 16; the node cuts it to what the context holds
	}
	if req.Sampling.Logprobs {
		body["logprobs"] = req.Sampling.TopLogprobs
	}
	return body
}

// chatBody is the body of a request for chat completions.
func chatBody(req *core.GenerateRequest) map[string]any {
	body := samplingBody(req)
	messages := make([]map[string]any, len(req.Messages))
	for i, m := range req.Messages {
		messages[i] = messageBody(m)
	}
	body["messages"] = messages
	if req.Tools != nil {
		body["tools"] = toolBodies(req.Tools)
	}
	switch req.ToolChoice {
	case "":
	case "auto", "none", "required":
		body["tool_choice"] = req.ToolChoice
	default:
		body["tool_choice"] = map[string]any{"type": "function", "function": map[string]string{"name": req.ToolChoice}}
	}
	if req.TemplateArgs != nil {
		body["chat_template_kwargs"] = req.TemplateArgs
	}
	if req.Sampling.Logprobs {
		body["logprobs"] = true
		body["top_logprobs"] = req.Sampling.TopLogprobs
	}
	switch req.Format.Kind {
	case "json_object":
		body["response_format"] = map[string]any{"type": "json_object"}
	case "json_schema":
		schema := map[string]any{"name": "reply", "schema": req.Format.Schema}
		body["response_format"] = map[string]any{"type": "json_schema", "json_schema": schema}
	}
	return body
}

// samplingBody has the fields of both kinds of completions.
func samplingBody(req *core.GenerateRequest) map[string]any {
	s := req.Sampling
	body := map[string]any{
		"model": req.Model, "stream": true, "stream_options": map[string]bool{"include_usage": true},
		"temperature": s.Temperature, "top_k": s.TopK, "top_p": oneIfZero(s.TopP), "min_p": s.MinP,
		"repeat_penalty": oneIfZero(s.RepeatPenalty), "frequency_penalty": s.FrequencyPenalty, "presence_penalty": s.PresencePenalty,
	}
	if s.Seed != nil {
		body["seed"] = *s.Seed
	}
	if len(s.LogitBias) > 0 {
		bias := make(map[string]float64, len(s.LogitBias))
		for id, v := range s.LogitBias {
			bias[strconv.Itoa(int(id))] = v
		}
		body["logit_bias"] = bias
	}
	if grammar := s.Grammar + req.Format.GBNF; grammar != "" {
		body["grammar"] = grammar
	}
	if req.MaxTokens > 0 {
		body["max_tokens"] = req.MaxTokens
	}
	if len(req.Stop) > 0 {
		body["stop"] = req.Stop
	}
	if req.Requester != "" {
		body["user"] = req.Requester
	}
	return body
}

// oneIfZero writes out the neutral value that the zero of core.Sampling stands for.
func oneIfZero(v float64) float64 {
	if v == 0 {
		return 1
	}
	return v
}

func messageBody(m core.Message) map[string]any {
	out := map[string]any{"role": m.Role, "content": m.Content}
	if m.ReasoningContent != "" {
		out["reasoning_content"] = m.ReasoningContent
	}
	if m.Name != "" {
		out["name"] = m.Name
	}
	if m.ToolCallID != "" {
		out["tool_call_id"] = m.ToolCallID
	}
	var calls []openai.ToolCall
	for _, c := range m.ToolCalls {
		calls = append(calls, openai.ToolCall{ID: c.ID, Type: "function", Function: openai.FunctionCall{Name: c.Name, Arguments: c.Arguments}})
	}
	if calls != nil {
		out["tool_calls"] = calls
	}
	return out
}

func toolBodies(tools []core.Tool) []map[string]any {
	out := make([]map[string]any, len(tools))
	for i, t := range tools {
		f := map[string]any{"name": t.Name, "description": t.Description, "strict": t.Strict}
		if t.Parameters != nil {
			f["parameters"] = t.Parameters
		}
		out[i] = map[string]any{"type": "function", "function": f}
	}
	return out
}
