package client

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/core"
)

// Subscribe implements admin.Control over a WebSocket, and connects again when the connection is lost. The ids of
// the events are the client's own, so since is not used: the node's replay comes first.
func (c *Client) Subscribe(ctx context.Context, _ uint64) <-chan core.Event {
	out := make(chan core.Event, 64)
	go func() { // ends with ctx
		defer close(out)
		s := subscription{client: c, out: out}
		for pause := time.Second; ctx.Err() == nil; pause = min(2*pause, 30*time.Second) {
			if s.follow(ctx) {
				pause = time.Second
			}
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
		}
	}()
	return out
}

type subscription struct {
	client *Client
	out    chan<- core.Event
	id     uint64
	latest time.Time // of the activities seen; older ones are a replay after a lost connection
}

// follow passes events on until the connection ends, and tells whether there was one.
func (s *subscription) follow(ctx context.Context) bool {
	dialer := websocket.Dialer{HandshakeTimeout: 5 * time.Second, NetDialContext: s.client.cfg.Dial}
	header := http.Header{}
	if s.client.cfg.Key != "" {
		header.Set("Authorization", "Bearer "+s.client.cfg.Key)
	}
	url := "ws" + strings.TrimPrefix(s.client.cfg.URL, "http") + "/api/admin/ws"
	conn, response, err := dialer.DialContext(ctx, url, header)
	if response != nil {
		response.Body.Close()
	}
	if err != nil {
		s.client.cfg.OnError(s.client.connectionError(ctx, err))
		return false
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	conn.SetReadLimit(maxReply)
	for {
		var in struct {
			Type core.EventType  `json:"type"`
			Data json.RawMessage `json:"data"`
		}
		if conn.ReadJSON(&in) != nil || !s.pass(ctx, in.Type, in.Data) {
			return true
		}
	}
}

// pass hands one event on; it is false when ctx ended.
func (s *subscription) pass(ctx context.Context, kind core.EventType, raw json.RawMessage) bool {
	data, err := eventData(kind, raw)
	if err != nil {
		s.client.cfg.OnError(core.Errorf(core.CodeInternal, "read an event: %w", err))
		return true
	}
	if a, ok := data.(core.Activity); ok {
		if a.Timestamp.Before(s.latest) {
			return true
		}
		s.latest = a.Timestamp
	}
	s.id++
	select {
	case s.out <- core.Event{ID: s.id, Type: kind, Data: data}:
		return true
	case <-ctx.Done():
		return false
	}
}

// eventData decodes the data of an event into the type that the node publishes.
func eventData(kind core.EventType, raw json.RawMessage) (any, error) {
	switch kind {
	case core.EventActivity:
		var a core.Activity
		err := json.Unmarshal(raw, &a)
		return a, err
	case core.EventPeers:
		var p []admin.PeerInfo
		err := json.Unmarshal(raw, &p)
		return p, err
	case core.EventStats:
		var s admin.Stats
		err := json.Unmarshal(raw, &s)
		return s, err
	}
	var other any
	err := json.Unmarshal(raw, &other)
	return other, err
}
