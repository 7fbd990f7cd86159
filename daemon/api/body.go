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

// readBody reads a JSON body within the limits of size, depth and time. What it takes is given back by release.
func (g *guard) readBody(c *call) error {
	req := c.Request
	if req.ContentLength == 0 || req.Body == nil || req.Body == http.NoBody {
		return nil
	}
	kind, _, err := mime.ParseMediaType(req.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" {
		return core.Errorf(core.CodeInvalidRequest, "the body must have Content-Type: application/json")
	}
	if req.ContentLength > g.limits.BodyBytes {
		return g.tooLarge()
	}
	if err := g.readAll(c); err != nil {
		return err
	}
	if depth(c.body) > g.limits.JSONDepth {
		return core.Errorf(core.CodeInvalidRequest, "the JSON is nested more than %d deep", g.limits.JSONDepth)
	}
	return nil
}

// readAll reads the body, giving up on a client that stalls or crawls.
func (g *guard) readAll(c *call) error {
	source := http.MaxBytesReader(c.Writer, c.Request.Body, g.limits.BodyBytes)
	began := time.Now()
	for {
		if err := g.grow(c); err != nil {
			return err
		}
		crawl := g.limits.StallTimeout + time.Duration(len(c.body)/minBodyRate)*time.Second - time.Since(began)
		g.extendRead(c.Context, min(g.limits.StallTimeout, crawl))
		n, err := source.Read(c.body[len(c.body):cap(c.body)])
		c.body = c.body[:len(c.body)+n]
		switch {
		case errors.Is(err, io.EOF):
			g.extendRead(c.Context, 0)
			return nil
		case err != nil:
			return g.readError(c, err)
		}
	}
}

// grow makes room for more of the body, within what all bodies may take together.
func (g *guard) grow(c *call) error {
	if len(c.body) < cap(c.body) {
		return nil
	}
	more := int64(max(len(c.body), 4<<10))
	if g.bodies.Add(more) > g.limits.BodiesBytes {
		g.bodies.Add(-more)
		return core.Errorf(core.CodeOverloaded, "too many large requests are being read")
	}
	c.reserved += more
	larger := make([]byte, len(c.body), int64(len(c.body))+more)
	copy(larger, c.body)
	c.body = larger
	return nil
}

// release gives back the memory of a body.
func (g *guard) release(c *call) { g.bodies.Add(-c.reserved) }

func (g *guard) readError(c *call, err error) error {
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return g.tooLarge()
	}
	c.Header("Connection", "close")
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return core.Errorf(core.CodeTimeout, "the body came too slowly")
	}
	return core.Errorf(core.CodeInvalidRequest, "the body ended early: %w", err)
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
