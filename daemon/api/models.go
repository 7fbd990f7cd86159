package api

import (
	"net/http"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/api/openai"
	"github.com/shoal-p2p/shoal/daemon/core"
)

func (s *Server) listModels(c *call) error {
	list := openai.Models{Object: "list", Data: []openai.Model{}}
	models, err := s.node.Models(c.ctx())
	if err != nil {
		return err
	}
	for _, m := range models {
		if usable(m) {
			list.Data = append(list.Data, s.openAIModel(m))
		}
	}
	return c.reply(http.StatusOK, list)
}

func (s *Server) getModel(c *call) error {
	id, err := s.resolveModel(c.Param("id"))
	if err != nil {
		return err
	}
	models, err := s.node.Models(c.ctx())
	if err != nil {
		return err
	}
	for _, m := range models {
		if m.ID == id && usable(m) {
			return c.reply(http.StatusOK, s.openAIModel(m))
		}
	}
	return core.Errorf(core.CodeNotFound, "the model %q does not exist here", clean(c.Param("id"))).WithParam("model")
}

// usable tells whether a request for m can be answered.
func usable(m admin.ModelInfo) bool {
	switch m.Status {
	case admin.StatusLoaded, admin.StatusReady, admin.StatusLoading:
		return true
	}
	return m.GlobalAvailable
}

// openAIModel is m in the shape of the OpenAI API. When a model was made is not known; the server's own start
// stands in for it, since clients expect a time.
func (s *Server) openAIModel(m admin.ModelInfo) openai.Model {
	return openai.Model{
		ID:            m.ID,
		Object:        "model",
		Created:       s.started.Unix(),
		OwnedBy:       m.Source,
		MaxModelLen:   m.ContextLength,
		ContextLength: m.ContextLength,
	}
}

func (s *Server) embeddings(c *call) error {
	req, err := openai.EmbeddingRequest(c.body)
	if err != nil {
		return err
	}
	model, err := s.resolveModel(req.Model)
	if err != nil {
		return err
	}
	inputs := make([]core.EmbedInput, len(req.Inputs))
	for i, p := range req.Inputs {
		inputs[i] = core.EmbedInput{Text: p.Text, Tokens: p.Tokens}
	}
	vectors, usage, err := s.node.Embed(c.ctx(), &core.EmbedRequest{Model: model, Requester: c.requester, Inputs: inputs})
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, openai.NewEmbeddings(model, vectors, usage, req.Base64))
}
