package main

import (
	"errors"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// atLeast is how many guards the lists held when this was written: none may be dropped without a word.
const atLeast = 186

const root = "../.."

// TestGuardsAreCurrent holds what make mutants would find only after a long run: every guard's text is still in its
// file, the mutant is Go, and a test of the name exists.
func TestGuardsAreCurrent(t *testing.T) {
	guards, err := readGuards("guards")
	if err != nil {
		t.Fatal(err)
	}
	if len(guards) < atLeast {
		t.Errorf("%d guards, there were %d", len(guards), atLeast)
	}
	for _, g := range guards {
		text, err := g.mutant(root)
		if err != nil {
			t.Errorf("%s/%s: %v", g.list, g.Name, err)
			continue
		}
		if _, err := parser.ParseFile(token.NewFileSet(), g.File, text, parser.SkipObjectResolution); err != nil {
			t.Errorf("%s/%s: the mutant is no Go: %v", g.list, g.Name, err)
		}
		if !testExists(t, g) {
			t.Errorf("%s/%s: no test in %s is named by %q", g.list, g.Name, g.Package, g.Run)
		}
	}
}

func testExists(t *testing.T, g guard) bool {
	t.Helper()
	run, err := regexp.Compile(strings.Split(g.Run, "/")[0])
	if err != nil {
		t.Fatalf("%s: %v", g.Name, err)
	}
	files, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(g.Package), "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range testName.FindAllStringSubmatch(string(text), -1) {
			if run.MatchString(name[1]) {
				return true
			}
		}
	}
	return false
}

var testName = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Example)\w*)\(`)

// TestTrial runs the tool on a small module of its own: a guard that a test holds, one that none holds, one whose loss
// hangs, one whose mutant does not compile, and one whose test fails anyway.
func TestTrial(t *testing.T) {
	folder := t.TempDir()
	for name, text := range map[string]string{
		"go.mod": "module guarded\n\ngo 1.26\n",
		"guarded.go": `package guarded

func size(n int) int {
	if n < 0 {
		return 0
	}
	if n > 9 {
		return 9
	}
	return n
}
`,
		"guarded_test.go": `package guarded

import "testing"

func TestNegative(t *testing.T) {
	if size(-1) != 0 {
		t.Error("negative")
	}
}

func TestHang(t *testing.T) {
	for size(-1) != 0 {
	}
}

func TestBroken(t *testing.T) { t.Error("broken") }

func TestSkipped(t *testing.T) { t.Skip() }
`,
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const low, high = "if n < 0 {", "if n > 9 {"
	for _, test := range []struct {
		name, old, new, run string
		want                verdict
	}{
		{"a held guard", low, "if false {", "TestNegative", killed},
		{"a guard that nothing holds", high, "if false {", "TestNegative", survived},
		{"a guard whose loss hangs", low, "if false {", "TestHang", hung},
		{"a mutant that does not compile", low, "if nothing {", "TestNegative", unsound},
		{"a test that fails anyway", low, "if false {", "TestBroken", unsound},
		{"a test that is skipped", low, "if false {", "TestSkipped", unsound},
		{"a test that is not there", low, "if false {", "TestNowhere", unsound},
		{"a text that is not there", "if n == 3 {", "if false {", "TestNegative", unsound},
	} {
		t.Run(test.name, func(t *testing.T) {
			tried := trial{root: folder, work: t.TempDir(), limit: 5 * time.Second, sound: make(map[string]error)}
			g := guard{Name: test.name, File: "guarded.go", Old: test.old, New: test.new, Package: ".", Run: test.run}
			if v, why := tried.try(t.Context(), g); v != test.want {
				t.Errorf("%s, want %s: %s", v, test.want, why)
			}
		})
	}
}

func TestReadGuardsRefuses(t *testing.T) {
	const whole = "[[guard]]\nname='a'\nfile='f'\nold='o'\nnew='n'\npackage='p'\nrun='r'\n"
	for name, text := range map[string]string{
		"a field left out": "[[guard]]\nname='a'\n",
		"an unknown field": whole + "colour='red'\n",
		"a name twice":     whole + whole,
		"no list":          "[[",
	} {
		folder := t.TempDir()
		if err := os.WriteFile(filepath.Join(folder, "list.toml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readGuards(folder); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

func TestMutantIsStale(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "f.go"), []byte("a a"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, g := range []guard{{File: "f.go", Old: "a"}, {File: "f.go", Old: "b"}, {File: "g.go", Old: "a"}} {
		if _, err := g.mutant(folder); !errors.Is(err, errStale) {
			t.Errorf("%+v: %v", g, err)
		}
	}
}
