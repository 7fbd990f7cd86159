// Package goclient runs OpenAI's official Go client against a node.
package goclient

import (
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strings"
	"testing"

	"github.com/openai/openai-go/v2"
	"github.com/openai/openai-go/v2/option"
	"github.com/openai/openai-go/v2/shared"

	"github.com/shoal-p2p/shoal/daemon/api/apitest"
)

// Run uses every part of the API that the client and the node both have.
func Run(t *testing.T, target apitest.Target) {
	s := suite{
		client: openai.NewClient(option.WithBaseURL(target.URL+"/v1"), option.WithAPIKey(target.Key), option.WithMaxRetries(0)),
		model:  target.Model,
		target: target,
	}
	t.Run("models", s.models)
	t.Run("chat", s.chat)
	t.Run("stream", s.stream)
	t.Run("several replies", s.several)
	t.Run("log probabilities", s.logprobs)
	t.Run("tools", s.tools)
	t.Run("streamed tools", s.streamedTools)
	t.Run("JSON schema", s.schema)
	t.Run("completions", s.completions)
	t.Run("embeddings", s.embeddings)
	t.Run("errors", s.errors)
}

type suite struct {
	client openai.Client
	model  string
	target apitest.Target
}

func (s suite) ask(text string) openai.ChatCompletionNewParams {
	return openai.ChatCompletionNewParams{
		Model:               s.model,
		Messages:            []openai.ChatCompletionMessageParamUnion{openai.SystemMessage("Answer briefly."), openai.UserMessage(text)},
		Temperature:         openai.Float(0),
		Seed:                openai.Int(1),
		MaxCompletionTokens: openai.Int(24),
	}
}

func (s suite) models(t *testing.T) {
	page, err := s.client.Models.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, m := range page.Data {
		found = found || m.ID == s.model
	}
	if !found {
		t.Errorf("%s is not in %v", s.model, page.Data)
	}
	m, err := s.client.Models.Get(t.Context(), s.model)
	if err != nil || m.ID != s.model || m.Object != "model" || m.Created == 0 {
		t.Errorf("%+v, %v", m, err)
	}
}

func (s suite) chat(t *testing.T) {
	reply, err := s.client.Chat.Completions.New(t.Context(), s.ask("What is Shoal?"))
	if err != nil {
		t.Fatal(err)
	}
	c := reply.Choices[0]
	if c.Message.Content == "" || c.Message.Role != "assistant" || c.FinishReason != "stop" && c.FinishReason != "length" {
		t.Errorf("%s", reply.RawJSON())
	}
	u := reply.Usage
	if u.PromptTokens == 0 || u.CompletionTokens == 0 || u.TotalTokens != u.PromptTokens+u.CompletionTokens || reply.Model != s.model {
		t.Errorf("%s", reply.RawJSON())
	}
}

func (s suite) stream(t *testing.T) {
	params := s.ask("What is Shoal?")
	whole, err := s.client.Chat.Completions.New(t.Context(), params)
	if err != nil {
		t.Fatal(err)
	}
	params.StreamOptions = openai.ChatCompletionStreamOptionsParam{IncludeUsage: openai.Bool(true)}
	stream := s.client.Chat.Completions.NewStreaming(t.Context(), params)
	defer stream.Close()
	all := openai.ChatCompletionAccumulator{}
	for stream.Next() {
		if !all.AddChunk(stream.Current()) {
			t.Fatalf("the chunk does not fit: %s", stream.Current().RawJSON())
		}
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	if got, want := all.Choices[0].Message.Content, whole.Choices[0].Message.Content; got != want {
		t.Errorf("streamed %q, whole %q", got, want)
	}
	if all.Usage.CompletionTokens != whole.Usage.CompletionTokens || all.Choices[0].FinishReason != whole.Choices[0].FinishReason {
		t.Errorf("streamed %+v, whole %+v", all.Usage, whole.Usage)
	}
}

func (s suite) several(t *testing.T) {
	params := s.ask("Say something.")
	params.N = openai.Int(3)
	params.Temperature = openai.Float(1)
	params.MaxCompletionTokens = openai.Int(6)
	reply, err := s.client.Chat.Completions.New(t.Context(), params)
	if err != nil {
		t.Fatal(err)
	}
	if len(reply.Choices) != 3 || reply.Choices[2].Index != 2 {
		t.Errorf("%s", reply.RawJSON())
	}
}

func (s suite) logprobs(t *testing.T) {
	params := s.ask("What is Shoal?")
	params.Logprobs = openai.Bool(true)
	params.TopLogprobs = openai.Int(3)
	params.MaxCompletionTokens = openai.Int(4)
	reply, err := s.client.Chat.Completions.New(t.Context(), params)
	if err != nil {
		t.Fatal(err)
	}
	tokens := reply.Choices[0].Logprobs.Content
	if len(tokens) == 0 {
		t.Fatalf("%s", reply.RawJSON())
	}
	for _, token := range tokens {
		if token.Logprob > 0 || len(token.TopLogprobs) != 3 || token.TopLogprobs[0].Logprob < token.TopLogprobs[2].Logprob {
			t.Errorf("%s", token.RawJSON())
		}
	}
}

func (s suite) weather() openai.ChatCompletionNewParams {
	params := s.ask("What is the weather in Paris?")
	params.MaxCompletionTokens = openai.Int(64)
	params.ParallelToolCalls = openai.Bool(false)
	params.ToolChoice = openai.ChatCompletionToolChoiceOptionUnionParam{OfAuto: openai.String("required")}
	params.Tools = []openai.ChatCompletionToolUnionParam{openai.ChatCompletionFunctionTool(shared.FunctionDefinitionParam{
		Name:        "get_weather",
		Description: openai.String("The weather in a city"),
		Parameters: shared.FunctionParameters{
			"type":                 "object",
			"properties":           map[string]any{"city": map[string]any{"type": "string", "enum": []string{"Paris", "Rome"}}},
			"required":             []string{"city"},
			"additionalProperties": false,
		},
	})}
	return params
}

func checkCall(t *testing.T, name, arguments string) {
	t.Helper()
	var in struct {
		City string `json:"city"`
	}
	if err := json.Unmarshal([]byte(arguments), &in); err != nil || name != "get_weather" || in.City == "" {
		t.Errorf("call of %q with %q: %v", name, arguments, err)
	}
}

func (s suite) tools(t *testing.T) {
	params := s.weather()
	reply, err := s.client.Chat.Completions.New(t.Context(), params)
	if err != nil {
		t.Fatal(err)
	}
	calls := reply.Choices[0].Message.ToolCalls
	if len(calls) != 1 || reply.Choices[0].FinishReason != "tool_calls" {
		t.Fatalf("%s", reply.RawJSON())
	}
	checkCall(t, calls[0].Function.Name, calls[0].Function.Arguments)
	params.Messages = append(params.Messages, reply.Choices[0].Message.ToParam(), openai.ToolMessage("sunny", calls[0].ID))
	params.ToolChoice = openai.ChatCompletionToolChoiceOptionUnionParam{OfAuto: openai.String("none")}
	if reply, err = s.client.Chat.Completions.New(t.Context(), params); err != nil || len(reply.Choices[0].Message.ToolCalls) != 0 {
		t.Errorf("the answer to a tool's result: %v", err)
	}
}

func (s suite) streamedTools(t *testing.T) {
	stream := s.client.Chat.Completions.NewStreaming(t.Context(), s.weather())
	defer stream.Close()
	all := openai.ChatCompletionAccumulator{}
	for stream.Next() {
		all.AddChunk(stream.Current())
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	calls := all.Choices[0].Message.ToolCalls
	if len(calls) != 1 || calls[0].ID == "" {
		t.Fatalf("%+v", calls)
	}
	checkCall(t, calls[0].Function.Name, calls[0].Function.Arguments)
}

func (s suite) schema(t *testing.T) {
	params := s.ask("Describe yourself.")
	params.MaxCompletionTokens = openai.Int(96)
	params.ResponseFormat = openai.ChatCompletionNewParamsResponseFormatUnion{OfJSONSchema: &shared.ResponseFormatJSONSchemaParam{
		JSONSchema: shared.ResponseFormatJSONSchemaJSONSchemaParam{
			Name:   "node",
			Strict: openai.Bool(true),
			Schema: map[string]any{
				"type":                 "object",
				"properties":           map[string]any{"name": map[string]any{"type": "string", "enum": []string{"Shoal", "Fish"}}, "nodes": map[string]any{"type": "integer", "enum": []int{1, 2, 3}}},
				"required":             []string{"name", "nodes"},
				"additionalProperties": false,
			},
		},
	}}
	reply, err := s.client.Chat.Completions.New(t.Context(), params)
	if err != nil {
		t.Fatal(err)
	}
	var out struct {
		Name  string `json:"name"`
		Nodes int    `json:"nodes"`
	}
	if err := json.Unmarshal([]byte(reply.Choices[0].Message.Content), &out); err != nil || out.Name == "" || out.Nodes == 0 {
		t.Errorf("%s: %v", reply.Choices[0].Message.Content, err)
	}
}

func (s suite) completions(t *testing.T) {
	params := openai.CompletionNewParams{
		Model:       openai.CompletionNewParamsModel(s.model),
		Prompt:      openai.CompletionNewParamsPromptUnion{OfArrayOfStrings: []string{"Once upon a time", "Hello"}},
		MaxTokens:   openai.Int(8),
		Temperature: openai.Float(0),
	}
	whole, err := s.client.Completions.New(t.Context(), params)
	if err != nil {
		t.Fatal(err)
	}
	if len(whole.Choices) != 2 || whole.Choices[1].Index != 1 || whole.Usage.CompletionTokens == 0 {
		t.Fatalf("%s", whole.RawJSON())
	}
	stream := s.client.Completions.NewStreaming(t.Context(), params)
	defer stream.Close()
	texts := make([]string, 2)
	for stream.Next() {
		for _, c := range stream.Current().Choices {
			texts[c.Index] += c.Text
		}
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	for i, c := range whole.Choices {
		if texts[i] != c.Text {
			t.Errorf("streamed %q, whole %q", texts[i], c.Text)
		}
	}
}

func (s suite) embeddings(t *testing.T) {
	inputs := openai.EmbeddingNewParamsInputUnion{OfArrayOfStrings: []string{"a fish", "a shoal of fish"}}
	reply, err := s.client.Embeddings.New(t.Context(), openai.EmbeddingNewParams{Model: s.model, Input: inputs})
	if err != nil {
		t.Fatal(err)
	}
	if len(reply.Data) != 2 || reply.Usage.PromptTokens == 0 {
		t.Fatalf("%d vectors", len(reply.Data))
	}
	for _, d := range reply.Data {
		sum := 0.0
		for _, v := range d.Embedding {
			sum += v * v
		}
		if math.Abs(sum-1) > 1e-3 {
			t.Errorf("the length of the vector is %v", math.Sqrt(sum))
		}
	}
}

func (s suite) errors(t *testing.T) {
	stranger := openai.NewClient(option.WithBaseURL(s.target.URL+"/v1"), option.WithAPIKey("wrong"), option.WithMaxRetries(0))
	_, err := stranger.Models.List(t.Context())
	wantError(t, err, http.StatusUnauthorized, "")
	params := s.ask("hi")
	params.Model = "no-such-model"
	_, err = s.client.Chat.Completions.New(t.Context(), params)
	wantError(t, err, http.StatusNotFound, "model")
	params = s.ask("hi")
	params.Temperature = openai.Float(3)
	_, err = s.client.Chat.Completions.New(t.Context(), params)
	wantError(t, err, http.StatusBadRequest, "temperature")
	stream := s.client.Chat.Completions.NewStreaming(t.Context(), params)
	for stream.Next() {
		t.Error("a chunk came")
	}
	wantError(t, stream.Err(), http.StatusBadRequest, "temperature")
	long := s.ask(strings.Repeat("word ", 200_000))
	if _, err := s.client.Chat.Completions.New(t.Context(), long); err != nil { // the scripted node has no limit
		wantError(t, err, http.StatusBadRequest, "")
	}
}

func wantError(t *testing.T, err error, status int, param string) {
	t.Helper()
	var e *openai.Error
	if !errors.As(err, &e) || e.StatusCode != status || e.Message == "" || e.Param != param {
		t.Errorf("got %v, want status %d about %q", err, status, param)
	}
}
