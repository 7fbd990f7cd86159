package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/api"
	"github.com/shoal-p2p/shoal/daemon/api/apitest"
	"github.com/shoal-p2p/shoal/daemon/core"
)

// socketEvent is one message of the socket.
type socketEvent struct {
	Type core.EventType
	Data struct {
		Kind    string `json:"kind"`
		Message string `json:"message"`
	} `json:"data"`
}

// readUntil reads events up to the activity of the kind last.
func readUntil(t *testing.T, conn *websocket.Conn, last string) (all []socketEvent) {
	t.Helper()
	for {
		var raw struct {
			Type core.EventType  `json:"type"`
			Data json.RawMessage `json:"data"`
		}
		if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if err := conn.ReadJSON(&raw); err != nil {
			t.Fatal(err)
		}
		e := socketEvent{Type: raw.Type}
		_ = json.Unmarshal(raw.Data, &e.Data) // a peer list is no activity
		all = append(all, e)
		if e.Data.Kind == last {
			return all
		}
	}
}

func activity(kind, message string) core.Activity { return core.Activity{Kind: kind, Message: message} }

// TestReplacedStatesAreNoLoss: of stats and peer lists only the newest is replayed, so the ids of what a new client gets
// have gaps, and nothing was lost.
func TestReplacedStatesAreNoLoss(t *testing.T) {
	node := &apitest.Node{}
	f := start(t, node, api.Config{})
	for range 4 {
		node.Publish(core.EventStats, admin.Stats{})
		node.Publish(core.EventPeers, []admin.PeerInfo{})
	}
	conn, _ := f.socket(t, nil)
	defer conn.Close()
	eventually(t, "subscribed", func() bool { return node.Subscribers() == 1 })
	node.Publish(core.EventActivity, activity("end", ""))
	counts := map[string]int{}
	for _, e := range readUntil(t, conn, "end") {
		counts[string(e.Type)+" "+e.Data.Kind]++
	}
	if counts["activity_event events_lost"] != 0 || counts["stats_update "] != 1 || counts["peer_list "] != 1 {
		t.Errorf("a new client got %v", counts)
	}
}

// TestOneLossIsOneMessage: what a slow client is told to have lost, and what it gets, is together all there was.
func TestOneLossIsOneMessage(t *testing.T) {
	node := &apitest.Node{}
	f := start(t, node, api.Config{})
	conn, _ := f.socket(t, nil)
	defer conn.Close()
	eventually(t, "subscribed", func() bool { return node.Subscribers() == 1 })
	const sent = 2000
	text := strings.Repeat("x", 32<<10) // more than the buffers between the two ends hold
	for range sent {
		node.Publish(core.EventActivity, activity("one", text))
	}
	node.Publish(core.EventActivity, activity("end", ""))
	got, lost, confessions := 0, 0, 0
	for _, e := range readUntil(t, conn, "end") {
		switch e.Data.Kind {
		case "one":
			got++
		case "events_lost":
			var n int
			if _, err := fmt.Sscanf(e.Data.Message, "%d events were lost", &n); err != nil {
				t.Errorf("%q: %v", e.Data.Message, err)
			}
			lost += n
			confessions++
		}
	}
	if got+lost != sent+2 && got+lost != sent { // the two events from the past may be among the lost ones
		t.Errorf("%d came and %d are said to be lost, of %d", got, lost, sent)
	}
	if lost == 0 || confessions == 0 {
		t.Errorf("nothing was lost in a socket that was not read: the test proves nothing")
	}
}

// TestSocketsAreCounted: one client may not hold the node's memory by opening event streams.
func TestSocketsAreCounted(t *testing.T) {
	node := &apitest.Node{}
	f := start(t, node, api.Config{})
	for range api.MaxSockets {
		conn, _ := f.socket(t, nil)
		defer conn.Close()
	}
	conn, response := f.socket(t, nil)
	if conn != nil {
		conn.Close()
		t.Fatalf("socket %d was opened", api.MaxSockets+1)
	}
	defer response.Body.Close()
	var body struct{ Error struct{ Code string } }
	if err := json.NewDecoder(response.Body).Decode(&body); err != nil || response.StatusCode != http.StatusTooManyRequests || body.Error.Code != string(core.CodeOverloaded) {
		t.Errorf("status %d, %v, %v", response.StatusCode, body, err)
	}
	eventually(t, "every open socket is subscribed and no other", func() bool { return node.Subscribers() == api.MaxSockets })
}

// TestSocketMessagesAreBounded: nothing is expected of a client, so a message over the bound ends its connection.
func TestSocketMessagesAreBounded(t *testing.T) {
	node := &apitest.Node{}
	f := start(t, node, api.Config{})
	for _, size := range []int{api.MaxSocketFrame, api.MaxSocketFrame + 1} {
		stays := size == api.MaxSocketFrame
		conn, _ := f.socket(t, nil)
		eventually(t, "subscribed", func() bool { return node.Subscribers() == 1 })
		if err := conn.WriteMessage(websocket.TextMessage, make([]byte, size)); err != nil {
			t.Fatal(err)
		}
		if stays {
			node.Publish(core.EventActivity, activity("end", ""))
			readUntil(t, conn, "end")
			conn.Close()
		}
		eventually(t, fmt.Sprintf("the socket is closed after %d bytes", size), func() bool { return node.Subscribers() == 0 })
		conn.Close()
	}
}
