//go:build linux

// Command kill takes peers away in the middle of replies, again and again, and prints what the clients got: real nodes
// on loopback, with a standby for each stage and without. It fails if a reply ever ends as if it were complete.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/shoal-p2p/shoal/daemon/e2e/kill"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var r runs
	flag.StringVar(&r.program, "shoald", "build/shoald", "the node's program, with shoal-worker beside it")
	flag.StringVar(&r.runtime, "runtime", os.Getenv("SHOAL_RUNTIME"), "folder of the llama.cpp libraries")
	flag.IntVar(&r.rounds, "rounds", 100, "rounds with a standby, and as many without")
	flag.StringVar(&r.only, "only", "", "standby or alone: leave the other out")
	flag.Uint64Var(&r.seed, "seed", uint64(time.Now().UnixNano()), "of the moments and victims")
	flag.Parse()
	if err := r.run(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "\n%v\n", err)
		os.Exit(1)
	}
}

// runs is what the command does.
type runs struct {
	program, runtime, only string
	rounds                 int
	seed                   uint64
}

func (r *runs) run(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp("", "shoal-kill-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	fmt.Printf("seed %d\n", r.seed)
	var text []row
	bad := 0
	for _, standby := range []bool{true, false} {
		if r.only == "standby" && !standby || r.only == "alone" && standby {
			continue
		}
		// Half of the chains end at the host, half at a peer.
		var all []kill.Outcome
		for i, home := range []bool{true, false} {
			rounds := (r.rounds + 1 - i) / 2
			list, err := kill.Run(ctx, kill.Config{
				Program: r.program, Runtime: r.runtime, Dir: filepath.Join(dir, fmt.Sprint(standby, home)),
				Standby: standby, HomeEnd: home, Rounds: rounds, Seed: r.seed + uint64(i), Each: tell,
			})
			if err != nil {
				return err
			}
			all = append(all, list...)
		}
		for _, o := range all {
			if !o.OK(standby) {
				bad++
			}
		}
		text = append(text, rows(standby, all)...)
	}
	print(text)
	if bad > 0 {
		return fmt.Errorf("%d rounds did not go as they must", bad)
	}
	return nil
}

// tell prints a round.
func tell(o kill.Outcome) {
	during := "reply"
	if o.Prompt {
		during = "prompt"
	}
	fmt.Printf("%3d  %-14s  %-6s  %-10s  pause %5d ms  ended after %5d ms  peers back in %5d ms", o.Round, o.Kind, during, o.Verdict,
		o.Pause.Milliseconds(), o.Told.Milliseconds(), o.Back.Milliseconds())
	if o.Detail != "" {
		fmt.Printf("  %s", o.Detail)
	}
	if o.Next != nil {
		fmt.Printf("  next request: %v", o.Next)
	}
	fmt.Println()
	if o.Logs != "" {
		fmt.Fprintln(os.Stderr, o.Logs)
	}
}

// row is a line of the table.
type row struct {
	name                               string
	runs, same, failed, silent, others int
	pauses                             []time.Duration
}

// rows counts outcomes, in all and by kind of harm.
func rows(standby bool, all []kill.Outcome) []row {
	name := "without"
	if standby {
		name = "with standby"
	}
	by := map[string]*row{}
	total := row{name: name + ": all"}
	for _, o := range all {
		r, ok := by[o.Kind]
		if !ok {
			r = &row{name: name + ": " + o.Kind}
			by[o.Kind] = r
		}
		r.count(o, standby)
		total.count(o, standby)
	}
	list := []row{}
	for _, r := range by {
		list = append(list, *r)
	}
	slices.SortFunc(list, func(a, b row) int { return cmp.Compare(a.name, b.name) })
	return append([]row{total}, list...)
}

func (r *row) count(o kill.Outcome, standby bool) {
	r.runs++
	switch {
	case o.Verdict == kill.Same:
		r.same++
		r.pauses = append(r.pauses, o.Pause)
	case o.Verdict == kill.Failed && !standby:
		r.failed++
		r.pauses = append(r.pauses, o.Told)
	case o.Verdict == kill.Silent || o.Verdict == kill.Wrong:
		r.silent++
	}
	if !o.OK(standby) {
		r.others++
	}
}

func print(rows []row) {
	fmt.Println("\nThe pause is the longest silence after the loss, or the time until the error.")
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\truns\tsame text\terrors\tsilent\tfaults\tpause p50\tp95\tmax\t")
	for _, r := range rows {
		slices.Sort(r.pauses)
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%s\t%s\t%s\t\n", r.name, r.runs, r.same, r.failed, r.silent, r.others,
			at(r.pauses, 0.5), at(r.pauses, 0.95), at(r.pauses, 1))
	}
	w.Flush()
}

// at is a quantile of sorted durations.
func at(sorted []time.Duration, q float64) string {
	if len(sorted) == 0 {
		return "-"
	}
	return fmt.Sprintf("%d ms", sorted[int(q*float64(len(sorted)-1))].Milliseconds())
}
