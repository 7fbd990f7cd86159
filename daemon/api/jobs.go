package api

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// importModel cuts a GGUF file of this PC into shards.
func (s *Server) importModel(c *call) error {
	var in struct {
		Path    string `json:"path"`
		Windows int    `json:"windows"`
	}
	if err := c.read(&in); err != nil {
		return err
	}
	if err := checkPath(in.Path); err != nil {
		return err
	}
	if in.Windows < 0 || in.Windows > 64 {
		return core.Errorf(core.CodeInvalidRequest, "windows must be between 0 and 64").WithParam("windows")
	}
	file, err := os.Stat(in.Path)
	if err != nil {
		return core.Errorf(core.CodeNotFound, "there is no file %s", clean(in.Path)).WithParam("path")
	}
	if !file.Mode().IsRegular() {
		return core.Errorf(core.CodeInvalidRequest, "%s is not a regular file", clean(in.Path)).WithParam("path")
	}
	return runJob(c, "importing", func(progress func(core.Progress)) (any, error) {
		info, err := s.node.Import(c.ctx(), in.Path, in.Windows, progress)
		info.Shards, info.LoadedShards = list(info.Shards), list(info.LoadedShards)
		return map[string]any{"status": "imported", "model_id": info.ID, "model": info}, err
	})
}

// exportModel writes a model back as the GGUF file that it came from.
func (s *Server) exportModel(c *call) error {
	id, err := c.modelID()
	if err != nil {
		return err
	}
	var in struct {
		Path string `json:"path"`
	}
	if err := c.read(&in); err != nil {
		return err
	}
	if err := checkPath(in.Path); err != nil {
		return err
	}
	if _, err := os.Lstat(in.Path); err == nil {
		return core.Errorf(core.CodeConflict, "%s is already there", clean(in.Path)).WithParam("path")
	}
	return runJob(c, "exporting", func(progress func(core.Progress)) (any, error) {
		err := s.node.Export(c.ctx(), id, in.Path, progress)
		return map[string]any{"status": "exported", "model_id": id, "path": in.Path}, err
	})
}

func checkPath(path string) error {
	if !filepath.IsAbs(path) || strings.ContainsRune(path, 0) || filepath.Clean(path) != path {
		return core.Errorf(core.CodeInvalidRequest, "path must be an absolute path without . or ..").WithParam("path")
	}
	return nil
}

// runJob runs work and answers with its result. A client that accepts NDJSON or server-sent events is told the
// progress on the way; its last message is the result or an error body.
func runJob(c *call, status string, work func(func(core.Progress)) (any, error)) error {
	lines := newLines(c.Context)
	if lines == nil {
		result, err := work(func(core.Progress) {})
		if err != nil {
			return err
		}
		return c.reply(http.StatusOK, result)
	}
	result, err := work(func(p core.Progress) { lines.progress(status, p) })
	if err == nil {
		err = lines.send(result)
	}
	return lines.fail(err)
}

// jobLines writes the messages of a long job, one JSON object each.
type jobLines struct {
	c   *gin.Context
	sse bool

	mu   sync.Mutex // guards the writer, open and last
	open bool
	last time.Time
}

// newLines is nil when the client did not ask for progress.
func newLines(c *gin.Context) *jobLines {
	switch accept := c.GetHeader("Accept"); {
	case strings.Contains(accept, "application/x-ndjson"):
		return &jobLines{c: c}
	case strings.Contains(accept, "text/event-stream"):
		return &jobLines{c: c, sse: true}
	}
	return nil
}

// progress sends p, at most ten times a second.
func (l *jobLines) progress(status string, p core.Progress) {
	l.mu.Lock()
	quiet := time.Since(l.last) < 100*time.Millisecond
	l.mu.Unlock()
	if quiet {
		return
	}
	// A client that is gone cancels the request, which ends the job.
	_ = l.send(map[string]any{"status": status, "done": p.Done, "total": p.Total})
}

func (l *jobLines) send(v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return core.Errorf(core.CodeInternal, "encode progress: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = time.Now()
	if !l.open {
		l.open = true
		kind := "application/x-ndjson"
		if l.sse {
			kind = "text/event-stream; charset=utf-8"
		}
		l.c.Header("Content-Type", kind)
		l.c.Status(http.StatusAccepted)
	}
	if l.sse {
		data = frame(data)
	} else {
		data = append(data, '\n')
	}
	if _, err := l.c.Writer.Write(data); err != nil {
		return core.Errorf(core.CodeCancelled, "the client is gone: %w", err)
	}
	l.c.Writer.Flush()
	return nil
}

// fail tells err, if there is one, as the last message or, before the first one, by returning it.
func (l *jobLines) fail(err error) error {
	if err == nil || !l.open {
		return err
	}
	body, _ := errorBody(err)
	_ = l.send(body) // a client that is gone needs no word
	return &toldError{err}
}
