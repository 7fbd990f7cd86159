package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// verdict is what became of a mutant.
type verdict string

const (
	killed   verdict = "killed"   // a test failed with a message
	survived verdict = "SURVIVED" // the tests passed without the guard
	hung     verdict = "HUNG"     // they did not end in time
	unsound  verdict = "UNSOUND"  // nothing was shown: the mutant does not compile, or the tests fail with the guard too
)

// trial runs the tests of guards.
type trial struct {
	root  string // of the repository
	work  string // folder for what is laid over it
	limit time.Duration
	sound map[string]error // by package and tests: what they say with every guard in place
}

// try takes the guard out and tells what its tests say; why is their output.
func (t *trial) try(ctx context.Context, g guard) (v verdict, why string) {
	text, err := g.mutant(t.root)
	if err != nil {
		return unsound, err.Error()
	}
	overlay, err := t.overlayOf(g, text)
	if err != nil {
		return unsound, err.Error()
	}
	if err := t.baseline(ctx, g); err != nil {
		return unsound, "the tests must pass with the guard in place: " + err.Error()
	}
	out, err := t.test(ctx, g, "-overlay", overlay)
	return judge(out, err), out
}

// baseline runs the guard's tests once with every guard in place.
func (t *trial) baseline(ctx context.Context, g guard) error {
	key := g.Package + " " + g.Run
	if err, done := t.sound[key]; done {
		return err
	}
	out, err := t.test(ctx, g, "-v")
	switch {
	case err != nil:
		err = fmt.Errorf("%w\n%s", err, out)
	case !passed.MatchString(out):
		err = fmt.Errorf("no test of %s that -run %q names ran", g.Package, g.Run)
	}
	t.sound[key] = err
	return err
}

var passed = regexp.MustCompile(`(?m)^--- PASS`)

// test runs the guard's tests and returns what they print.
func (t *trial) test(ctx context.Context, g guard, flags ...string) (string, error) {
	args := append([]string{"test", "-count=1", "-timeout", t.limit.String(), "-run", g.Run}, flags...)
	cmd := exec.CommandContext(ctx, "go", append(args, g.Package)...)
	cmd.Dir = t.root
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// judge reads the output of tests that ran without a guard.
func judge(out string, err error) verdict {
	switch {
	case err == nil:
		return survived
	case strings.Contains(out, "panic: test timed out"):
		return hung
	case failed.MatchString(out), strings.Contains(out, "panic: "), strings.Contains(out, "fatal error: "):
		return killed
	default:
		return unsound
	}
}

var failed = regexp.MustCompile(`(?m)^\s*--- FAIL`)

// writeOverlay writes the text and the description by which go reads it in place of the file.
func writeOverlay(folder, file, text string) (string, error) {
	mutant := filepath.Join(folder, "mutant.go")
	if err := os.WriteFile(mutant, []byte(text), 0o600); err != nil {
		return "", err
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {file: mutant}})
	if err != nil {
		return "", err
	}
	name := filepath.Join(folder, "overlay.json")
	return name, os.WriteFile(name, overlay, 0o600)
}
