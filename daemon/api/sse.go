package api

import (
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// eventStream writes server-sent events. The header goes out with the first event or, when none comes for a while,
// with the first keep-alive comment; until then the reply can still be an error with its own status.
type eventStream struct {
	c    *gin.Context
	stop chan struct{}
	over sync.WaitGroup

	mu     sync.Mutex // guards the writer and opened
	opened bool
}

// openEvents starts a stream with a comment every keepAlive, which proxies and clients need while a long prompt is
// read. It must be closed.
func openEvents(c *gin.Context, keepAlive time.Duration) *eventStream {
	e := &eventStream{c: c, stop: make(chan struct{})}
	e.over.Go(func() { e.keepOpen(keepAlive) })
	return e
}

func (e *eventStream) keepOpen(every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-e.stop:
			return
		case <-tick.C:
			if e.write([]byte(": keep-alive\n\n")) != nil {
				return // the next event meets the same error
			}
		}
	}
}

// send writes v as one event.
func (e *eventStream) send(v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return core.Errorf(core.CodeInternal, "encode an event: %w", err)
	}
	return e.write(frame(data))
}

// frame puts data, which has no line breaks, in the form of an event.
func frame(data []byte) []byte {
	out := make([]byte, 0, len(data)+8)
	out = append(out, "data: "...)
	out = append(out, data...)
	return append(out, "\n\n"...)
}

// header lets fn set headers of the reply; after a keep-alive comment they are out already and nothing changes.
func (e *eventStream) header(fn func(http.Header)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.opened {
		fn(e.c.Writer.Header())
	}
}

// done writes the mark of a complete reply.
func (e *eventStream) done() error {
	return e.write(frame([]byte("[DONE]")))
}

// write sends raw bytes at once. An error means that the client is gone.
func (e *eventStream) write(p []byte) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.opened {
		e.opened = true
		h := e.c.Writer.Header()
		h.Set("Content-Type", "text/event-stream; charset=utf-8")
		h.Set("X-Accel-Buffering", "no")
		e.c.Status(http.StatusOK)
	}
	_, err := e.c.Writer.Write(p)
	if err == nil {
		err = http.NewResponseController(e.c.Writer).Flush()
	}
	if err != nil {
		return core.Errorf(core.CodeCancelled, "the client is gone: %w", err)
	}
	return nil
}

// fail tells err to the client: as an event when the stream is open, else by returning it for a reply of its own.
func (e *eventStream) fail(err error) error {
	e.mu.Lock()
	opened := e.opened
	e.mu.Unlock()
	if !opened {
		return err
	}
	body, _ := errorBody(err)
	_ = e.send(body) // a client that is gone needs no word
	return &toldError{err}
}

// close ends the keep-alive comments. It does not write.
func (e *eventStream) close() {
	close(e.stop)
	e.over.Wait()
}

// toldError is an error that the client has been told already.
type toldError struct{ cause error }

func (e *toldError) Error() string { return e.cause.Error() }

func (e *toldError) Unwrap() error { return e.cause }
