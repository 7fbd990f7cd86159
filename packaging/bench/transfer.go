package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/shoal-p2p/shoal/daemon/api"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/shard"
)

// transferred measures how fast a second node fetches the model from n: encrypted, verified chunk by chunk, flushed.
// The reference is a plain copy of the same files through a TCP connection on loopback, flushed too.
func transferred(ctx context.Context, p plan, n api.Node, id core.ModelID, modelDir string) (row, error) {
	model, err := shard.Open(modelDir)
	if err != nil {
		return row{}, err
	}
	var ours, plain []float64
	for range p.rounds {
		fast, err := copyPlainly(model, p.work)
		if err != nil {
			return row{}, err
		}
		plain = append(plain, fast)
		err = withNode(ctx, p, "friend", func(friend api.Node) error {
			speed, err := fetch(ctx, n, friend, id, model.Manifest.Size)
			ours = append(ours, speed)
			return err
		})
		if err != nil {
			return row{}, fmt.Errorf("transfer: %w", err)
		}
	}
	return faster("transfer", "MB/s", ours, plain), nil
}

// fetch lets friend join n's swarm and bring the model, and returns megabytes per second.
func fetch(ctx context.Context, n, friend api.Node, id core.ModelID, size int64) (float64, error) {
	code, err := n.NetworkCode(ctx, true)
	if err != nil {
		return 0, err
	}
	if _, err := friend.JoinNetwork(ctx, code.Code); err != nil {
		return 0, err
	}
	if err := until(ctx, func() bool { _, err := friend.AddModel(ctx, id); return err == nil }); err != nil {
		return 0, fmt.Errorf("ask for the model: %w", err)
	}
	start := time.Now()
	err = until(ctx, func() bool {
		progress, err := friend.Progress(ctx, id)
		return err == nil && progress.TotalShards > 0 && progress.DownloadedShards == progress.TotalShards
	})
	return float64(size) / 1e6 / time.Since(start).Seconds(), err
}

// until asks every few milliseconds, for two minutes at most.
func until(ctx context.Context, done func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}

// copyPlainly sends every shard file through a TCP connection and returns megabytes per second.
func copyPlainly(model *shard.Model, work string) (float64, error) {
	target := filepath.Join(work, "copy")
	defer os.Remove(target)
	start, total := time.Now(), int64(0)
	for i := range model.Manifest.Shards {
		n, err := sendFile(model.Path(i), target)
		if err != nil {
			return 0, err
		}
		total += n
	}
	return float64(total) / 1e6 / time.Since(start).Seconds(), nil
}

func sendFile(from, to string) (int64, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	sent := make(chan error, 1)
	go func() { sent <- send(l.Addr().String(), from) }()
	conn, err := l.Accept()
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	out, err := os.Create(to)
	if err != nil {
		return 0, err
	}
	// The plain interfaces keep the kernel from copying by itself: a transfer that looks at its bytes cannot do that.
	n, err := io.Copy(struct{ io.Writer }{out}, struct{ io.Reader }{conn})
	return n, errors.Join(err, out.Sync(), out.Close(), <-sent)
}

func send(address, path string) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	in, err := os.Open(path)
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	_, err = io.Copy(struct{ io.Writer }{conn}, struct{ io.Reader }{in})
	return errors.Join(err, in.Close(), conn.Close())
}
