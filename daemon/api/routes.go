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
}

// routes is the whole HTTP surface; openapi.yaml describes each line and a test compares the two.
func (s *Server) routes() []route {
	const get, put, post, del = http.MethodGet, http.MethodPut, http.MethodPost, http.MethodDelete
	const admin, model = "/api/admin", "/api/admin/models/:id"
	return []route{
		{get, "/health", accessAny, s.health},
		{get, "/health/ready", accessAny, s.healthReady},
		{get, "/metrics", accessRead, s.serveMetrics},
		{get, "/openapi.yaml", accessRead, s.openAPI},

		{get, "/v1/models", accessKey, s.listModels},
		{get, "/v1/models/:id", accessKey, s.getModel},
		{post, "/v1/chat/completions", accessKey, s.chatCompletions}, // model, messages, …
		{post, "/v1/completions", accessKey, s.completions},          // model, prompt, …
		{post, "/v1/embeddings", accessKey, s.embeddings},            // model, input, encoding_format

		{get, admin + "/stats", accessRead, s.stats},
		{get, admin + "/version", accessRead, s.version},
		{get, admin + "/api-key", accessKey, s.apiKey},
		{get, admin + "/config", accessRead, s.getConfig},
		{put, admin + "/config", accessKey, s.putConfig}, // any subset of the settings
		{post, admin + "/config/reload", accessKey, s.reloadConfig},
		{post, admin + "/pause", accessKey, s.pause},
		{post, admin + "/resume", accessKey, s.resume},
		{post, admin + "/shutdown", accessHere, s.shutdown},
		{get, admin + "/ws", accessRead, s.events},

		{get, admin + "/models", accessRead, s.models},
		{post, admin + "/models/import", accessHere, s.importModel}, // path, windows
		{del, model, accessKey, s.deleteModel},
		{get, model + "/metadata", accessRead, s.metadata},
		{get, model + "/status", accessRead, s.status},
		{post, model + "/load", accessKey, s.load},
		{post, model + "/unload", accessKey, s.unload},
		{post, model + "/export", accessHere, s.exportModel}, // path
		{del, model + "/shards/:index", accessKey, s.deleteShard},
		{post, model + "/shards/:index/load", accessKey, s.loadShard},
		{post, model + "/shards/:index/unload", accessKey, s.unloadShard},
		{put, model + "/shards/:index/lock", accessKey, s.lockShard}, // locked
		{post, admin + "/rescan-shards", accessKey, s.rescan},
		{get, admin + "/shard-storage", accessRead, s.storage},

		{get, admin + "/peers", accessRead, s.peers},
		{get, admin + "/network-map", accessRead, s.networkMap},
		{get, admin + "/network-code", accessKey, s.networkCode},  // the code lets a PC in, so it is no open read
		{post, admin + "/join-network", accessKey, s.joinNetwork}, // code
		{get, admin + "/invites", accessRead, s.invites},
		{del, admin + "/invites/:id", accessKey, s.revokeInvite},
		{get, admin + "/members", accessRead, s.members},
		{del, admin + "/members/:id", accessKey, s.putOut},
		{post, admin + "/members/:id/delegate", accessKey, s.delegate},
		{post, admin + "/swarm/leave", accessKey, s.leaveSwarm},
		{post, model + "/add", accessKey, s.addModel},
		{post, model + "/shards/:index/download", accessKey, s.downloadShard},
		{get, admin + "/downloads", accessRead, s.downloads},
		{post, admin + "/downloads/:id/cancel", accessKey, s.cancelDownload},
		{get, model + "/encrypted-pipeline", accessRead, s.getEncryptedPipeline},
		{put, model + "/encrypted-pipeline", accessKey, s.putEncryptedPipeline}, // enabled
		{get, admin + "/plan/:id", accessRead, s.plan},
	}
}

func noRoute(c *call) error {
	return core.Errorf(core.CodeNotFound, "there is no %s %s", c.Request.Method, clean(c.Request.URL.Path)).
		WithHint("GET /openapi.yaml lists the routes.")
}

// noMethod answers for a path that is there; the router has set the header Allow.
func noMethod(c *call) error {
	return core.Errorf(core.CodeMethod, "%s takes %s, not %s", clean(c.Request.URL.Path), c.Writer.Header().Get("Allow"), clean(c.Request.Method))
}

// call is one request that passed the guard.
type call struct {
	*gin.Context
	body      []byte // the whole body: bounded, JSON by its type, not too deep
	reserved  int64  // bytes counted for the body
	requester string // address and program of who asks
}

// ctx ends when the client is gone or the server stops. It outlives the gin context, which is used again.
func (c *call) ctx() context.Context { return c.Request.Context() }
