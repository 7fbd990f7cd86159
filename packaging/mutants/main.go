// Command mutants takes the guards of the product out, one at a time, and runs the tests that must notice.
//
// The guards stand in guards/*.toml. A mutant is laid over the tree by go's -overlay; no file of the tree changes. It
// counts as killed when a test fails with a message: one that does not compile, hangs or survives is reported, and the
// program then ends with 1. Before that the same tests must pass with the guard in place.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("mutants", flag.ContinueOnError)
	only := flags.String("only", "", "regular expression: only guards whose `list/name` matches")
	folder := flags.String("guards", "packaging/mutants/guards", "folder of the lists")
	limit := flags.Duration("limit", time.Minute, "a test that runs longer hangs")
	if err := flags.Parse(args); err != nil {
		return err
	}
	wanted, err := regexp.Compile(*only)
	if err != nil {
		return fmt.Errorf("read -only: %w", err)
	}
	guards, err := readGuards(*folder)
	if err != nil {
		return err
	}
	guards = slices.DeleteFunc(guards, func(g guard) bool { return !wanted.MatchString(g.list + "/" + g.Name) })
	work, err := os.MkdirTemp("", "shoal-mutants")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	t := trial{root: ".", work: work, limit: *limit, sound: make(map[string]error)}
	return t.all(ctx, guards, out)
}

// all tries every guard and reports each as it ends.
func (t *trial) all(ctx context.Context, guards []guard, out io.Writer) error {
	count := make(map[verdict]int)
	for _, g := range guards {
		v, why := t.try(ctx, g)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		count[v]++
		fmt.Fprintf(out, "%-9s %s/%s\n", v, g.list, g.Name)
		if v != killed {
			fmt.Fprintln(out, indent(why))
		}
	}
	fmt.Fprintf(out, "%d guards: %d killed, %d survived, %d hung, %d unsound\n",
		len(guards), count[killed], count[survived], count[hung], count[unsound])
	if count[killed] != len(guards) {
		return fmt.Errorf("%d of %d guards could go and no test would say so", len(guards)-count[killed], len(guards))
	}
	return nil
}

// indent returns the last lines of an output, set off from the report.
func indent(text string) string {
	const lines = 15
	all := strings.Split(strings.TrimSpace(text), "\n")
	return "\t" + strings.Join(all[max(0, len(all)-lines):], "\n\t")
}

// overlayOf writes what lays the mutant over its file, and returns the name of the description for go -overlay.
func (t *trial) overlayOf(g guard, text string) (string, error) {
	file, err := filepath.Abs(filepath.Join(t.root, filepath.FromSlash(g.File)))
	if err != nil {
		return "", err
	}
	return writeOverlay(t.work, file, text)
}
