package api

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gin-gonic/gin"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// minBodyRate is how fast a body must come in the long run, in bytes per second: a client that sends one byte
// just before each stall timeout would otherwise stay for years.
const minBodyRate = 1 << 10

// readBody reads a JSON body within the limits of size, depth, number of values and time. What it takes is given back by release.
func (g *guard) readBody(c *call) error {
	req := c.Request
	if req.ContentLength == 0 || req.Body == nil || req.Body == http.NoBody {
		return nil
	}
	kind, more, err := mime.ParseMediaType(req.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" {
		return core.Errorf(core.CodeInvalidRequest, "the body must have Content-Type: application/json")
	}
	if charset := more["charset"]; charset != "" && !strings.EqualFold(charset, "utf-8") {
		return core.Errorf(core.CodeInvalidRequest, "the body is sent as %s; send it as UTF-8", clean(charset))
	}
	if req.ContentLength > g.limits.BodyBytes {
		return g.tooLarge()
	}
	if err := g.readAll(c); err != nil {
		return err
	}
	return g.checkJSON(c)
}

// What a byte and a value of JSON cost beside the body, at most, while a request is decoded.
const (
	costPerByte  = 2
	costPerValue = 128
)

// checkJSON looks at the text of a body before anything is decoded, and counts what decoding it will take.
func (g *guard) checkJSON(c *call) error {
	c.body = bytes.TrimPrefix(c.body, []byte("\ufeff")) // RFC 8259 lets a reader skip the byte order mark
	if !utf8.Valid(c.body) {
		return core.Errorf(core.CodeInvalidRequest, "the body is not UTF-8").
			WithHint("Send the text as UTF-8; Windows PowerShell 5.1 needs it asked for.")
	}
	deepest, values := measure(c.body, g.limits.JSONValues)
	if deepest > g.limits.JSONDepth {
		return core.Errorf(core.CodeInvalidRequest, "the JSON is nested more than %d deep", g.limits.JSONDepth)
	}
	if values > g.limits.JSONValues {
		return core.Errorf(core.CodeInvalidRequest, "the JSON holds more than %d values", g.limits.JSONValues)
	}
	return g.reserve(c, costPerByte*int64(len(c.body))+costPerValue*int64(values))
}

// reserve counts memory for a request, within what all may take together.
func (g *guard) reserve(c *call, more int64) error {
	if g.bodies.Add(more) > g.limits.BodiesBytes {
		g.bodies.Add(-more)
		return core.Errorf(core.CodeOverloaded, "too many large requests are being read")
	}
	c.reserved += more
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
	if err := g.reserve(c, more); err != nil {
		return err
	}
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
		return core.Errorf(core.CodeSlow, "the body came too slowly")
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

// measure is how deeply the objects and lists of a JSON text are nested, and how many values they hold, counted up to
// enough. It stops at no error: the decoder that comes after reports those.
func measure(text []byte, enough int) (deepest, values int) {
	level, quoted := 0, false
	for i := 0; i < len(text) && values <= enough; i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			level++
			values++
			deepest = max(deepest, level)
		case c == ',':
			values++
		case c == '}' || c == ']':
			level--
		}
	}
	return deepest, values
}
