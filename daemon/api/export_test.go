package api

import (
	"context"
	"net"
	"net/http"
	"time"
)

// Handler is the router behind its guard, for requests that come over no network.
func (s *Server) Handler() http.Handler {
	s.guard = newGuard(s.cfg, s.limits, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8800}, s.log)
	s.started, s.closing = time.Now(), context.Background()
	return s.handler()
}

// RouteLine is a line of the route table, for tests.
type RouteLine struct {
	Method, Path string
	Access       string // as x-access in openapi.yaml
}

// Routes is the route table.
func (s *Server) Routes() []RouteLine {
	var lines []RouteLine
	for _, r := range s.routes() {
		lines = append(lines, RouteLine{r.method, r.path, [...]string{"any", "read", "key", "here"}[r.access]})
	}
	return lines
}

// OpenAPIDocument is the file that GET /openapi.yaml serves.
func OpenAPIDocument() []byte { return openAPIDocument }

// Measure is how deeply JSON is nested and how many values it holds.
func Measure(text []byte) (depth, values int) { return measure(text, 1<<30) }

// Bounds of the event socket.
const (
	MaxSockets     = maxSockets
	MaxSocketFrame = socketMaxFrame
)

// MaxIdle is how many connections of one address may wait for a request.
const MaxIdle = maxIdle
