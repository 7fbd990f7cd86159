package api

import (
	_ "embed"
	"encoding/json"
	"net/http"

	"github.com/shoal-p2p/shoal/daemon/core"
)

//go:embed openapi.yaml
var openAPIDocument []byte

func (s *Server) openAPI(c *call) error {
	c.Data(http.StatusOK, "application/yaml", openAPIDocument)
	return nil
}

func (s *Server) health(c *call) error {
	return c.reply(http.StatusOK, map[string]string{"status": "ok"})
}

func (s *Server) healthReady(c *call) error {
	ready, subsystems := s.node.Ready(c.ctx())
	status := http.StatusOK
	if !ready {
		status = http.StatusServiceUnavailable
	}
	return c.reply(status, map[string]any{"ready": ready, "subsystems": subsystems})
}

func (s *Server) serveMetrics(c *call) error {
	s.metrics.handler.ServeHTTP(c.Writer, c.Request)
	return nil
}

func (s *Server) stats(c *call) error {
	stats, err := s.node.Stats(c.ctx())
	if err != nil {
		return err
	}
	stats.LoadedModels, stats.Warnings = list(stats.LoadedModels), list(stats.Warnings)
	return c.reply(http.StatusOK, stats)
}

func (s *Server) version(c *call) error {
	version, err := s.node.Version(c.ctx())
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, version)
}

func (s *Server) apiKey(c *call) error {
	return c.reply(http.StatusOK, map[string]string{"api_key": s.node.APIKey()})
}

func (s *Server) getConfig(c *call) error {
	settings, err := s.node.Config(c.ctx())
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, settings)
}

func (s *Server) putConfig(c *call) error {
	var patch map[string]json.RawMessage
	if err := json.Unmarshal(c.body, &patch); err != nil || patch == nil {
		return core.Errorf(core.CodeInvalidRequest, "the body must be a JSON object of settings")
	}
	if err := s.node.SetConfig(c.ctx(), c.body); err != nil {
		return err
	}
	return c.reply(http.StatusOK, map[string]string{"status": "ok"})
}

func (s *Server) reloadConfig(c *call) error {
	done, err := s.node.ReloadConfig(c.ctx())
	if err != nil {
		return err
	}
	done.Applied, done.RestartRequired = list(done.Applied), list(done.RestartRequired)
	return c.reply(http.StatusOK, done)
}

func (s *Server) pause(c *call) error {
	if err := s.node.Pause(c.ctx()); err != nil {
		return err
	}
	return c.reply(http.StatusOK, map[string]string{"status": "paused"})
}

func (s *Server) resume(c *call) error {
	if err := s.node.Resume(c.ctx()); err != nil {
		return err
	}
	return c.reply(http.StatusOK, map[string]string{"status": "resumed"})
}

func (s *Server) shutdown(c *call) error {
	if err := c.reply(http.StatusOK, map[string]string{"status": "shutting_down"}); err != nil {
		return err
	}
	return s.node.Shutdown(c.ctx())
}

// reply answers with v as JSON. It is encoded before the status goes out, so that what JSON cannot hold, such as a number
// of a file that is none, is an error of its own and not an empty success.
func (c *call) reply(status int, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return core.Errorf(core.CodeInternal, "encode the reply: %w", err)
	}
	c.Data(status, "application/json; charset=utf-8", data)
	return nil
}

// list is never nil, so that JSON shows [] and not null.
func list[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}
