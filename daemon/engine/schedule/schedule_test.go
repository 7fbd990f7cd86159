package schedule_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/fake"
	"github.com/shoal-p2p/shoal/daemon/engine/schedule"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// setup is a scheduler to start over a fake model.
type setup struct {
	model   fake.Config
	spec    engine.Spec
	windows int
	config  schedule.Config
}

// bench is a running scheduler.
type bench struct {
	*schedule.Scheduler
	windows []*fake.Window
	ended   chan struct{} // closed when Run has returned
	err     error         // what Run returned
}

// start runs a scheduler until the test ends.
func start(t testing.TB, s setup) *bench {
	t.Helper()
	windows, err := fake.Cut(s.model, s.spec, max(1, s.windows))
	if err != nil {
		t.Fatal(err)
	}
	s.config.Windows = windows
	scheduler, err := schedule.New(s.config)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{Scheduler: scheduler, ended: make(chan struct{})}
	for _, w := range windows {
		b.windows = append(b.windows, w.(*fake.Window))
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer close(b.ended)
		b.err = scheduler.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-b.ended
		for _, w := range windows {
			_ = w.Close()
		}
	})
	return b
}

// result is what came of a job.
type result struct {
	samples []engine.Sample
	finish  engine.Finish
	err     error
}

func (r result) text() string {
	var text strings.Builder
	for _, s := range r.samples {
		text.Write(s.Piece)
	}
	return text.String()
}

func (r result) tokens() []int32 {
	var tokens []int32
	for _, s := range r.samples {
		tokens = append(tokens, s.Token)
	}
	return tokens
}

func generate(ctx context.Context, s *schedule.Scheduler, job engine.Job) (r result) {
	r.finish, r.err = s.Generate(ctx, job, func(sample engine.Sample) error {
		r.samples = append(r.samples, sample)
		return nil
	})
	return r
}

func job(requester, prompt string, tokens int) engine.Job {
	return engine.Job{Requester: requester, Prompt: fake.Tokens(prompt), MaxTokens: tokens}
}

// alone is what a job gives with the whole model to itself and nothing cached.
func alone(t testing.TB, model fake.Config, job engine.Job) result {
	t.Helper()
	model.StepTime, model.RowTime, model.BeforeStep = 0, 0, nil
	b := start(t, setup{model: model, spec: engine.Spec{Context: 1 << 16, Sequences: 1}})
	defer b.Close()
	return generate(context.Background(), b.Scheduler, job)
}

func wantCode(t *testing.T, err error, code core.Code) {
	t.Helper()
	if core.CodeOf(err) != code {
		t.Errorf("error %v has code %q, want %q", err, core.CodeOf(err), code)
	}
}

func TestOneJobEndsByTokenOrByLength(t *testing.T) {
	model := fake.Config{Reply: func([]int32) []int32 { return fake.Tokens("hello") }}
	for windows := 1; windows <= 4; windows++ {
		b := start(t, setup{model: model, windows: windows})
		r := generate(t.Context(), b.Scheduler, job("a", "say hello", 50))
		if r.err != nil || r.text() != "hello" || r.finish.Reason != core.FinishStop || !r.samples[5].End {
			t.Errorf("%d windows: got %q, %+v, %v", windows, r.text(), r.finish, r.err)
		}
		r = generate(t.Context(), b.Scheduler, job("a", "say hello", 3))
		if r.err != nil || r.text() != "hel" || r.finish.Reason != core.FinishLength {
			t.Errorf("%d windows: got %q, %+v, %v", windows, r.text(), r.finish, r.err)
		}
	}
}

func TestWindowsDoNotChangeTheReply(t *testing.T) {
	want := alone(t, fake.Config{}, job("a", "what is a shoal?", 40))
	for windows := 1; windows <= 4; windows++ {
		b := start(t, setup{windows: windows})
		if r := generate(t.Context(), b.Scheduler, job("a", "what is a shoal?", 40)); r.err != nil || r.text() != want.text() {
			t.Errorf("%d windows: got %q, %v; want %q", windows, r.text(), r.err, want.text())
		}
	}
}

func TestLongPromptIsReadInChunks(t *testing.T) {
	long := job("a", strings.Repeat("many fish swim together. ", 60), 20)
	want := alone(t, fake.Config{}, long)
	for windows := 1; windows <= 4; windows++ {
		b := start(t, setup{windows: windows, spec: engine.Spec{BatchRows: 100}})
		if r := generate(t.Context(), b.Scheduler, long); r.err != nil || !slices.Equal(r.tokens(), want.tokens()) {
			t.Errorf("%d windows: got %q, %v; want %q", windows, r.text(), r.err, want.text())
		}
	}
}

func TestJobsTogetherGiveWhatEachGivesAlone(t *testing.T) {
	prompts := []string{"one", "two fish", "a third, rather longer prompt", "4", "five!", "sixth", "7th", "the eighth", "ninth", "ten"}
	for windows := 1; windows <= 4; windows++ {
		b := start(t, setup{windows: windows, spec: engine.Spec{Sequences: 4, BatchRows: 16}})
		got := make([]result, len(prompts))
		var group sync.WaitGroup
		for i, prompt := range prompts {
			group.Go(func() { got[i] = generate(t.Context(), b.Scheduler, job("a", prompt, 30)) })
		}
		group.Wait()
		for i, prompt := range prompts {
			if want := alone(t, fake.Config{}, job("a", prompt, 30)); got[i].err != nil || got[i].text() != want.text() {
				t.Errorf("%d windows, %q: got %q, %v; want %q", windows, prompt, got[i].text(), got[i].err, want.text())
			}
		}
	}
}

func TestEmbedGivesAVectorPerToken(t *testing.T) {
	for windows := 1; windows <= 3; windows++ {
		b := start(t, setup{windows: windows, spec: engine.Spec{BatchRows: 16}})
		long, err := b.Embed(t.Context(), fake.Tokens(strings.Repeat("x", 40)))
		if err != nil || len(long) != 40 {
			t.Fatalf("%d windows: %d vectors, %v", windows, len(long), err)
		}
		short, err := b.Embed(t.Context(), fake.Tokens("xxx"))
		if err != nil || !slices.Equal(short[2], long[2]) {
			t.Errorf("%d windows: the third vector depends on what follows", windows)
		}
		if used := b.Stats().KVUsed; used != 0 {
			t.Errorf("%d windows: %d tokens are left in the KV cache", windows, used)
		}
	}
}

func TestBadJobsAreRefused(t *testing.T) {
	b := start(t, setup{spec: engine.Spec{Context: 32}})
	for name, c := range map[string]struct {
		job  engine.Job
		code core.Code
	}{
		"empty":      {job("a", "", 5), core.CodeInvalidRequest},
		"no tokens":  {job("a", "x", 0), core.CodeInvalidRequest},
		"too long":   {job("a", strings.Repeat("x", 32), 5), core.CodeContextTooLong},
		"no token":   {engine.Job{Prompt: []int32{fake.Vocabulary}, MaxTokens: 1}, core.CodeInvalidRequest},
		"bad":        {engine.Job{Prompt: []int32{-1}, MaxTokens: 1}, core.CodeInvalidRequest},
		"no grammar": {engine.Job{Prompt: []int32{1}, MaxTokens: 1, Sampler: engine.Sampler{Sampling: core.Sampling{Grammar: "x ::= y"}}}, core.CodeInvalidRequest},
	} {
		t.Run(name, func(t *testing.T) { wantCode(t, generate(t.Context(), b.Scheduler, c.job).err, c.code) })
	}
	if r := generate(t.Context(), b.Scheduler, job("a", strings.Repeat("x", 31), 5)); r.err != nil || len(r.samples) != 1 {
		t.Errorf("the longest prompt gives %d tokens, %v", len(r.samples), r.err)
	}
}
