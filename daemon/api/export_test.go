package api

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

// Depth is how deeply JSON is nested.
func Depth(text []byte) int { return depth(text) }
