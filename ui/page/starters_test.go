package page

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/shoal-p2p/shoal/daemon/admin"
)

// The demo must not be offered a question that it was not trained on.
func TestDemoKnowsItsStarters(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "..", "packaging", "demo", "questions.txt"))
	if err != nil {
		t.Fatal(err)
	}
	known := strings.Split(strings.ReplaceAll(string(b), "\r", ""), "\n")
	for _, q := range startersOf(admin.ModelInfo{ID: "shoal-demo"}) {
		if !slices.Contains(known, "Q: "+q.Key) {
			t.Errorf("the demo is asked %q, which it was not trained on", q.Key)
		}
	}
}
