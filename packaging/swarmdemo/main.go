// Command swarmdemo shows a swarm that runs a model which no node holds: three real nodes on loopback, with separate
// data folders. It prints each step, compares the reply with that of the whole model, and leaves nothing behind.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/shoal-p2p/shoal/assets"
	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/e2e"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	d := &demo{}
	flag.StringVar(&d.program, "shoald", "build/shoald", "the node's program, with shoal-worker beside it")
	flag.StringVar(&d.runtime, "runtime", os.Getenv("SHOAL_RUNTIME"), "folder of the llama.cpp libraries")
	flag.StringVar(&d.model, "model", "", "GGUF file; without one the built-in demo model")
	flag.IntVar(&d.tokens, "tokens", 64, "tokens of the reply")
	flag.BoolVar(&d.logs, "logs", false, "show the ends of the nodes' logs, also when all went well")
	flag.Parse()
	began := time.Now()
	if err := d.run(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "\nThe demo did not work: %v\n", err)
		os.Exit(1)
	}
	fmt.Printf("\nDone in %.1f s. Nothing is left behind.\n", time.Since(began).Seconds())
}

// demo is one run.
type demo struct {
	program string
	runtime string
	model   string
	tokens  int
	logs    bool

	id    core.ModelID
	file  string // of the model
	ask   string
	nodes []*e2e.Node
	step  int
}

// demoLimit bounds the whole run.
const demoLimit = 3 * time.Minute

func (d *demo) run(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, demoLimit)
	defer cancel()
	dir, err := os.MkdirTemp("", "shoal-swarm-demo-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil || d.logs {
			d.explain()
		}
		err = errors.Join(err, d.stop(), os.RemoveAll(dir))
	}()
	if err := d.choose(dir); err != nil {
		return err
	}
	for _, step := range []func(context.Context, string) error{d.start, d.bring, d.join, d.spread, d.drop} {
		if err := step(ctx, dir); err != nil {
			return err
		}
	}
	return nil
}

// explain shows the ends of the nodes' logs.
func (d *demo) explain() {
	for _, n := range d.nodes {
		lines := strings.Split(strings.TrimSpace(n.Log()), "\n")
		fmt.Fprintf(os.Stderr, "\nThe log of %s ends:\n%s\n", n.Name, strings.Join(lines[max(0, len(lines)-logLines):], "\n"))
	}
}

// logLines is how much of each log is shown when the demo fails.
const logLines = 60

// say prints what comes next.
func (d *demo) say(format string, args ...any) {
	d.step++
	fmt.Printf("\n%d. "+format+"\n", append([]any{d.step}, args...)...)
}

func (d *demo) tell(format string, args ...any) { fmt.Printf("   "+format+"\n", args...) }

// choose finds the model.
func (d *demo) choose(dir string) error {
	d.file, d.ask = d.model, "Once upon a time"
	if d.file == "" {
		d.file, d.ask = filepath.Join(dir, assets.DemoName), "What is Shoal?"
		if err := os.WriteFile(d.file, assets.Demo, 0o600); err != nil {
			return err
		}
	}
	var err error
	if d.file, err = filepath.Abs(d.file); err != nil {
		return err
	}
	d.id, err = core.ModelIDFromFile(d.file)
	return err
}

func (d *demo) start(ctx context.Context, dir string) error {
	d.say("Three nodes start, each with a data folder of its own.")
	for _, name := range []string{"node-1", "node-2", "node-3"} {
		n, err := e2e.Start(ctx, e2e.Config{
			Program: d.program, Dir: filepath.Join(dir, name), Name: name, Runtime: d.runtime, Args: []string{"--no-demo"},
			Env: []string{"SHOAL_THREADS=1"}, // three nodes share one PC
		})
		if err != nil {
			return err
		}
		d.nodes = append(d.nodes, n)
		d.tell("%s  %s", name, n.URL)
	}
	return nil
}

// stop ends the nodes.
func (d *demo) stop() (err error) {
	for _, n := range d.nodes {
		err = errors.Join(err, n.Stop())
	}
	return err
}

// errDiffers is what the demo is there to rule out.
var errDiffers = errors.New("the text differs from the whole model's")

func (d *demo) bring(ctx context.Context, _ string) error {
	d.say("node-1 imports %s.", filepath.Base(d.file))
	info, err := d.nodes[0].Import(ctx, d.file, 0, nil)
	if err != nil {
		return err
	}
	d.tell("%s: %d layers in %d shards", info.ID, info.Layers, info.ShardCount)
	if info.ShardCount < 4 {
		return fmt.Errorf("%s has %d shards; the demo needs 4", info.ID, info.ShardCount)
	}
	return nil
}

func (d *demo) join(ctx context.Context, _ string) error {
	d.say("node-1 writes two invites; node-2 and node-3 join with them.")
	one := d.nodes[0]
	if err := one.Invite(ctx, d.nodes[1:]...); err != nil {
		return err
	}
	var peers []admin.PeerInfo
	err := e2e.Until(ctx, func() (done bool, err error) {
		peers, err = one.Peers(ctx)
		return len(peers) == 2, err
	})
	for _, p := range peers {
		d.tell("%s is in: %s, %s", p.Nickname, p.Connection, p.NodeID)
	}
	return err
}

// middle are the shards that leave node-1: all but the first and the last, in two halves.
func (d *demo) middle(ctx context.Context) (all, second, third []int) {
	count := len(d.nodes[0].Shards(ctx, d.id))
	for i := 1; i < count-1; i++ {
		all = append(all, i)
	}
	half := (len(all) + 1) / 2
	return all, all[:half], all[half:]
}

func (d *demo) spread(ctx context.Context, _ string) error {
	_, second, third := d.middle(ctx)
	d.say("node-2 and node-3 fetch different shards from node-1.")
	for i, shards := range [][]int{second, third} {
		n := d.nodes[i+1]
		began := time.Now()
		if err := n.Fetch(ctx, d.id, shards...); err != nil {
			return err
		}
		d.tell("%s has shards %v, every chunk verified, in %.1f s", n.Name, shards, time.Since(began).Seconds())
	}
	return nil
}

func (d *demo) drop(ctx context.Context, _ string) error {
	one := d.nodes[0]
	d.say("node-1 answers with the whole model, at temperature 0: %q", d.ask)
	want, route, err := one.Ask(ctx, d.id, d.ask, d.tokens)
	if err != nil {
		return err
	}
	d.tell("route %s: %s", route.Kind, quote(want))
	if _, err := one.Unload(ctx, d.id); err != nil {
		return err
	}
	all, _, _ := d.middle(ctx)
	d.say("node-1 drops its copy of shards %v. No node holds the model now.", all)
	for _, index := range all {
		if err := one.DeleteShard(ctx, d.id, index); err != nil {
			return err
		}
	}
	for _, n := range d.nodes {
		d.tell("%s has %s", n.Name, held(n.Shards(ctx, d.id)))
	}
	d.say("node-1 plans a chain.")
	report, err := one.PlanUntil(ctx, d.id, func(r admin.PlanReport) bool { return r.Possible && r.Route == core.RouteDistributed })
	if err != nil {
		return fmt.Errorf("%w: %s", err, report.Text)
	}
	d.tell("%s", report.Text)
	d.say("The same question to node-1 again.")
	began := time.Now()
	got, route, err := one.Ask(ctx, d.id, d.ask, d.tokens)
	if err != nil {
		return err
	}
	d.tell("route %s over %d peers, %.1f s: %s", route.Kind, len(route.Peers), time.Since(began).Seconds(), quote(got))
	if route.Kind != core.RouteDistributed || len(route.Peers) != 2 {
		return fmt.Errorf("the request went %s over %d peers", route.Kind, len(route.Peers))
	}
	if got != want {
		return fmt.Errorf("%w:\n%s\n%s", errDiffers, want, got)
	}
	d.tell("The text is identical to the whole model's.")
	return nil
}

func quote(text string) string {
	return "\n      | " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n      | ")
}

func held(shards map[int]bool) string {
	var list []string
	for i := range len(shards) {
		if shards[i] {
			list = append(list, fmt.Sprint(i))
		}
	}
	return fmt.Sprintf("shards %s of %d", strings.Join(list, ", "), len(shards))
}
