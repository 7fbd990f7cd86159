package ui_test

import (
	"encoding/json"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/shoal-p2p/shoal/assets"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/ui/model"
	"github.com/shoal-p2p/shoal/ui/page"
)

var update = flag.Bool("update", false, "write the words of the code into assets/translations/en.json")

// sayers are the functions whose first text is shown to the user.
var sayers = []string{"L", "N", "T", "say"}

// wordsOfCode are the texts in the code of the screen that have a translation, and those that the code makes words of.
func wordsOfCode(t *testing.T) map[string]bool {
	t.Helper()
	words := map[string]bool{}
	for _, dir := range []string{".", filepath.Join("..", "app")} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			return collect(path, words)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range []model.State{model.StateStarting, model.StateReady, model.StateBusy, model.StateLoading, model.StatePaused, model.StateWarning} {
		words[string(s)] = true
	}
	for _, f := range []model.Fit{model.FitRuns, model.FitFriends, model.FitSlow, model.FitTooBig, model.FitNotNow} {
		words[string(f)] = true
	}
	for _, r := range []model.Reach{model.ReachHere, model.ReachNear, model.ReachDirect, model.ReachRelay} {
		words[string(r)] = true
	}
	for _, n := range []page.Name{page.Home, page.Chat, page.Models, page.Friends, page.Settings} {
		words[string(n)] = true
	}
	for _, code := range []core.Code{
		core.CodeInvalidRequest, core.CodeContextTooLong, core.CodeUnsupported, core.CodeCorrupt, core.CodeTooLarge,
		core.CodeUnauthorized, core.CodeForbidden, core.CodeNotFound, core.CodeConflict, core.CodeRateLimited,
		core.CodeOverloaded, core.CodeCancelled, core.CodeNoRuntime, core.CodeNotReady, core.CodeEngineCrashed,
		core.CodeInsufficientRAM, core.CodeDiskFull, core.CodeTimeout, core.CodeInviteExpired, core.CodeInviteUsed, core.CodeInviteRevoked, core.CodeInternal,
	} {
		report := core.ReportOf(code)
		words[report.Text] = true
		if report.Hint != "" {
			words[report.Hint] = true
		}
	}
	return words
}

// collect adds the texts of one file.
func collect(path string, words map[string]bool) error {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			if slices.Contains(sayers, calledName(n.Fun)) && len(n.Args) > 0 {
				addText(n.Args[0], words)
			}
		}
		return true
	})
	return nil
}

func calledName(fun ast.Expr) string {
	switch fun := fun.(type) {
	case *ast.Ident:
		return fun.Name
	case *ast.SelectorExpr:
		return fun.Sel.Name
	}
	return ""
}

func addText(e ast.Expr, words map[string]bool) {
	if lit, ok := e.(*ast.BasicLit); ok && lit.Kind == token.STRING {
		if text, err := strconv.Unquote(lit.Value); err == nil {
			words[text] = true
		}
	}
}

func TestEveryWordIsInTheTranslations(t *testing.T) {
	words := wordsOfCode(t)
	if len(words) < 100 {
		t.Fatalf("only %d texts were found: the test looks in the wrong place", len(words))
	}
	if *update {
		all := map[string]string{}
		for w := range words {
			all[w] = w
		}
		var out strings.Builder
		enc := json.NewEncoder(&out)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		if err := enc.Encode(all); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join("..", "assets", "translations", "en.json"), []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		t.Skip("written; run again without -update")
	}
	files, err := assets.Translations.ReadDir("translations")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		var have map[string]string
		b, err := assets.Translations.ReadFile("translations/" + f.Name())
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b, &have); err != nil {
			t.Fatalf("%s: %v", f.Name(), err)
		}
		for _, w := range slices.Sorted(maps.Keys(words)) {
			if have[w] == "" {
				t.Errorf("%s lacks %q; `go test ./ui -update` writes en.json", f.Name(), w)
			}
		}
		for w, said := range have {
			if !words[w] {
				t.Errorf("%s has %q, which nothing shows", f.Name(), w)
			}
			if placeholders(w) != placeholders(said) {
				t.Errorf("%s fills in other values in %q than in %q", f.Name(), said, w)
			}
		}
	}
}

// placeholders are the values a text fills in, in alphabetical order.
func placeholders(text string) string {
	var names []string
	for _, part := range strings.Split(text, "{{.")[1:] {
		name, _, _ := strings.Cut(part, "}}")
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// Words of the trade say nothing to who wants to chat; they belong to the API and the command line.
func TestWordsAreForEveryone(t *testing.T) {
	for w := range wordsOfCode(t) {
		for _, word := range strings.Fields(strings.ToLower(strings.Map(letters, w))) {
			if slices.Contains([]string{"node", "nodes", "peer", "peers", "shard", "shards", "layer", "layers", "daemon", "endpoint"}, word) {
				t.Errorf("%q says %q", w, word)
			}
		}
	}
}

func letters(r rune) rune {
	if r == '`' || r == '.' || r == ',' || r == ':' || r == ';' || r == '?' {
		return ' '
	}
	return r
}

func TestTranslationsAreClean(t *testing.T) {
	for w := range wordsOfCode(t) {
		if !utf8.ValidString(w) || model.Clean(w) != w || strings.TrimSpace(w) != w {
			t.Errorf("%q has characters that cannot be seen", w)
		}
	}
}
