package api

import (
	"context"
	"errors"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/shoal-p2p/shoal/daemon/api/openai"
	"github.com/shoal-p2p/shoal/daemon/core"
)

// entry is what the router calls for r: guard, slot, handler, error, measurement.
func (s *Server) entry(r route) gin.HandlerFunc {
	return func(c *gin.Context) {
		began := time.Now()
		err := s.attempt(c, r)
		s.metrics.request(r, err, time.Since(began))
		if err != nil {
			s.writeError(c, err)
		}
	}
}

// attempt runs the guard and the handler. A panic becomes an error.
func (s *Server) attempt(c *gin.Context, r route) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = s.panicked(r.path, p)
		}
	}()
	in, err := s.guard.admit(c, r)
	if err != nil {
		return err
	}
	if preflight(c.Request) && c.Writer.Header().Get("Access-Control-Allow-Origin") != "" {
		c.Status(http.StatusNoContent)
		return nil
	}
	defer s.guard.release(in)
	if err := s.guard.readBody(in); err != nil {
		return err
	}
	return r.handle(in)
}

// panicked turns what a panic left into an error.
func (s *Server) panicked(where string, p any) error {
	s.log.Error("a handler panicked", "where", where, "panic", p, "stack", string(debug.Stack()))
	return core.Errorf(core.CodeInternal, "something went wrong inside Shoal")
}

// writeError is the one place where an error becomes a reply. After the header of a reply went out nothing can
// be said any more, so the connection is cut and the client sees that the reply is not whole.
func (s *Server) writeError(c *gin.Context, err error) {
	body, status := errorBody(err)
	if status >= http.StatusInternalServerError {
		s.log.Error("a request failed", "route", c.FullPath(), "code", body.Error.Code, "error", err)
	}
	if _, told := errors.AsType[*toldError](err); told {
		return
	}
	if c.Writer.Written() {
		panic(http.ErrAbortHandler)
	}
	if status == http.StatusTooManyRequests {
		seconds := 1
		if e, ok := errors.AsType[*retryError](err); ok {
			seconds = e.seconds()
		}
		c.Header("Retry-After", strconv.Itoa(seconds))
	}
	c.JSON(status, body)
}

// errorBody is how err is told to the client. What went wrong inside stays in the log.
func errorBody(err error) (openai.ErrorBody, int) {
	e, ok := errors.AsType[*core.Error](err)
	switch {
	case ok:
	case errors.Is(err, context.Canceled):
		e = core.Errorf(core.CodeCancelled, "the request was cancelled")
	case errors.Is(err, context.DeadlineExceeded):
		e = core.Errorf(core.CodeTimeout, "the request took too long")
	default:
		e = core.Errorf(core.CodeInternal, "something went wrong inside Shoal")
	}
	report := core.ReportOf(e.Code)
	hint := e.Hint
	if hint == "" {
		hint = report.Hint
	}
	return openai.ErrorBody{Error: openai.ErrorDetail{
		Message: bounded(e.Msg),
		Type:    report.Type,
		Code:    string(e.Code),
		Param:   text(bounded(e.Param)),
		Hint:    text(bounded(hint)),
	}}, report.Status
}

// maxErrorText bounds each text of an error's reply: what a request or a file holds may have got into it.
const maxErrorText = 1 << 10

func bounded(s string) string {
	if len(s) > maxErrorText {
		s = s[:maxErrorText] + "…"
	}
	return strings.ToValidUTF8(s, "")
}

// text is nil for an empty string.
func text(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// clean makes text from outside fit to be quoted in a message.
func clean(s string) string {
	const limit = 120
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "") + "…"
	}
	return s
}
