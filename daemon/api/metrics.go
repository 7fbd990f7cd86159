package api

import (
	"context"
	"math"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/core"
)

// metrics are what /metrics reports. No label names a model, a peer or a caller.
type metrics struct {
	handler    http.Handler
	requests   *prometheus.CounterVec
	latency    *prometheus.HistogramVec
	firstToken prometheus.Histogram
	perToken   prometheus.Histogram
	tokens     *prometheus.CounterVec
	active     prometheus.Gauge
}

func newMetrics(node Node) *metrics {
	seconds := []float64{0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30, 60}
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "shoal_requests_total", Help: "Requests by route and outcome.",
		}, []string{"route", "outcome"}),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "shoal_request_duration_seconds", Help: "Time from a request's arrival to the end of its reply.", Buckets: seconds,
		}, []string{"route"}),
		firstToken: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "gen_ai_server_time_to_first_token_seconds", Help: "Time from a request's arrival to its first token.", Buckets: seconds,
		}),
		perToken: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "gen_ai_server_time_per_output_token_seconds", Help: "Mean time per token after the first.", Buckets: seconds,
		}),
		tokens: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "shoal_tokens_total", Help: "Tokens read and written by finished requests.",
		}, []string{"kind"}),
		active: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "shoal_active_generations", Help: "Replies being generated.",
		}),
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(m.requests, m.latency, m.firstToken, m.perToken, m.tokens, m.active)
	registry.MustRegister(nodeGauges(node)...)
	m.handler = promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
	return m
}

// nodeGauges are figures that the node itself keeps.
func nodeGauges(node Node) []prometheus.Collector {
	gauge := func(name, help string, value func(admin.Stats) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 {
			stats, err := node.Stats(context.Background())
			if err != nil {
				return math.NaN()
			}
			return value(stats)
		})
	}
	return []prometheus.Collector{
		gauge("shoal_models_loaded", "Models in memory.", func(s admin.Stats) float64 { return float64(len(s.LoadedModels)) }),
		gauge("shoal_shards_hosted", "Shards on this disk.", func(s admin.Stats) float64 { return float64(s.HostedShards) }),
		gauge("shoal_peers_connected", "Connected peers.", func(s admin.Stats) float64 { return float64(s.Peers) }),
	}
}

// request counts one finished request. Paths that are no routes share one label.
func (m *metrics) request(r route, err error, took time.Duration) {
	name := r.path
	if name == "" {
		name = "none"
	}
	outcome := "ok"
	switch core.CodeOf(err) {
	case "":
	case core.CodeCancelled:
		outcome = "cancelled"
	default:
		outcome = "error"
	}
	m.requests.WithLabelValues(name, outcome).Inc()
	m.latency.WithLabelValues(name).Observe(took.Seconds())
}

// generation measures one reply; the zero first means that no token has come yet.
type generation struct {
	began, first time.Time
	m            *metrics
}

func (m *metrics) begin() *generation {
	m.active.Inc()
	return &generation{began: time.Now(), m: m}
}

// token notes a piece of the reply.
func (g *generation) token() {
	if g.first.IsZero() {
		g.first = time.Now()
		g.m.firstToken.Observe(g.first.Sub(g.began).Seconds())
	}
}

// end closes the measurement; reply is nil when there was an error.
func (g *generation) end(reply *core.Reply) {
	g.m.active.Dec()
	if reply == nil {
		return
	}
	g.m.tokens.WithLabelValues("prompt").Add(float64(reply.Usage.PromptTokens))
	g.m.tokens.WithLabelValues("completion").Add(float64(reply.Usage.CompletionTokens))
	if n := reply.Usage.CompletionTokens - 1; n > 0 && !g.first.IsZero() {
		g.m.perToken.Observe(time.Since(g.first).Seconds() / float64(n))
	}
}
