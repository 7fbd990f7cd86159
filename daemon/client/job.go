package client

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/api/openai"
	"github.com/shoal-p2p/shoal/daemon/core"
)

// Import implements admin.Library. The path is one of the PC that the node runs on, and must be absolute.
func (c *Client) Import(ctx context.Context, path string, windows int, progress func(core.Progress)) (admin.ModelInfo, error) {
	in := map[string]any{"path": path, "windows": windows}
	last, err := c.job(ctx, "/api/admin/models/import", in, progress)
	return last.Model, err
}

// Export implements admin.Library. The path is one of the PC that the node runs on, and must be absolute.
func (c *Client) Export(ctx context.Context, id core.ModelID, path string, progress func(core.Progress)) error {
	_, err := c.job(ctx, modelPath(id, "/export"), map[string]any{"path": path}, progress)
	return err
}

// jobLine is one message of a long job: progress, the result, or an error.
type jobLine struct {
	Status string              `json:"status"`
	Done   int64               `json:"done"`
	Total  int64               `json:"total"`
	Model  admin.ModelInfo     `json:"model"`
	Error  *openai.ErrorDetail `json:"error"`
}

// job runs a long job and returns its last message.
func (c *Client) job(ctx context.Context, path string, in any, progress func(core.Progress)) (last jobLine, err error) {
	began := time.Now()
	response, err := c.send(ctx, http.MethodPost, path, in, "application/x-ndjson")
	if err != nil {
		return last, err
	}
	defer response.Body.Close()
	if response.StatusCode >= 300 {
		return last, replyError(response)
	}
	lines := json.NewDecoder(response.Body)
	for {
		var line jobLine
		if err := lines.Decode(&line); err != nil {
			return last, c.cutOff(ctx, err)
		}
		switch {
		case line.Error != nil:
			return line, bodyError(openai.ErrorBody{Error: *line.Error})
		case line.Status == "imported" || line.Status == "exported":
			return line, nil
		case progress != nil:
			progress(core.Progress{Done: line.Done, Total: line.Total, Since: began})
		}
	}
}

// cutOff says why a stream ended before its last message.
func (c *Client) cutOff(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return c.connectionError(ctx, err)
	}
	return core.Errorf(core.CodeInternal, "the connection to the node was lost: %w", err)
}
