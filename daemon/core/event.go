package core

import "time"

// EventType is the "type" of a message on the admin WebSocket.
type EventType string

// The five event types of the admin API.
const (
	EventActivity        EventType = "activity_event"
	EventStats           EventType = "stats_update"
	EventPeers           EventType = "peer_list"
	EventModelsChanged   EventType = "models_changed"
	EventUpdateAvailable EventType = "update_available"
)

// Event is something that happened in the node. ID grows by one from event to event.
type Event struct {
	ID   uint64    `json:"-"`
	Type EventType `json:"type"`
	Data any       `json:"data"`
}

// Activity is the data of an EventActivity.
type Activity struct {
	Kind       string    `json:"kind"`
	ModelID    string    `json:"model_id,omitempty"`
	Message    string    `json:"message"`
	Timestamp  time.Time `json:"timestamp"`
	ToastLevel string    `json:"toast_level,omitempty"` // "info", "success", "warning", "error" or "" for none
}
