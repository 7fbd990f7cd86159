package shoal_test

import (
	"fmt"
	"go/ast"
	"maps"
	"slices"
	"testing"
)

// What is good today may not grow. A limit that something has to break is not raised: the thing gets a row with its
// reason in allowances, and a row that is no longer needed must go.
const (
	maxFunctionLines = 60
	maxFileLines     = 470
	maxParameters    = 7
	maxMethods       = 30
	maxPackageLines  = 2000 // tests and generated files aside
	maxSkips         = 42   // calls of Skip, Skipf, SkipNow and Short in tests
	minTestShare     = 0.65 // lines of tests and of what only tests use, for each line of the product
)

// allowance is what one thing may have above its budget.
type allowance struct {
	name   string // of a folder, file, type (folder.Type) or function (file:function)
	most   int
	reason string
}

// allowances name what may be larger, how large, and why it reads better so.
var allowances = []allowance{
	{"daemon/shard/tree_test.go:refused", 8, "it is about to be split"},
	{"daemon/api.Server", 72, "it is about to be split"},
	{"daemon/api/apitest.Node", 58, "it is about to be split"},
	{"daemon/client.Client", 58, "it is about to be split"},
	{"daemon/engine/llama.Window", 34, "it is about to be split"},
	{"daemon/engine/schedule.Scheduler", 47, "it is about to be split"},
	{"daemon/library.Library", 54, "it is about to be split"},
	{"daemon/memory.Memory", 55, "it is about to be split"},
	{"daemon/pipeline.Pipe", 34, "it is about to be split"},
	{"daemon/router.Router", 36, "it is about to be split"},
	{"daemon/store.Store", 40, "it is about to be split"},
	{"daemon/swarm.Swarm", 45, "it is about to be split"},
	{"daemon/swarm.session", 88, "it is about to be split"},
	{"ui/page.Shell", 42, "it is about to be split"},
	{"ui/uitest.Backend", 40, "it stands in for every port of the screen"},
	{"daemon/api", 2900, "it is about to be split"},
	{"daemon/engine/llama", 2300, "it is about to be split"},
	{"daemon/pipeline", 3900, "it is about to be split"},
	{"daemon/shard", 3100, "it is about to be split"},
	{"daemon/swarm", 4700, "it is about to be split"},
	{"daemon/transfer", 2200, "it is about to be split"},
	{"ui/page", 2600, "it is about to be split"},
	{"ui/widget", 2700, "it is about to be split"},
}

// measure is one figure of the tree that has a budget.
type measure struct {
	name  string
	value int
	limit int
	unit  string
}

func TestBudgets(t *testing.T) {
	all := sources(t)
	needed := make(map[string]bool)
	for _, m := range slices.Concat(functionSizes(all), fileSizes(all), typeSizes(all), packageSizes(all)) {
		if m.value <= m.limit {
			continue
		}
		row := slices.IndexFunc(allowances, func(a allowance) bool { return a.name == m.name })
		switch {
		case row < 0:
			t.Errorf("%s has %d %s, at most %d: split it by what it does", m.name, m.value, m.unit, m.limit)
		case m.value > allowances[row].most:
			t.Errorf("%s has %d %s, at most %d although %s", m.name, m.value, m.unit, allowances[row].most, allowances[row].reason)
		}
		needed[m.name] = true
	}
	for _, a := range allowances {
		if !needed[a.name] {
			t.Errorf("%s keeps its budget: its row can go", a.name)
		}
	}
}

// span returns the lines that a node takes.
func (s source) span(n ast.Node) int {
	return s.files.Position(n.End()).Line - s.files.Position(n.Pos()).Line + 1
}

func functionSizes(all []source) []measure {
	var out []measure
	for _, s := range all {
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || s.generated {
				continue
			}
			name := s.path + ":" + f.Name.Name
			if !s.test {
				out = append(out, measure{name, s.span(f), maxFunctionLines, "lines"})
			}
			out = append(out, measure{name, f.Type.Params.NumFields(), maxParameters, "parameters"})
		}
	}
	return out
}

func fileSizes(all []source) []measure {
	var out []measure
	for _, s := range all {
		if !s.generated && !s.test {
			out = append(out, measure{s.path, s.lines(), maxFileLines, "lines"})
		}
	}
	return out
}

func typeSizes(all []source) []measure {
	methods := make(map[string]int)
	for _, s := range all {
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv != nil && !s.test && !s.generated {
				methods[s.folder+"."+receiver(f)]++
			}
		}
	}
	var out []measure
	for _, name := range slices.Sorted(maps.Keys(methods)) {
		out = append(out, measure{name, methods[name], maxMethods, "methods"})
	}
	return out
}

// receiver returns the name of the type that a method belongs to.
func receiver(f *ast.FuncDecl) string {
	kind := f.Recv.List[0].Type
	for {
		switch k := kind.(type) {
		case *ast.StarExpr:
			kind = k.X
		case *ast.IndexExpr:
			kind = k.X
		case *ast.IndexListExpr:
			kind = k.X
		default:
			return fmt.Sprint(kind)
		}
	}
}

func packageSizes(all []source) []measure {
	lines := make(map[string]int)
	for _, s := range all {
		if !s.test && !s.generated {
			lines[s.folder] += s.lines()
		}
	}
	var out []measure
	for _, folder := range slices.Sorted(maps.Keys(lines)) {
		out = append(out, measure{folder, lines[folder], maxPackageLines, "lines"})
	}
	return out
}

// lines returns how long the file is.
func (s source) lines() int { return s.files.File(s.file.FileStart).LineCount() }

// TestSkipsDoNotGrow: a test that is skipped tells nothing, and looks like one that passed.
func TestSkipsDoNotGrow(t *testing.T) {
	skips := 0
	for _, s := range sources(t) {
		ast.Inspect(s.file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			if sel, ok := call.Fun.(*ast.SelectorExpr); ok && slices.Contains([]string{"Skip", "Skipf", "SkipNow", "Short"}, sel.Sel.Name) && (s.test || inTestHelper(s)) {
				skips++
			}
			return true
		})
	}
	if skips > maxSkips {
		t.Errorf("tests skip in %d places, at most %d: bring what the test needs, or fail", skips, maxSkips)
	}
	if skips < maxSkips-3 {
		t.Errorf("tests skip in %d places: lower the limit of %d", skips, maxSkips)
	}
}

// inTestHelper tells whether a file that is no test serves tests.
func inTestHelper(s source) bool { return slices.Contains(s.imports(), "testing") }

// TestTestsKeepUp: code that grows without tests is not held by them. What no program of app imports serves tests.
func TestTestsKeepUp(t *testing.T) {
	all := sources(t)
	product := reachable(all, "app", "app/shoald", "app/worker")
	code, tests := 0, 0
	for _, s := range all {
		switch {
		case s.generated || inside(s.folder, "packaging"):
		case s.test || !product[s.folder]:
			tests += s.lines()
		default:
			code += s.lines()
		}
	}
	share := float64(tests) / float64(code)
	t.Logf("%d lines of tests for %d of the product: %.3f", tests, code, share)
	if share < minTestShare {
		t.Errorf("%.3f lines of tests for each of the product, at least %.2f", share, minTestShare)
	}
}

// reachable returns the folders that some programs are made of.
func reachable(all []source, programs ...string) map[string]bool {
	imports := make(map[string][]string)
	for _, s := range all {
		for _, p := range s.imports() {
			if folder, own := ours(p); own && !s.test {
				imports[s.folder] = append(imports[s.folder], folder)
			}
		}
	}
	seen := make(map[string]bool)
	for next := programs; len(next) > 0; next = next[1:] {
		if !seen[next[0]] {
			seen[next[0]] = true
			next = append(next, imports[next[0]]...)
		}
	}
	return seen
}
