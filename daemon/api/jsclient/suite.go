// Package jsclient runs OpenAI's official JavaScript client against a node.
package jsclient

import (
	"embed"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shoal-p2p/shoal/daemon/api/apitest"
)

//go:embed package.json package-lock.json test.mjs
var files embed.FS

// Run installs the client with npm in a folder of its own and runs test.mjs. It skips only where there is no
// Node.js.
func Run(t *testing.T, target apitest.Target) {
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is not installed, so the JavaScript client cannot run", program)
		}
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, files); err != nil {
		t.Fatal(err)
	}
	command(t, dir, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
	out := command(t, dir, "node", filepath.Join(dir, "test.mjs"), target.URL, target.Key, target.Model)
	if !strings.Contains(out, "ok embeddings") {
		t.Errorf("the tests did not run:\n%s", out)
	}
	t.Log(out)
}

func command(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, args[0], err, out)
	}
	return string(out)
}
