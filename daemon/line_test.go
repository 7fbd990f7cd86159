package daemon

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/fake"
)

// gated gives the node an engine that computes nothing until the channel that is returned is closed.
func gated(cfg *Config) chan struct{} {
	gate := make(chan struct{})
	cfg.Engine = fake.New(fake.Config{Layers: layers, BeforeStep: func(_ *fake.Window, b *engine.Batch) error {
		if len(b.Rows) > 0 {
			<-gate
		}
		return nil
	}})
	return gate
}

// ask sends a prompt in the name of a program and returns the status.
func (h *house) ask(program string) int {
	body := `{"model":"demo","prompt":"hi","max_tokens":1}`
	req, err := http.NewRequestWithContext(h.t.Context(), http.MethodPost, h.base+"/v1/completions", strings.NewReader(body))
	if err != nil {
		return 0
	}
	req.Header.Set("Authorization", "Bearer "+h.APIKey())
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", program)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		return 0
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	return res.StatusCode
}

// inLine waits until so many requests run or wait.
func (h *house) inLine(n int) {
	h.t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		running, waiting := h.router.Requests()
		if running+waiting >= n {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			h.t.Fatalf("%d requests run and %d wait, want %d in all", running, waiting, n)
		}
	}
}

// runAtOnce sends so many requests to a gated engine, and tells how many of them run; then it opens the gate.
func (h *house) runAtOnce(n int) int {
	h.t.Helper()
	var asking sync.WaitGroup
	for range n {
		asking.Go(func() {
			if status := h.ask("test"); status != 200 {
				h.t.Errorf("status %d", status)
			}
		})
	}
	h.inLine(n)
	running, _ := h.router.Requests()
	close(h.gate)
	asking.Wait()
	return running
}

// TestOneProgramDoesNotHoldUpTheNext sends 500 requests of one program over HTTP, and then one of another program of the
// same PC and user, and counts how many are answered before it.
func TestOneProgramDoesNotHoldUpTheNext(t *testing.T) {
	cfg := setup(t, t.TempDir())
	gate := gated(&cfg)
	h := run(t, cfg)
	const mayWait = 512 - 512/4 - (512-512/4)/4 // places of one program
	answers := make(chan string, 501)
	var asking sync.WaitGroup
	refused := make(chan struct{}, 500)
	for range 500 {
		asking.Go(func() {
			switch status := h.ask("busy"); status {
			case 200:
				answers <- "busy"
			case 429:
				refused <- struct{}{}
			default:
				t.Errorf("status %d", status)
			}
		})
	}
	for range 500 - 10 - mayWait {
		<-refused
	}
	h.inLine(10 + mayWait)
	asking.Go(func() {
		if status := h.ask("next"); status != 200 {
			t.Errorf("the next program got %d", status)
		}
		answers <- "next"
	})
	h.inLine(10 + mayWait + 1)
	close(gate)
	before := 0
	for <-answers != "next" {
		before++
	}
	asking.Wait()
	t.Logf("%d answers before it", before)
	if before > 150 { // ten ran already; some are answered while its own answer is on the way
		t.Errorf("%d requests of the busy program were answered first", before)
	}
}

// TestRequestIsCountedOnce holds what a monitor reads against what the stats say.
func TestRequestIsCountedOnce(t *testing.T) {
	h := run(t, setup(t, t.TempDir()))
	if status := h.ask("test"); status != 200 {
		t.Fatalf("status %d", status)
	}
	res, err := http.Get(h.base + "/metrics")
	must(t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	must(t, err)
	s, err := h.Stats(t.Context())
	must(t, err)
	for _, want := range []string{
		"gen_ai_server_time_to_first_token_seconds_count 1\n",
		fmt.Sprintf("shoal_tokens_total{kind=\"completion\"} %d\n", s.Inference.TokensGenerated),
		"shoal_active_generations 0\n",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if s.Inference.TokensGenerated != 1 || s.Inference.TotalRequests != 1 {
		t.Errorf("stats: %+v", s.Inference)
	}
}
