package shoal_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

// Between these lines of .golangci.yml stands what the tables of this package say.
const (
	depguardStart = "        # from architecture_test.go: go test . -run Depguard -update\n"
	depguardEnd   = "    errcheck:\n"
)

// TestDepguardHasTheSameTables: an editor that lints as one types shows what the tables say, and nothing else.
func TestDepguardHasTheSameTables(t *testing.T) {
	const file = ".golangci.yml"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(text), depguardStart)
	have, tail, ok2 := strings.Cut(rest, depguardEnd)
	if !ok || !ok2 {
		t.Fatalf("%s lacks the lines around depguard's rules", file)
	}
	want := depguardRules()
	if have == want {
		return
	}
	if !updating() {
		t.Fatalf("%s and the tables of this package differ: go test . -run Depguard -update", file)
	}
	if err := os.WriteFile(file, []byte(head+depguardStart+want+depguardEnd+tail), 0o644); err != nil {
		t.Fatal(err)
	}
}

func depguardRules() string {
	var b strings.Builder
	for _, layer := range layers {
		fmt.Fprintf(&b, "        %s:\n          files: [\"**/%s/**\", \"!$test\"]\n", ruleName("layer", layer.folder), layer.folder)
		b.WriteString(allowed(layer))
		denied := layer.never
		if layer.only != nil && !layer.std {
			denied = append([]string{module}, denied...)
		}
		writeDenied(&b, denied, layer.reason)
	}
	for _, o := range owners {
		fmt.Fprintf(&b, "        %s:\n          files:\n            - \"!$test\"\n", ruleName("owner", o.library))
		for folder := range strings.FieldsSeq(o.folders) {
			fmt.Fprintf(&b, "            - \"!**/%s/**\"\n", folder)
		}
		writeDenied(&b, []string{o.library}, "belongs to "+o.folders)
	}
	return b.String()
}

// ruleName returns a key without the dots and strokes that the linter's reader of settings takes for a path.
func ruleName(kind, of string) string {
	return kind + "-" + strings.NewReplacer("/", "-", ".", "-").Replace(of)
}

// allowed returns what a layer may import, if that is listed.
func allowed(l layer) string {
	if l.only == nil && !l.std {
		return ""
	}
	var b strings.Builder
	mode := "lax"
	if l.std {
		mode = "strict"
	}
	fmt.Fprintf(&b, "          list-mode: %s\n          allow:\n", mode)
	if l.std {
		b.WriteString("            - $gostd\n")
	}
	folders := l.only
	if !insideAny(l.folder, l.only) { // of two that overlap, depguard sees one
		folders = append([]string{l.folder}, l.only...)
	}
	for _, folder := range folders {
		fmt.Fprintf(&b, "            - %s/%s\n", module, folder)
	}
	return b.String()
}

func writeDenied(b *strings.Builder, packages []string, reason string) {
	if len(packages) == 0 {
		return
	}
	b.WriteString("          deny:\n")
	for _, p := range packages {
		if first, _, _ := strings.Cut(p, "/"); !strings.Contains(first, ".") && p != "net/http" {
			p = module + "/" + p
		}
		fmt.Fprintf(b, "            - {pkg: %s, desc: %q}\n", p, reason)
	}
}

// updating tells whether files that tests compare with are to be written anew.
func updating() bool { return *update }

var update = flag.Bool("update", false, "write the files that tests compare with")
