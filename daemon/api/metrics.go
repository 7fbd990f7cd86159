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
	handler  http.Handler
	requests *prometheus.CounterVec
	latency  *prometheus.HistogramVec
}

func newMetrics(node Node, measures func() admin.Measures) *metrics {
	seconds := []float64{0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30, 60}
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "shoal_requests_total", Help: "Requests by route and outcome.",
		}, []string{"route", "outcome"}),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "shoal_request_duration_seconds", Help: "Time from a request's arrival to the end of its reply.", Buckets: seconds,
		}, []string{"route"}),
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(m.requests, m.latency)
	if measures != nil {
		registry.MustRegister(newGenerations(measures))
	}
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

// generations are the figures of replies, which are counted where they are made.
type generations struct {
	measures                              func() admin.Measures
	firstToken, perToken, tokens, running *prometheus.Desc
}

func newGenerations(measures func() admin.Measures) *generations {
	describe := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	return &generations{
		measures:   measures,
		firstToken: describe("gen_ai_server_time_to_first_token_seconds", "Time from a request's arrival to its first token."),
		perToken:   describe("gen_ai_server_time_per_output_token_seconds", "Mean time per token after the first."),
		tokens:     describe("shoal_tokens_total", "Tokens read and written by finished requests.", "kind"),
		running:    describe("shoal_active_generations", "Replies being generated."),
	}
}

// Describe implements prometheus.Collector.
func (g *generations) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{g.firstToken, g.perToken, g.tokens, g.running} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (g *generations) Collect(to chan<- prometheus.Metric) {
	m := g.measures()
	to <- prometheus.MustNewConstHistogram(g.firstToken, m.FirstToken.Count, m.FirstToken.Sum, m.FirstToken.Buckets)
	to <- prometheus.MustNewConstHistogram(g.perToken, m.PerToken.Count, m.PerToken.Sum, m.PerToken.Buckets)
	to <- prometheus.MustNewConstMetric(g.tokens, prometheus.CounterValue, float64(m.PromptTokens), "prompt")
	to <- prometheus.MustNewConstMetric(g.tokens, prometheus.CounterValue, float64(m.CompletionTokens), "completion")
	to <- prometheus.MustNewConstMetric(g.running, prometheus.GaugeValue, float64(m.Running))
}
