// Package e2e runs real nodes: shoald processes with data folders of their own, on loopback, reached over their API.
// Tests and `make demo` use it.
package e2e

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/client"
	"github.com/shoal-p2p/shoal/daemon/core"
)

// Config says how a Node is started. Program, Dir and Name are required.
type Config struct {
	Program string   // shoald, with shoal-worker beside it
	Dir     string   // data folder
	Name    string   // what the others call it
	Runtime string   // folder of the llama.cpp libraries; "" lets the node look for them
	Args    []string // more arguments of serve
	Env     []string // more variables

	Listen string   // address for other nodes; "" is a free port on loopback
	Within []string // command that runs the program in another place, such as a network namespace
	// Dial reaches the API from there; nil is the plain way.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Node is a running shoald.
type Node struct {
	*client.Client
	Name string
	URL  string
	Key  string

	cfg   Config
	cmd   *exec.Cmd
	log   *tail
	ended chan struct{} // closed when the process has exited
}

// startLimit is how long a node may take until it answers.
const startLimit = 30 * time.Second

// Start starts a node and returns when its API answers.
func Start(ctx context.Context, cfg Config) (*Node, error) {
	args := slices.Concat(cfg.Within, []string{
		cfg.Program, "serve", "--json", "--data-dir", cfg.Dir, "--listen", "127.0.0.1:0",
		"--p2p-listen", cmp.Or(cfg.Listen, "127.0.0.1:0"),
	}, cfg.Args)
	cache, err := os.UserCacheDir() // where the node finds the llama.cpp libraries by itself
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", cfg.Name, err)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append([]string{
		"HOME=" + cfg.Dir, "PATH=" + os.Getenv("PATH"), "TMPDIR=" + os.TempDir(), "SHOAL_NICKNAME=" + cfg.Name,
		"XDG_CACHE_HOME=" + cache, "SHOAL_RUNTIME=" + cfg.Runtime, "SHOAL_REGION=" + os.Getenv("SHOAL_REGION"),
	}, cfg.Env...)
	n := &Node{Name: cfg.Name, cfg: cfg, cmd: cmd, log: &tail{}, ended: make(chan struct{})}
	cmd.Stderr = n.log
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", cfg.Name, err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", cfg.Name, err)
	}
	greeting := make(chan []byte, 1)
	go func() {
		defer close(n.ended)
		lines := bufio.NewReader(out)
		line, _ := lines.ReadBytes('\n') // an empty one is noticed below
		greeting <- line
		_, _ = io.Copy(io.Discard, lines) // drained so that the node never waits for its reader
		_ = cmd.Wait()                    // its exit code is in cmd.ProcessState
	}()
	limit, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	select {
	case line := <-greeting:
		err = n.meet(line)
	case <-limit.Done():
		err = limit.Err()
	}
	if err != nil {
		n.Kill()
		return nil, fmt.Errorf("start %s: %w\n%s", cfg.Name, err, n.Log())
	}
	return n, nil
}

// meet reads the line that serve prints.
func (n *Node) meet(line []byte) error {
	var w struct {
		URL      string `json:"url"`
		KeyPlace string `json:"key_place"`
	}
	if err := json.Unmarshal(line, &w); err != nil {
		return fmt.Errorf("serve said %q: %w", line, err)
	}
	if !filepath.IsAbs(w.KeyPlace) {
		return fmt.Errorf("the key is in %s, where this program does not look", w.KeyPlace)
	}
	key, err := os.ReadFile(w.KeyPlace)
	if err != nil {
		return err
	}
	n.URL, n.Key = strings.TrimSuffix(w.URL, "/v1"), strings.TrimSpace(string(key))
	n.Client = client.New(client.Config{URL: n.URL, Key: n.Key, Dial: n.cfg.Dial})
	return nil
}

// Kill ends the process at once, as the system does when memory is short.
func (n *Node) Kill() {
	_ = n.cmd.Process.Kill() // it may have ended already
	<-n.ended
	if n.Client != nil {
		n.Close()
	}
}

// Restart starts a node that was killed or stopped again, on its data folder.
func (n *Node) Restart(ctx context.Context) (*Node, error) { return Start(ctx, n.cfg) }

// Dir is the node's data folder.
func (n *Node) Dir() string { return n.cfg.Dir }

// PID is the number of the node's process.
func (n *Node) PID() int { return n.cmd.Process.Pid }

// Stop asks the node to stop, and ends it when it takes too long.
func (n *Node) Stop() error {
	defer n.Close()
	_ = n.cmd.Process.Signal(os.Interrupt) // it may have ended already
	select {
	case <-n.ended:
	case <-time.After(20 * time.Second):
		n.Kill()
		return fmt.Errorf("%s did not stop by itself\n%s", n.Name, n.Log())
	}
	if code := n.cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("%s ended with exit code %d\n%s", n.Name, code, n.Log())
	}
	return nil
}

// Log is the end of what the node logged.
func (n *Node) Log() string { return n.log.String() }

// Ask puts a question to a model at temperature 0 and returns the text and the way the request went.
func (n *Node) Ask(ctx context.Context, model core.ModelID, question string, tokens int) (text string, route core.Route, err error) {
	reply, err := n.Generate(ctx, &core.GenerateRequest{
		Model: model.String(), Messages: []core.Message{{Role: "user", Content: question}}, MaxTokens: tokens,
	}, func(core.Delta) error { return nil })
	if err != nil {
		return "", route, err
	}
	return reply.Message.Content, reply.Route, nil
}

// Invite lets other nodes in, each by a code of its own.
func (n *Node) Invite(ctx context.Context, others ...*Node) error {
	for _, other := range others {
		code, err := n.NetworkCode(ctx, true)
		if err != nil {
			return fmt.Errorf("invite by %s: %w", n.Name, err)
		}
		if _, err := other.JoinNetwork(ctx, code.Code); err != nil {
			return fmt.Errorf("%s joins: %w", other.Name, err)
		}
	}
	return nil
}

// Fetch brings shards of a model from the others and returns when they are here.
func (n *Node) Fetch(ctx context.Context, model core.ModelID, shards ...int) error {
	for _, index := range shards {
		// The others' announcements may still be under way.
		err := Until(ctx, func() (bool, error) {
			_, err := n.DownloadShard(ctx, model, index)
			code := core.CodeOf(err)
			if code == core.CodeNotFound || code == core.CodeInvalidRequest || code == core.CodeNotReady {
				return false, nil
			}
			return err == nil, err
		})
		if err != nil {
			return fmt.Errorf("%s fetches shard %d: %w", n.Name, index, err)
		}
	}
	err := Until(ctx, func() (bool, error) {
		have := n.Shards(ctx, model)
		for _, index := range shards {
			if !have[index] {
				return false, nil
			}
		}
		return true, nil
	})
	if err != nil {
		downloads, _ := n.Downloads(context.WithoutCancel(ctx)) // they only help to see why
		return fmt.Errorf("%s waits for its shards: %w; downloads: %+v", n.Name, err, downloads)
	}
	return nil
}

// Shards tells which shards of a model a node has on its disk.
func (n *Node) Shards(ctx context.Context, model core.ModelID) map[int]bool {
	have := map[int]bool{}
	models, _ := n.Models(ctx) // a node that does not answer has none
	for _, m := range models {
		if m.ID == model.String() {
			for _, s := range m.Shards {
				have[s.Index] = s.Local
			}
		}
	}
	return have
}

// PlanUntil asks for plans until one is as wanted.
func (n *Node) PlanUntil(ctx context.Context, model core.ModelID, ok func(admin.PlanReport) bool) (report admin.PlanReport, err error) {
	err = Until(ctx, func() (bool, error) {
		var err error
		report, err = n.Plan(ctx, model)
		return err == nil && ok(report), err
	})
	return report, err
}

// Until calls ok again and again until it is true, fails, or ctx ends.
func Until(ctx context.Context, ok func() (bool, error)) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if done, err := ok(); done || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

// maxTail is how much of a log is kept.
const maxTail = 64 << 10

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text.Write(p)
	if n := t.text.Len(); n > 2*maxTail {
		t.text.Next(n - maxTail)
	}
	return len(p), nil
}

// String is what was kept.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.String()
}
