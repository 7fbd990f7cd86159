package api

import (
	"context"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// access says who may use a route.
type access int

const (
	accessAny  access = iota // everyone: tells nothing about the node
	accessRead               // this PC without a key, everyone else with it
	accessKey                // the key, always
	accessHere               // the key, and only from this PC
)

// route is one line of the table.
type route struct {
	method string
	path   string
	access access
	handle func(*call) error
	model  bool // runs a model: takes one of the in-flight slots
}

// routes is the whole HTTP surface; openapi.yaml describes each line and a test compares the two.
func (s *Server) routes() []route {
	const get, put, post, del = http.MethodGet, http.MethodPut, http.MethodPost, http.MethodDelete
	const admin, model = "/api/admin", "/api/admin/models/:id"
	return []route{
		{get, "/health", accessAny, s.health, false},
		{get, "/health/ready", accessAny, s.healthReady, false},
		{get, "/metrics", accessRead, s.serveMetrics, false},
		{get, "/openapi.yaml", accessRead, s.openAPI, false},

		{get, "/v1/models", accessKey, s.listModels, false},
		{get, "/v1/models/:id", accessKey, s.getModel, false},
		{post, "/v1/chat/completions", accessKey, s.chatCompletions, true}, // model, messages, …
		{post, "/v1/completions", accessKey, s.completions, true},          // model, prompt, …
		{post, "/v1/embeddings", accessKey, s.embeddings, true},            // model, input, encoding_format

		{get, admin + "/stats", accessRead, s.stats, false},
		{get, admin + "/version", accessRead, s.version, false},
		{get, admin + "/api-key", accessKey, s.apiKey, false},
		{get, admin + "/config", accessRead, s.getConfig, false},
		{put, admin + "/config", accessKey, s.putConfig, false}, // any subset of the settings
		{post, admin + "/config/reload", accessKey, s.reloadConfig, false},
		{post, admin + "/pause", accessKey, s.pause, false},
		{post, admin + "/resume", accessKey, s.resume, false},
		{post, admin + "/shutdown", accessHere, s.shutdown, false},
		{get, admin + "/ws", accessRead, s.events, false},

		{get, admin + "/models", accessRead, s.models, false},
		{post, admin + "/models/import", accessHere, s.importModel, false}, // path, windows
		{del, model, accessKey, s.deleteModel, false},
		{get, model + "/metadata", accessRead, s.metadata, false},
		{get, model + "/status", accessRead, s.status, false},
		{post, model + "/load", accessKey, s.load, false},
		{post, model + "/unload", accessKey, s.unload, false},
		{post, model + "/export", accessHere, s.exportModel, false}, // path
		{del, model + "/shards/:index", accessKey, s.deleteShard, false},
		{post, model + "/shards/:index/load", accessKey, s.loadShard, false},
		{post, model + "/shards/:index/unload", accessKey, s.unloadShard, false},
		{put, model + "/shards/:index/lock", accessKey, s.lockShard, false}, // locked
		{post, admin + "/rescan-shards", accessKey, s.rescan, false},
		{get, admin + "/shard-storage", accessRead, s.storage, false},

		{get, admin + "/peers", accessRead, s.peers, false},
		{get, admin + "/network-map", accessRead, s.networkMap, false},
		{get, admin + "/network-code", accessKey, s.networkCode, false},  // the code lets a PC in, so it is no open read
		{post, admin + "/join-network", accessKey, s.joinNetwork, false}, // code
		{get, admin + "/invites", accessRead, s.invites, false},
		{del, admin + "/invites/:id", accessKey, s.revokeInvite, false},
		{get, admin + "/members", accessRead, s.members, false},
		{del, admin + "/members/:id", accessKey, s.putOut, false},
		{post, admin + "/members/:id/delegate", accessKey, s.delegate, false},
		{post, admin + "/swarm/leave", accessKey, s.leaveSwarm, false},
		{post, model + "/add", accessKey, s.addModel, false},
		{post, model + "/shards/:index/download", accessKey, s.downloadShard, false},
		{get, admin + "/downloads", accessRead, s.downloads, false},
		{post, admin + "/downloads/:id/cancel", accessKey, s.cancelDownload, false},
		{get, model + "/encrypted-pipeline", accessRead, s.getEncryptedPipeline, false},
		{put, model + "/encrypted-pipeline", accessKey, s.putEncryptedPipeline, false}, // enabled
		{get, admin + "/plan/:id", accessRead, s.plan, false},
	}
}

func noRoute(c *call) error {
	return core.Errorf(core.CodeNotFound, "there is no %s %s", c.Request.Method, clean(c.Request.URL.Path)).
		WithHint("GET /openapi.yaml lists the routes.")
}

// call is one request that passed the guard.
type call struct {
	*gin.Context
	body      []byte // the whole body: bounded, JSON by its type, not too deep
	reserved  int64  // bytes counted for the body
	requester string // address of who asks
}

// ctx ends when the client is gone or the server stops. It outlives the gin context, which is used again.
func (c *call) ctx() context.Context { return c.Request.Context() }
