package api

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/shoal-p2p/shoal/daemon/core"
)

const (
	maxSockets     = 256 // WebSockets open at once
	socketPing     = 20 * time.Second
	socketSilence  = 60 * time.Second // a client that answers no ping for so long is gone
	socketMaxFrame = 4 << 10          // of a message from the client; none are expected
)

// events sends what happens in the node over a WebSocket: first what the node remembers, then what comes.
func (s *Server) events(c *call) error {
	select {
	case s.sockets <- struct{}{}:
		defer func() { <-s.sockets }()
	default:
		return core.Errorf(core.CodeOverloaded, "%d event streams are open already", maxSockets)
	}
	if !websocket.IsWebSocketUpgrade(c.Request) {
		return core.Errorf(core.CodeInvalidRequest, "this route takes a WebSocket upgrade")
	}
	upgrader := websocket.Upgrader{
		CheckOrigin: func(*http.Request) bool { return true }, // the guard has looked
		Error:       func(http.ResponseWriter, *http.Request, int, error) {},
	}
	s.open.Add(1)
	defer s.open.Done()
	conn, err := upgrader.Upgrade(c.Writer, c.Request, nil)
	if err != nil {
		return core.Errorf(core.CodeInvalidRequest, "this is not a WebSocket handshake: %w", err)
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(c.ctx())
	defer cancel()
	stopOnClose := context.AfterFunc(s.closing, cancel)
	defer stopOnClose()

	var reading sync.WaitGroup
	reading.Go(func() {
		defer cancel()
		readPongs(conn)
	})
	s.pump(ctx, conn)
	conn.Close()
	reading.Wait()
	return nil
}

// readPongs reads, and drops, what the client sends until it is gone.
func readPongs(conn *websocket.Conn) {
	alive := func(string) error { return conn.SetReadDeadline(time.Now().Add(socketSilence)) }
	conn.SetReadLimit(socketMaxFrame)
	conn.SetPongHandler(alive)
	_ = alive("")
	for {
		if _, _, err := conn.NextReader(); err != nil {
			return
		}
	}
}

// pump writes events until the client is gone or the server closes.
func (s *Server) pump(ctx context.Context, conn *websocket.Conn) {
	ping := time.NewTicker(socketPing)
	defer ping.Stop()
	events := s.node.Subscribe(ctx, 0)
	var last uint64
	for {
		select {
		case <-ctx.Done():
			farewell(conn)
			return
		case <-ping.C:
			if conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(s.limits.StallTimeout)) != nil {
				return
			}
		case e, ok := <-events:
			if !ok {
				farewell(conn)
				return
			}
			if missed := gap(last, e.ID); missed > 0 && conn.WriteJSON(lostEvents(missed)) != nil {
				return
			}
			last = e.ID
			if conn.WriteJSON(e) != nil {
				return
			}
		}
	}
}

func farewell(conn *websocket.Conn) {
	bye := websocket.FormatCloseMessage(websocket.CloseGoingAway, "")
	_ = conn.WriteControl(websocket.CloseMessage, bye, time.Now().Add(time.Second)) // the client may be gone
}

// gap is how many events were lost between two; before the first one nothing counts as lost.
func gap(last, next uint64) uint64 {
	if last == 0 || next <= last+1 {
		return 0
	}
	return next - last - 1
}

// lostEvents tells a client that reads too slowly what it did not get.
func lostEvents(n uint64) core.Event {
	return core.Event{Type: core.EventActivity, Data: core.Activity{
		Kind:       "events_lost",
		Message:    fmt.Sprintf("%d events were lost because this client reads too slowly", n),
		Timestamp:  time.Now(),
		ToastLevel: "warning",
	}}
}
