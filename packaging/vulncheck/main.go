// Command vulncheck tells which known faults of libraries the programs can reach.
//
// govulncheck finds them. Its data come from the Go module golang.org/x/vulndb, which a Go proxy serves where vuln.go.dev
// cannot be reached; where neither can be, it says so and is content. A fault that a newer version of a library mends is an error, and so is an accepted one that is
// gone. Faults of the standard library are told only: they end with the Go that builds.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
)

// Versions of the program and of its data; newer data are the point of raising the second.
const (
	checker  = "golang.org/x/vuln/cmd/govulncheck@v1.9.0"
	database = "golang.org/x/vulndb@v0.0.0-20261105234957-e22db6528018"
)

// accepted returns the faults that no version of their library mends, and why they do no harm here.
func accepted() map[string]string {
	return map[string]string{
		"GO-2024-3218": "who floods the public DHT can hide a record; a swarm's own DHT has only its members",
	}
}

// finding is one line of govulncheck's JSON that names a fault and where the program reaches it.
type finding struct {
	ID    string `json:"osv"`
	Fixed string `json:"fixed_version"`
	Trace []struct {
		Module   string `json:"module"`
		Version  string `json:"version"`
		Function string `json:"function"`
	} `json:"trace"`
}

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "vulncheck:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, packages []string, out io.Writer) error {
	data, err := fetchDatabase(ctx)
	if err != nil {
		fmt.Fprintln(out, "not checked, the data cannot be had:", err)
		return nil
	}
	args := append([]string{"run", checker, "-format", "json", "-db", "file://" + filepath.ToSlash(data)}, packages...)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Stderr = os.Stderr
	text, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	reached, err := read(text)
	if err := errors.Join(err, cmd.Wait()); err != nil {
		return fmt.Errorf("run govulncheck: %w", err)
	}
	return judge(reached, accepted(), out)
}

// fetchDatabase returns the folder of the faults, one JSON file each.
func fetchDatabase(ctx context.Context) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", database)
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod")
	cmd.Dir = os.TempDir() // outside of the module, which does not depend on the data
	text, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, text)
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(text, &module); err != nil {
		return "", err
	}
	return filepath.Join(module.Dir, "data", "osv"), nil
}

// read returns the faults whose code the programs call, by their id.
func read(text io.Reader) (map[string]finding, error) {
	reached := make(map[string]finding)
	for lines := json.NewDecoder(text); ; {
		var line struct{ Finding *finding }
		switch err := lines.Decode(&line); {
		case errors.Is(err, io.EOF):
			return reached, nil
		case err != nil:
			return nil, err
		}
		if f := line.Finding; f != nil && len(f.Trace) > 0 && f.Trace[0].Function != "" {
			reached[f.ID] = *f
		}
	}
}

// judge prints every fault, and returns an error for those that somebody here can end.
func judge(reached map[string]finding, accepted map[string]string, out io.Writer) error {
	var wrong []error
	for _, id := range slices.Sorted(maps.Keys(reached)) {
		f := reached[id]
		where := f.Trace[0]
		reason, known := accepted[id]
		switch {
		case where.Module == "stdlib":
			fmt.Fprintf(out, "%s: Go %s, mended in %s\n", id, where.Version, f.Fixed)
		case known && f.Fixed == "":
			fmt.Fprintf(out, "%s: accepted: %s\n", id, reason)
		default:
			wrong = append(wrong, fmt.Errorf("%s: %s@%s, mended in %q", id, where.Module, where.Version, f.Fixed))
		}
	}
	for id := range accepted {
		if _, there := reached[id]; !there {
			wrong = append(wrong, fmt.Errorf("%s is accepted, but nothing reaches it: its row can go", id))
		}
	}
	return errors.Join(wrong...)
}
