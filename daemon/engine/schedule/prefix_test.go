package schedule_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/fake"
)

// turn runs a job and checks its reply and how much of its prompt was cached.
func turn(t *testing.T, b *bench, model fake.Config, requester, prompt string, cached int) string {
	t.Helper()
	request := job(requester, prompt, 20)
	r := generate(t.Context(), b.Scheduler, request)
	if want := alone(t, model, request); r.err != nil || !slices.Equal(r.tokens(), want.tokens()) {
		t.Errorf("%s %q: got %q, %v; want %q", requester, prompt, r.text(), r.err, want.text())
	}
	if r.finish.Cached != cached {
		t.Errorf("%s %q: %d tokens were cached, want %d", requester, prompt, r.finish.Cached, cached)
	}
	return prompt + r.text()
}

func TestPrefixIsReusedByItsRequesterOnly(t *testing.T) {
	model := fake.Config{EndOdds: -1}
	for windows := 1; windows <= 3; windows++ {
		b := start(t, setup{model: model, windows: windows})
		said := turn(t, b, model, "anna", "hello there, ", 0)
		turn(t, b, model, "ben", said+" and then?", 0)
		turn(t, b, model, "", said+" and then?", 0)
		turn(t, b, model, "", said+" and then?", 0)
		// The last token of a reply is never run, so it is not cached.
		turn(t, b, model, "anna", said+" and then?", len(said)-1)
		// The same prompt again: one token is left to run.
		turn(t, b, model, "anna", said+" and then?", len(said)+9)
		turn(t, b, model, "anna", "goodbye", 0)
		if stats := b.Stats(); stats.PrefixHits != 2 || stats.Cached != int64(2*len(said)+8) {
			t.Errorf("stats are %+v", stats)
		}
	}
}

func TestLongSharedBeginningIsCopied(t *testing.T) {
	model := fake.Config{EndOdds: -1}
	system := strings.Repeat("you are a fish. ", 4)
	for windows := 1; windows <= 3; windows++ {
		b := start(t, setup{model: model, windows: windows})
		story := turn(t, b, model, "anna", system+strings.Repeat("tell me a long story. ", 10), 0)
		turn(t, b, model, "anna", system+"who are you?", len(system))
		// The story is still there.
		turn(t, b, model, "anna", story+" go on", len(story)-1)
	}
}

func TestUntrimmableModelReusesWholeSequencesOnly(t *testing.T) {
	model := fake.Config{EndOdds: -1, NoTrim: true}
	b := start(t, setup{model: model, windows: 2})
	said := turn(t, b, model, "anna", "hello there, ", 0)
	turn(t, b, model, "anna", "hello there, you", 0)
	turn(t, b, model, "anna", said+" and then?", len(said)-1)
	turn(t, b, model, "anna", said+" and then?", 0)
}

func TestCachedPrefixesMakeRoom(t *testing.T) {
	model := fake.Config{EndOdds: -1}
	b := start(t, setup{model: model, spec: engine.Spec{Context: 200, Sequences: 8}})
	for i := range 8 {
		turn(t, b, model, "anna", strings.Repeat(string(rune('a'+i)), 60), 0)
	}
	// The last two are left: 79 tokens each.
	turn(t, b, model, "anna", strings.Repeat("h", 60)+"!", 60)
	turn(t, b, model, "anna", strings.Repeat("a", 60)+"!", 0)
	if stats := b.Stats(); stats.Evictions != 7 || stats.KVUsed > 200 {
		t.Errorf("stats are %+v", stats)
	}
}
