// Package shoal_test holds what must stay true of the whole tree: who may import whom, which package owns which
// library, and the house rules that a machine can check. Every failure says why the rule is there.
package shoal_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/shoal-p2p/shoal"

// layer says what a folder may not import. only, if set, lists the folders of this module it may import besides its
// own; std tells that it may import nothing but the standard library.
type layer struct {
	folder string
	std    bool
	only   []string
	never  []string
	reason string
}

var layers = []layer{
	{folder: "daemon/core", std: true, only: []string{}, reason: "the words of the domain depend on nothing"},
	{folder: "daemon/admin", std: true, only: []string{"daemon/core"}, reason: "the shapes of the admin API are data, which the screen shares with the node"},
	{folder: "daemon/bell", std: true, only: []string{}, reason: "what wakes a loop knows no loop"},
	{folder: "daemon/gguf", only: []string{"daemon/core"}, reason: "the file format is pure"},
	{folder: "daemon/event", only: []string{"daemon/core", "daemon/bell"}, reason: "events know nobody who sends or reads them"},
	{folder: "daemon/atomicfile", only: []string{"daemon/core"}, reason: "a file written whole depends on nothing"},
	{folder: "daemon/config", only: []string{"daemon/core", "daemon/atomicfile"}, reason: "settings know nobody who uses them"},
	{folder: "daemon/plan", std: true, only: []string{"daemon/core"}, reason: "a plan is computed from what it is given and nothing else"},
	{folder: "daemon/secret", only: []string{"daemon/core", "daemon/atomicfile"}, reason: "secrets know nobody who uses them"},
	{folder: "daemon/hardware", only: []string{"daemon/core", "daemon/admin", "daemon/engine", "daemon/gguf"}, reason: "what this PC is, whoever asks"},
	{folder: "daemon/library", only: []string{"daemon/core", "daemon/admin", "daemon/config", "daemon/engine/arch", "daemon/event", "daemon/gguf", "daemon/hardware", "daemon/shard", "daemon/store"}, reason: "models on the disk know nobody who runs them"},
	{folder: "daemon/memory", only: []string{"daemon/core", "daemon/admin", "daemon/config", "daemon/engine", "daemon/hardware", "daemon/library", "daemon/store"}, reason: "models in memory know nobody who asks for them"},
	{folder: "daemon/identity", only: []string{"daemon/core", "daemon/atomicfile"}, reason: "who a node is depends on nothing that it does"},
	{folder: "daemon/store", only: []string{"daemon/core"}, reason: "the database knows nobody who asks it"},
	{folder: "daemon/shard", only: []string{"daemon/core", "daemon/atomicfile", "daemon/gguf", "daemon/engine/arch"}, reason: "the files of a model know no library that holds them"},
	{folder: "daemon/swarm", only: []string{"daemon/core", "daemon/admin", "daemon/bell", "daemon/identity", "daemon/secret", "daemon/store"}, reason: "the network knows nothing of models"},
	{folder: "daemon/transfer", only: []string{"daemon/core", "daemon/admin", "daemon/bell", "daemon/event", "daemon/gguf", "daemon/shard", "daemon/store", "daemon/swarm/wire"}, reason: "shards are fetched through ports, from whoever has them"},
	{folder: "daemon/engine", only: []string{"daemon/core", "daemon/bell", "daemon/gguf", "daemon/shard"}, reason: "computing knows nobody who asks for it"},
	{folder: "daemon/engine/arch", only: []string{"daemon/core"}, reason: "the table of model families is data"},
	{folder: "daemon/pipeline", only: []string{"daemon/core", "daemon/bell", "daemon/engine", "daemon/swarm/wire"}, reason: "a chain knows windows and streams, neither models on a disk nor requests"},
	{folder: "daemon/chat", only: []string{"daemon/core", "daemon/engine"}, reason: "texts become tokens and back wherever the model runs"},
	{folder: "daemon/client", only: []string{"daemon/core", "daemon/admin", "daemon/api/openai"}, reason: "a client knows the contract, not the node"},
	{folder: "daemon/api", only: []string{"daemon/core", "daemon/admin", "daemon/event"}, reason: "the API serves an interface, not the parts behind it"},
	{folder: "daemon/e2e", only: []string{"daemon/core", "daemon/admin", "daemon/client", "daemon/gguf/gguftest"}, reason: "a whole node is driven from outside"},
	{folder: "daemon/access", only: []string{"daemon/core", "daemon/atomicfile", "daemon/identity", "daemon/secret"}, reason: "how to reach a node is known without one"},
	{folder: "daemon/engine/schedule/speculate", only: []string{"daemon/core", "daemon/engine"}, reason: "what to guess is decided without a look at the schedule"},
	{folder: "daemon/engine/mean", std: true, only: []string{}, reason: "an average knows nothing of what is measured"},
	{folder: "daemon/engine/gbnf", only: []string{"daemon/core"}, reason: "what a grammar costs is known without an engine"},
	{folder: "daemon/engine/frame", only: []string{"daemon/core", "daemon/engine", "daemon/engine/half"}, reason: "the form of a batch is the same in whatever frame it travels"},
	{folder: "daemon/engine/runtime", only: []string{"daemon/core", "daemon/engine"}, reason: "finding and watching the libraries knows nothing of models or settings"},
	{folder: "daemon/chat/template", only: []string{"daemon/core"}, reason: "a template can reach nothing but its variables"},
	{folder: "daemon/chat/renderer", only: []string{"daemon/core", "daemon/chat/template"}, reason: "the process that renders holds nothing of the node"},
	{folder: "daemon/chat/reply", only: []string{"daemon/core"}, reason: "a reply is text, whoever wrote it"},
	{folder: "daemon/chat/grammar", only: []string{"daemon/core", "daemon/chat/reply"}, reason: "a grammar is made of schemas and notations alone"},
	{folder: "daemon/router", only: []string{"daemon/core", "daemon/admin", "daemon/memory", "daemon/library", "daemon/chat", "daemon/pipeline", "daemon/plan", "daemon/engine", "daemon/provider", "daemon/config"}, reason: "a request is taken its way without a look at the API or the wiring"},
	{folder: "daemon/control", only: []string{"daemon/access", "daemon/admin", "daemon/catalog", "daemon/config", "daemon/core", "daemon/engine/runtime", "daemon/event", "daemon/hardware", "daemon/library", "daemon/memory", "daemon/presence", "daemon/router", "daemon/secret", "daemon/store", "daemon/swarm", "daemon/transfer"}, reason: "what a user asks is answered by the parts, whoever asks"},
	{folder: "daemon/catalog", only: []string{"daemon/core", "daemon/bell", "daemon/admin", "daemon/library", "daemon/transfer", "daemon/store"}, reason: "which models there are is known without running any"},
	{folder: "daemon/presence", only: []string{"daemon/core", "daemon/bell", "daemon/hardware", "daemon/config"}, reason: "what is told of this node is gathered through ports"},
	{folder: "daemon/engine/worker", never: []string{"daemon/engine/llama"}, reason: "the node must start where libffi is absent; only shoal-worker links llama.cpp"},
	{folder: "daemon", only: []string{}, never: []string{"app", "ui", "packaging", "fyne.io"}, reason: "the daemon does not know it has a screen"},
	{folder: "ui", only: []string{"daemon/core", "daemon/bell", "daemon/admin", "assets"}, never: []string{"net/http", "fyne.io/fyne/v2/app"}, reason: "the screen does not know there is a network, and is drawn in tests without a display"},
	{folder: "app", only: []string{"daemon", "ui", "assets"}, reason: "the programs stand on top"},
	{folder: "app/shoald", never: []string{"ui", "fyne.io"}, reason: "the command line runs where there is no screen"},
	{folder: "app/worker", only: []string{"daemon/engine"}, reason: "the engine process computes and nothing else"},
	{folder: "assets", std: true, only: []string{}, reason: "assets are data"},
}

// owners name the folders that may import a library, tests aside. A library without a row may be imported nowhere.
var owners = []struct{ library, folders string }{
	{"fyne.io/fyne/v2", "ui app"},
	{"github.com/adrg/xdg", "daemon/config daemon app"},
	{"github.com/alecthomas/kong", "app/shoald"},
	{"github.com/ebitengine/purego", "daemon/engine/llama"},
	{"github.com/gin-gonic/gin", "daemon/api"},
	{"github.com/godbus/dbus/v5", "app"},
	{"github.com/gofrs/flock", "daemon app"},
	{"github.com/golang-migrate/migrate/v4", "daemon/store"},
	{"github.com/google/uuid", "daemon app"},
	{"github.com/gpustack/gguf-parser-go", "daemon/hardware"},
	{"github.com/gorilla/websocket", "daemon/api daemon/client"},
	{"github.com/hybridgroup/yzma", "daemon/engine/llama packaging/bench"},
	{"github.com/jupiterrider/ffi", "daemon/engine/llama"},
	{"github.com/libp2p", "daemon/swarm"},
	{"github.com/mattn/go-isatty", "app/shoald"},
	{"github.com/mattn/go-sqlite3", "daemon/store"},
	{"github.com/mitsuhiko/minijinja/minijinja-go/v2", "daemon/chat"},
	{"github.com/multiformats", "daemon/swarm"},
	{"github.com/openai/openai-go/v2", "daemon/api/goclient"},
	{"github.com/pelletier/go-toml/v2", "daemon/config packaging/mutants"},
	{"github.com/pressly/goose/v3", "daemon/store"},
	{"github.com/prometheus/client_golang", "daemon/api"},
	{"github.com/quic-go/quic-go", "daemon/swarm"},
	{"github.com/schollz/progressbar/v3", "app/shoald"},
	{"github.com/shirou/gopsutil/v4", "daemon/hardware"},
	{"github.com/zalando/go-keyring", "daemon/secret"},
	{"fyne.io/systray", "app"},
	{"golang.org/x", "daemon app"},
	{"google.golang.org/protobuf", "daemon/swarm daemon/transfer daemon/pipeline"},
	{"lukechampine.com/blake3", "daemon/shard"},
}

// llamaUsers are the folders whose programs link llama.cpp. A program that does dies at start where libffi is absent.
var llamaUsers = []string{"daemon/engine/llama", "app/worker", "packaging/bench"}

// source is one Go file of the tree.
type source struct {
	path   string // with slashes, from the root
	folder string
	test   bool
	file   *ast.File
	files  *token.FileSet // where the file's lines are known

	generated bool // by a program, which keeps no budget
}

// sources parses every Go file, those for other systems too.
func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	files := token.NewFileSet()
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "build" || d.Name() == "testdata" || d.Name() == "node_modules"):
			return filepath.SkipDir
		case d.IsDir() || filepath.Ext(name) != ".go" || strings.HasSuffix(name, ".pb.go"): // protoc writes those
			return nil
		}
		parsed, err := parser.ParseFile(files, name, nil, parser.ParseComments|parser.SkipObjectResolution)
		name = filepath.ToSlash(name)
		if err != nil {
			return err
		}
		all = append(all, source{
			path: name, folder: path.Dir(name), test: strings.HasSuffix(name, "_test.go"),
			file: parsed, files: files, generated: ast.IsGenerated(parsed),
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 10 {
		t.Fatalf("only %d Go files were found: this test must run in the root of the repository", len(all))
	}
	return all
}

func (s source) imports() []string {
	var paths []string
	for _, i := range s.file.Imports {
		p, _ := strconv.Unquote(i.Path.Value)
		paths = append(paths, p)
	}
	return paths
}

// inside tells whether the path is the folder or below it.
func inside(p, folder string) bool { return p == folder || strings.HasPrefix(p, folder+"/") }

func insideAny(p string, folders []string) bool {
	return slices.ContainsFunc(folders, func(f string) bool { return inside(p, f) })
}

// ours returns the folder of this module that an import path names.
func ours(p string) (folder string, ok bool) {
	if p == module {
		return ".", true
	}
	return strings.CutPrefix(p, module+"/")
}

func standard(p string) bool {
	first, _, _ := strings.Cut(p, "/")
	return p == "C" || !strings.Contains(first, ".")
}

func TestImportsPointOneWay(t *testing.T) {
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		for _, layer := range layers {
			if !inside(s.folder, layer.folder) {
				continue
			}
			for _, p := range s.imports() {
				folder, own := ours(p)
				target := p
				if own {
					target = folder
				}
				wrong := own && layer.only != nil && !inside(folder, layer.folder) && !insideAny(folder, layer.only) ||
					layer.std && !own && !standard(p) || insideAny(target, layer.never)
				if wrong {
					t.Errorf("%s imports %s: %s", s.path, target, layer.reason)
				}
			}
		}
	}
}

// TestEveryFolderHasARow: a folder that may import anything will.
func TestEveryFolderHasARow(t *testing.T) {
	missing := make(map[string]bool)
	for _, s := range sources(t) {
		if s.test || inside(s.folder, "packaging") || s.folder == "." {
			continue
		}
		if !slices.ContainsFunc(layers, func(l layer) bool {
			return l.only != nil && inside(s.folder, l.folder) && (l.folder != "daemon" || s.folder == "daemon")
		}) {
			missing[s.folder] = true
		}
	}
	for _, folder := range slices.Sorted(maps.Keys(missing)) {
		t.Errorf("%s has no row that lists what it may import", folder)
	}
}

func TestEachLibraryHasAnOwner(t *testing.T) {
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		for _, p := range s.imports() {
			if _, own := ours(p); own || standard(p) {
				continue
			}
			row := slices.IndexFunc(owners, func(o struct{ library, folders string }) bool { return inside(p, o.library) })
			switch {
			case row < 0:
				t.Errorf("%s imports %s, which has no owner: name the one package that wraps it in the table of this test", s.path, p)
			case !insideAny(s.folder, strings.Fields(owners[row].folders)):
				t.Errorf("%s imports %s, which belongs to %s: a library that is wrapped once can be replaced once", s.path, p, owners[row].folders)
			}
		}
	}
}

func TestOnlyTheWorkerLinksLlama(t *testing.T) {
	for _, s := range sources(t) {
		if s.test || insideAny(s.folder, llamaUsers) {
			continue
		}
		for _, p := range s.imports() {
			if folder, own := ours(p); own && inside(folder, "daemon/engine/llama") {
				t.Errorf("%s imports %s: a program that links llama.cpp dies at start where libffi is absent; go through engine/worker", s.path, folder)
			}
		}
	}
}

func TestNoInit(t *testing.T) {
	for _, s := range sources(t) {
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s has an init function: importing a package must do nothing", s.path)
			}
		}
	}
}

func TestNoSleepInTests(t *testing.T) {
	for _, s := range sources(t) {
		if !s.test {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok && sel.Sel.Name == "Sleep" {
				if pkg, ok := sel.X.(*ast.Ident); ok && pkg.Name == "time" && !importsSynctest(s) {
					t.Errorf("%s sleeps: wait for an event, use testing/synctest, or poll with a deadline", s.path)
				}
			}
			return true
		})
	}
}

// importsSynctest tells whether the clock of the test is a simulated one, in which sleeping takes no time.
func importsSynctest(s source) bool { return slices.Contains(s.imports(), "testing/synctest") }

func TestPackageDocs(t *testing.T) {
	docs, folders := map[string]int{}, map[string]bool{}
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		folders[s.folder] = true
		if s.file.Doc != nil && strings.TrimSpace(s.file.Doc.Text()) != "" {
			docs[s.folder]++
		}
	}
	for folder := range folders {
		if docs[folder] != 1 {
			t.Errorf("%s has %d package comments, it needs one: a sentence that says what the folder is", folder, docs[folder])
		}
	}
}

func TestExportedIsDocumented(t *testing.T) {
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		for _, d := range s.file.Decls {
			for _, name := range undocumented(d) {
				t.Errorf("%s: %s has no comment: say what it is, its units and its errors", s.path, name)
			}
		}
	}
}

// undocumented lists the exported names a declaration makes without a comment. A comment on a group counts for all
// constants and variables in it.
func undocumented(d ast.Decl) []string {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Doc == nil && d.Name.IsExported() && exportedReceiver(d) {
			return []string{d.Name.Name}
		}
	case *ast.GenDecl:
		var names []string
		for _, spec := range d.Specs {
			names = append(names, undocumentedSpec(d, spec)...)
		}
		return names
	}
	return nil
}

func undocumentedSpec(d *ast.GenDecl, spec ast.Spec) []string {
	switch spec := spec.(type) {
	case *ast.TypeSpec:
		if spec.Name.IsExported() && spec.Doc == nil && (d.Doc == nil || d.Lparen.IsValid()) {
			return []string{spec.Name.Name}
		}
	case *ast.ValueSpec:
		for _, name := range spec.Names {
			if name.IsExported() && d.Doc == nil && spec.Doc == nil && spec.Comment == nil {
				return []string{name.Name}
			}
		}
	}
	return nil
}

// exportedReceiver tells whether a function can be reached from outside: methods of private types cannot by name.
func exportedReceiver(f *ast.FuncDecl) bool {
	if f.Recv == nil {
		return true
	}
	kind := f.Recv.List[0].Type
	if star, ok := kind.(*ast.StarExpr); ok {
		kind = star.X
	}
	if generic, ok := kind.(*ast.IndexExpr); ok {
		kind = generic.X
	}
	name, ok := kind.(*ast.Ident)
	return ok && name.IsExported()
}
