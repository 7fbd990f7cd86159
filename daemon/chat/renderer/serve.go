package renderer

import (
	"bufio"
	"context"
	"errors"
	"io"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// Argument is the one argument with which a program is started to be a renderer: it then calls Serve.
const Argument = "render-chat-templates"

// Exit codes of a renderer that ends itself.
const (
	exitDone   = 0
	exitBroken = 1 // the other side sent what is no question
	exitMemory = 3
	exitTime   = 4
	exitFatal  = 2 // Go's own, for a stack or a heap that cannot grow
)

// maxStack bounds the recursion of a template, in bytes.
const maxStack = 64 << 20

// ready is the byte that a renderer sends when it can take questions.
const ready = 'R'

// Serve answers questions of a Process until in ends, and returns the exit code. It calls exit as soon as a render
// takes more memory than it may, or, for want of a parent that does so, more time.
func Serve(in io.Reader, out io.Writer, exit func(code int)) int {
	runtime.GOMAXPROCS(2) // one renders, one looks how much that takes
	debug.SetGCPercent(50)
	debug.SetMaxStack(maxStack)
	w := watchdog{renders: make(chan Limits), exit: exit}
	go w.run()
	defer close(w.renders)
	if _, err := out.Write([]byte{ready}); err != nil {
		return exitBroken
	}
	questions := bufio.NewReader(in)
	var recent cache
	for {
		var q question
		switch err := unpack(questions, &q); {
		case errors.Is(err, io.EOF):
			return exitDone
		case err != nil:
			return exitBroken
		}
		if q.Limits.Memory <= 0 || q.Limits.Time <= 0 {
			return exitBroken
		}
		debug.SetMemoryLimit(q.Limits.Memory * 3 / 4) // garbage alone must not look like a bomb
		w.renders <- q.Limits
		a := reply(&recent, &q)
		if tooMuch(q.Limits) {
			exit(exitMemory)
		}
		w.renders <- Limits{}
		frame, err := pack(a)
		if err != nil {
			frame, _ = pack(asAnswer(nil, core.Errorf(core.CodeInvalidRequest, "the chat template makes a text that is too long")))
		}
		if _, err := out.Write(frame); err != nil {
			return exitBroken
		}
	}
}

func reply(recent *cache, q *question) *answer {
	in, err := q.input()
	if err != nil {
		return asAnswer(nil, err)
	}
	t, err := recent.get(q.source())
	if err != nil {
		return asAnswer(nil, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), q.Limits.Time)
	defer cancel()
	return asAnswer(t.Render(ctx, in))
}

// watchdog ends the process when a render takes too much.
type watchdog struct {
	renders chan Limits // those of a render that begins, and none of one that is over
	exit    func(code int)
}

func (w *watchdog) run() {
	const often = 2 * time.Millisecond
	for limits := range w.renders {
		ends := time.Now().Add(2 * limits.Time)
		for limits != (Limits{}) {
			select {
			case limits = <-w.renders:
			case now := <-time.After(often):
				switch {
				case tooMuch(limits):
					w.exit(exitMemory)
				case now.After(ends):
					w.exit(exitTime)
				}
			}
		}
	}
}

// tooMuch tells whether the process has more memory than it may.
func tooMuch(l Limits) bool { return memoryInUse() > l.Memory }

// memoryInUse is the memory of the heap's objects and the stacks, in bytes.
func memoryInUse() int64 {
	samples := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}
	metrics.Read(samples)
	var n uint64
	for _, s := range samples {
		n += s.Value.Uint64()
	}
	return int64(n)
}
