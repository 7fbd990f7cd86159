package kill

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/e2e"
	"github.com/shoal-p2p/shoal/daemon/gguf/gguftest"
)

// fleet is a host and its peers. The first node is the host.
type fleet struct {
	cfg   Config
	nodes []*e2e.Node
	model core.ModelID
	ids   map[string]int    // index of a node by its id
	asks  []int             // questions
	want  map[string]string // reply of the whole model by question
	shard int               // how many the model has
}

// sure are the questions that are asked, in the order of a die. The model has random weights. At most questions it
// comes to a word that is hardly more likely than another: which of the two it takes hangs on rounding, which hangs on
// how the prompt was cut into batches, on one PC too. At these the first choice is ahead by 0.05 or more at every word
// of the reply, twenty times what rounding makes of it.
var sure = []int{6, 14, 16, 18, 33, 34, 36, 38}

// tokens is the length of every reply.
const tokens = 120

// question is a prompt that takes a while to read.
func question(i int) string {
	return fmt.Sprintf("Tale %d. ", i) + strings.Repeat(fmt.Sprintf("The shoal swam by the %d. reef. ", i+1), 16)
}

// launch starts the nodes, gives the peers their shards and takes them from the host.
func launch(ctx context.Context, cfg Config) (f *fleet, err error) {
	f = &fleet{cfg: cfg, ids: map[string]int{}, want: map[string]string{}, shard: 6, asks: sure[:min(len(sure), cfg.Rounds)]}
	defer func() {
		if err != nil {
			err = errors.Join(err, errors.New(f.logs()))
			f.end()
		}
	}()
	halves := [][]int{{1, 2}, {3, 4}}
	if !cfg.HomeEnd {
		halves[1] = []int{3, 4, 5}
	}
	if cfg.Standby {
		halves = append(halves, halves...)
	}
	for i := range 1 + len(halves) {
		name := fmt.Sprintf("node-%d", i)
		address, err := freeAddress()
		if err != nil {
			return nil, err
		}
		n, err := e2e.Start(ctx, e2e.Config{
			Program: cfg.Program, Dir: filepath.Join(cfg.Dir, name), Name: name, Runtime: cfg.Runtime,
			Args: []string{"--no-demo", "--p2p-listen", address}, Env: []string{"SHOAL_THREADS=1"}, // they share one PC
		})
		if err != nil {
			return nil, err
		}
		f.nodes = append(f.nodes, n)
	}
	for _, step := range []func(context.Context) error{f.bring, f.meet} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	for i, shards := range halves {
		if err := f.nodes[i+1].Fetch(ctx, f.model, shards...); err != nil {
			return nil, err
		}
	}
	return f, f.drop(ctx, slices.Concat(halves[:2]...))
}

// freeAddress is one on loopback that nobody listens on. A node keeps its port when it starts again, as real ones do:
// the others find it where it was.
func freeAddress() (string, error) {
	for {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", err
		}
		address := l.Addr().String()
		u, err := net.ListenPacket("udp", address)
		if err := l.Close(); err != nil {
			return "", err
		}
		if err == nil {
			return address, u.Close()
		}
	}
}

// bring imports a generated model at the host and asks it every question.
func (f *fleet) bring(ctx context.Context) error {
	m, err := gguftest.New(gguftest.Config{Name: "tale", Layers: f.shard, Embedding: 512, Context: 1024, ChatTemplate: gguftest.ChatML})
	if err != nil {
		return err
	}
	path := filepath.Join(f.cfg.Dir, "tale.gguf")
	if err := m.WriteFile(path); err != nil {
		return err
	}
	host := f.nodes[0]
	info, err := host.Import(ctx, path, 0, nil)
	if err != nil {
		return err
	}
	if info.ShardCount != f.shard {
		return fmt.Errorf("the model has %d shards, not %d", info.ShardCount, f.shard)
	}
	if f.model, err = core.ParseModelID(info.ID); err != nil {
		return err
	}
	for _, i := range f.asks {
		r, err := ask(ctx, host, info.ID, question(i), tokens, never, nil)
		if err != nil {
			return err
		}
		if !r.done || r.finish != core.FinishLength || r.route != core.RouteLocal {
			return fmt.Errorf("the whole model's reply: %+v", r)
		}
		f.want[question(i)] = r.text
	}
	return nil
}

// meet lets the peers in and notes who is who.
func (f *fleet) meet(ctx context.Context) error {
	if err := f.nodes[0].Invite(ctx, f.nodes[1:]...); err != nil {
		return err
	}
	for i, n := range f.nodes {
		code, err := n.NetworkCode(ctx, false)
		if err != nil {
			return err
		}
		f.ids[code.NodeID] = i
	}
	return nil
}

// drop takes shards from the host.
func (f *fleet) drop(ctx context.Context, shards []int) error {
	host := f.nodes[0]
	if _, err := host.Unload(ctx, f.model); err != nil {
		return err
	}
	for _, i := range shards {
		if err := host.DeleteShard(ctx, f.model, i); err != nil {
			return err
		}
	}
	return nil
}

// whole waits until all nodes are connected with each other, as each of them sees it, and the host plans a chain over the
// peers, with a standby for each if there are to be some.
func (f *fleet) whole(ctx context.Context) error {
	for _, n := range f.nodes {
		err := e2e.Until(ctx, func() (bool, error) {
			connected := 0
			peers, err := n.Peers(ctx)
			if err != nil {
				return false, err
			}
			for _, p := range peers {
				if p.Connection != "none" {
					connected++
				}
			}
			return connected == len(f.nodes)-1, nil
		})
		if err != nil {
			return fmt.Errorf("%s does not find the others: %w", n.Name, err)
		}
	}
	report, err := f.nodes[0].PlanUntil(ctx, f.model, func(r admin.PlanReport) bool {
		if !r.Possible {
			return false
		}
		for _, s := range r.Segments {
			if f.cfg.Standby && !s.Local && len(s.Standbys) == 0 {
				return false
			}
		}
		return true
	})
	if err != nil {
		return fmt.Errorf("the peer that came back is not in a plan: %w: %+v", err, report)
	}
	return nil
}

// node finds a peer by its id.
func (f *fleet) node(id string) (int, error) {
	i, ok := f.ids[id]
	if !ok || i == 0 {
		return 0, fmt.Errorf("%q is no peer", id)
	}
	return i, nil
}

func (f *fleet) end() {
	for _, n := range f.nodes {
		n.Kill()
	}
}

// logs are the ends of the nodes' logs.
func (f *fleet) logs() string {
	var b strings.Builder
	for _, n := range f.nodes {
		fmt.Fprintf(&b, "log of %s:\n%s\n", n.Name, n.Log())
	}
	return b.String()
}
