package api

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// minBodyRate is how fast a body must come in the long run, in bytes per second: a client that sends one byte
// just before each stall timeout would otherwise stay for years.
const minBodyRate = 1 << 10

// readBody reads a JSON body within the limits of size, depth and time.
func (g *guard) readBody(c *gin.Context) ([]byte, error) {
	req := c.Request
	if req.ContentLength == 0 || req.Body == nil || req.Body == http.NoBody {
		return nil, nil
	}
	kind, _, err := mime.ParseMediaType(req.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" {
		return nil, core.Errorf(core.CodeInvalidRequest, "the body must have Content-Type: application/json")
	}
	if req.ContentLength > g.limits.BodyBytes {
		return nil, g.tooLarge()
	}
	body, err := g.readAll(c)
	if err != nil {
		return nil, err
	}
	if depth(body) > g.limits.JSONDepth {
		return nil, core.Errorf(core.CodeInvalidRequest, "the JSON is nested more than %d deep", g.limits.JSONDepth)
	}
	return body, nil
}

// readAll reads the body, giving up on a client that stalls or crawls.
func (g *guard) readAll(c *gin.Context) ([]byte, error) {
	source := http.MaxBytesReader(c.Writer, c.Request.Body, g.limits.BodyBytes)
	body := make([]byte, 0, min(max(c.Request.ContentLength, 512)+1, 64<<10))
	began := time.Now()
	for {
		crawl := g.limits.StallTimeout + time.Duration(len(body)/minBodyRate)*time.Second - time.Since(began)
		g.extendRead(c, min(g.limits.StallTimeout, crawl))
		if len(body) == cap(body) {
			body = append(body, 0)[:len(body)]
		}
		n, err := source.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case errors.Is(err, io.EOF):
			g.extendRead(c, 0)
			return body, nil
		case err == nil:
			continue
		}
		if _, large := errors.AsType[*http.MaxBytesError](err); large {
			return nil, g.tooLarge()
		}
		c.Header("Connection", "close")
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, core.Errorf(core.CodeTimeout, "the body came too slowly")
		}
		return nil, core.Errorf(core.CodeInvalidRequest, "the body ended early: %w", err)
	}
}

func (g *guard) tooLarge() error {
	return core.Errorf(core.CodeTooLarge, "the body is larger than %d bytes", g.limits.BodyBytes)
}

// extendRead gives the client d from now to send more; 0 lifts the deadline.
func (g *guard) extendRead(c *gin.Context, d time.Duration) {
	var until time.Time
	if d != 0 {
		until = time.Now().Add(d)
	}
	// A writer without deadlines is a test recorder; connections of the server have them.
	_ = http.NewResponseController(c.Writer).SetReadDeadline(until)
}

// depth is how deeply the objects and lists of a JSON text are nested. It stops at no error: the decoder that
// comes after reports those.
func depth(text []byte) (deepest int) {
	level, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			level++
			deepest = max(deepest, level)
		case c == '}' || c == ']':
			level--
		}
	}
	return deepest
}
