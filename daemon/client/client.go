// Package client is the Go client of a node's API. It has the methods of admin.Node, so that a program can use a
// node in another process as if it were its own.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/api/openai"
	"github.com/shoal-p2p/shoal/daemon/core"
)

// Config says which node to talk to. URL is required.
type Config struct {
	URL string // "http://127.0.0.1:8800"
	Key string // API key; reads on the same PC work without
	// OnError hears why the events of Subscribe do not come while the connection is lost; nil drops it.
	OnError func(error)
	// Dial connects to the node; nil is the plain way.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Client talks to one node. It is safe for concurrent use.
type Client struct {
	cfg  Config
	http *http.Client
}

var _ admin.Node = (*Client)(nil)

const (
	maxReply = 64 << 20 // bytes of a reply that is not a stream
	maxError = 64 << 10
)

// New makes a Client. It connects with the first call.
func New(cfg Config) *Client {
	cfg.URL = strings.TrimSuffix(cfg.URL, "/")
	if cfg.OnError == nil {
		cfg.OnError = func(error) {}
	}
	if cfg.Dial == nil {
		cfg.Dial = (&net.Dialer{Timeout: 5 * time.Second}).DialContext
	}
	return &Client{cfg: cfg, http: &http.Client{
		// No proxy: the key must not leave for one when the node is on this PC.
		Transport: &http.Transport{
			DialContext:            cfg.Dial,
			MaxResponseHeaderBytes: 64 << 10,
			IdleConnTimeout:        90 * time.Second,
			MaxIdleConnsPerHost:    8,
		},
		// The API redirects nowhere; a redirect would carry the key to another place.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Close ends idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Alive tells whether a node answers at the URL. The error has code core.CodeNotReady if none does.
func (c *Client) Alive(ctx context.Context) error {
	var reply struct {
		Status string `json:"status"`
	}
	if err := c.call(ctx, http.MethodGet, "/health", nil, &reply); err != nil {
		return err
	}
	if reply.Status != "ok" {
		return core.Errorf(core.CodeNotReady, "what answers at %s is not a Shoal node", c.cfg.URL)
	}
	return nil
}

// call sends in, if not nil, as JSON and decodes the reply into out, if not nil.
func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	response, err := c.send(ctx, method, path, in, "application/json")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode >= 300 {
		return replyError(response)
	}
	return decode(response.Body, out)
}

// send makes one request; the caller closes the body of the reply, whatever its status.
func (c *Client) send(ctx context.Context, method, path string, in any, accept string) (*http.Response, error) {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return nil, core.Errorf(core.CodeInvalidRequest, "encode the request: %w", err)
		}
		body = bytes.NewReader(data)
	}
	request, err := http.NewRequestWithContext(ctx, method, c.cfg.URL+path, body)
	if err != nil {
		return nil, core.Errorf(core.CodeInvalidRequest, "address of the node: %w", err)
	}
	request.Header.Set("Accept", accept)
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if c.cfg.Key != "" {
		request.Header.Set("Authorization", "Bearer "+c.cfg.Key)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, c.connectionError(ctx, err)
	}
	return response, nil
}

// connectionError says why no reply came.
func (c *Client) connectionError(ctx context.Context, err error) error {
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return core.Errorf(core.CodeTimeout, "the node took too long to answer")
	case ctx.Err() != nil:
		return core.Errorf(core.CodeCancelled, "the request was cancelled")
	}
	return core.Errorf(core.CodeNotReady, "no node answers at %s: %w", c.cfg.URL, err).
		WithHint("Start it with `shoald serve`, or check the address.")
}

// replyError reads the error body of a reply.
func replyError(response *http.Response) error {
	var body openai.ErrorBody
	raw, _ := io.ReadAll(io.LimitReader(response.Body, maxError)) // what was read has to do
	if json.Unmarshal(raw, &body) != nil || body.Error.Code == "" {
		return core.Errorf(core.CodeInternal, "the node answered with status %d", response.StatusCode)
	}
	return bodyError(body)
}

// bodyError is the error that the node's own method returned.
func bodyError(body openai.ErrorBody) error {
	e := &core.Error{Code: core.Code(body.Error.Code), Msg: body.Error.Message}
	if body.Error.Param != nil {
		e.Param = *body.Error.Param
	}
	if body.Error.Hint != nil {
		e.Hint = *body.Error.Hint
	}
	return e
}

// decode reads one JSON value of bounded size.
func decode(r io.Reader, out any) error {
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(io.LimitReader(r, maxReply)).Decode(out); err != nil {
		return core.Errorf(core.CodeInternal, "read the node's reply: %w", err)
	}
	return nil
}
