package draft_test

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/draft"
	"github.com/shoal-p2p/shoal/daemon/engine/fake"
	"github.com/shoal-p2p/shoal/daemon/engine/schedule"
)

// start runs a small model until the test ends.
func start(t *testing.T, model fake.Config, spec engine.Spec) (*schedule.Scheduler, *fake.Window) {
	t.Helper()
	windows, err := fake.Cut(model, spec, 1)
	if err != nil {
		t.Fatal(err)
	}
	s, err := schedule.New(schedule.Config{Windows: windows})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = s.Run(context.Background())
	}()
	t.Cleanup(func() {
		_ = s.Close()
		<-ended
		_ = windows[0].Close()
	})
	return s, windows[0].(*fake.Window)
}

func guesser(r engine.Runner, log *bytes.Buffer) *draft.Model {
	return draft.New(draft.Config{
		Open: func(context.Context) (engine.Runner, func(), error) { return r, func() {}, nil },
		Name: func() string { return "small" }, Log: slog.New(slog.NewTextHandler(log, nil)),
	})
}

// TestGuessesFollowTheText asks for more and more of a text of which some guesses were wrong: the model reads only what
// is new, and says what it says when it reads all at once.
func TestGuessesFollowTheText(t *testing.T) {
	model := fake.Config{EndOdds: -1}
	s, w := start(t, model, engine.Spec{})
	m := guesser(s, &bytes.Buffer{})
	text := fake.Tokens("a text to go on with")
	for round := range 10 {
		got, err := m.Guess(t.Context(), "reply", text, 6)
		if err != nil {
			t.Fatal(err)
		}
		other, _ := start(t, model, engine.Spec{})
		if want, _ := guesser(other, &bytes.Buffer{}).Guess(t.Context(), "reply", text, 6); len(got) != 6 || !slices.Equal(got, want) {
			t.Fatalf("round %d: got %v, want %v", round, got, want)
		}
		text = append(append(text, got[:round%6]...), 'x') // the last of them was wrong
	}
	if stats := s.Stats(); stats.Cached < stats.TokensIn*9/10-20 {
		t.Errorf("%d of %d tokens were there already", stats.Cached, stats.TokensIn)
	}
	if other, _ := m.Guess(t.Context(), "another reply", text, 1); len(other) != 1 || len(w.Tokens(1)) == 0 {
		t.Error("two replies share what was read")
	}
}

func TestEndIsNoGuess(t *testing.T) {
	s, _ := start(t, fake.Config{Reply: func([]int32) []int32 { return fake.Tokens("no") }}, engine.Spec{})
	if got, err := guesser(s, &bytes.Buffer{}).Guess(t.Context(), "x", fake.Tokens("?"), 9); err != nil || !slices.Equal(got, fake.Tokens("no")) {
		t.Errorf("got %v, %v", got, err)
	}
}

// TestLateGuessIsCut ends a guess before it is complete.
func TestLateGuessIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := start(t, fake.Config{StepTime: 10 * time.Millisecond, EndOdds: -1}, engine.Spec{})
		m := guesser(s, &bytes.Buffer{})
		ctx, cancel := context.WithTimeout(t.Context(), 35*time.Millisecond)
		defer cancel()
		got, err := m.Guess(ctx, "x", fake.Tokens("?"), 9)
		if err != nil || len(got) != 3 || m.Name() == "" {
			t.Errorf("got %v, %v, name: %q", got, err, m.Name())
		}
	})
}

// TestModelInUseIsNotAsked keeps guesses out of the way of who uses the small model for itself.
func TestModelInUseIsNotAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := start(t, fake.Config{StepTime: 10 * time.Millisecond, EndOdds: -1}, engine.Spec{})
		m := guesser(s, &bytes.Buffer{})
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_, _ = s.Generate(t.Context(), engine.Job{Prompt: fake.Tokens("mine"), MaxTokens: 10}, func(engine.Sample) error { return nil })
		}()
		<-time.After(50 * time.Millisecond)
		if _, err := m.Guess(t.Context(), "x", fake.Tokens("?"), 3); core.CodeOf(err) != core.CodeOverloaded {
			t.Errorf("while it is in use: %v", err)
		}
		<-ended
		if got, err := m.Guess(t.Context(), "x", fake.Tokens("?"), 3); err != nil || len(got) != 3 {
			t.Errorf("after that: %v, %v", got, err)
		}
	})
}

// TestFailedModelRests takes the small model away: it is left alone for a while, and the reason is logged once.
func TestFailedModelRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s, w := start(t, fake.Config{}, engine.Spec{Context: 64})
		m := guesser(s, &log)
		if _, err := m.Guess(t.Context(), "x", make([]int32, 65), 1); core.CodeOf(err) != core.CodeContextTooLong || m.Name() == "" {
			t.Errorf("a text that is too long: %v, name: %q", err, m.Name())
		}
		w.Crash()
		for range 3 {
			if _, err := m.Guess(t.Context(), "x", fake.Tokens("?"), 1); err == nil || m.Name() != "" || m.Failure() == "" {
				t.Fatalf("after its end: %v, name: %q", err, m.Name())
			}
			<-time.After(time.Minute)
			if m.Name() == "" || m.Failure() != "" {
				t.Fatal("it is not tried again")
			}
		}
		if n := strings.Count(log.String(), "does not guess"); n < 1 || n > 2 { // it ends, and has ended
			t.Errorf("logged %d times: %s", n, log.String())
		}
	})
}
