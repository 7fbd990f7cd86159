package api

import (
	"context"
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
		// Whole messages: the limit of a reader that is given up after its first frame counts each frame alone.
		if _, _, err := conn.ReadMessage(); err != nil {
			return
		}
	}
}

// pump writes events until the client is gone or the server closes. Ids have gaps by design, since a newer state takes the
// place of an older one; what a slow client lost is told by the node, as an event of its own.
func (s *Server) pump(ctx context.Context, conn *websocket.Conn) {
	ping := time.NewTicker(socketPing)
	defer ping.Stop()
	events := s.node.Subscribe(ctx, 0)
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
