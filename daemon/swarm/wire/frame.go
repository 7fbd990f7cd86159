package wire

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// Kind is the type of a frame. Each protocol gives its own kinds a meaning.
type Kind uint8

// FirstPayload is the first kind of payload frames; those below are of control frames.
const FirstPayload Kind = 128

// Bounds of a frame, in bytes.
const (
	HeaderSize = 5
	MaxControl = 64 << 10
	MaxPayload = 8 << 20
)

const (
	readBuffer  = 64 << 10
	writeBuffer = 64 << 10
)

// limit is how long the body of a frame of this kind may be.
func (k Kind) limit() int {
	if k < FirstPayload {
		return MaxControl
	}
	return MaxPayload
}

// Reader reads frames from a stream. It is for one goroutine.
type Reader struct {
	stream  core.Stream
	in      *bufio.Reader
	idle    time.Duration
	payload int
	body    []byte
	header  [HeaderSize]byte
}

// NewReader makes a reader that gives up when no byte comes for as long as idle, and takes no payload longer than
// payload bytes (0 is MaxPayload).
func NewReader(s core.Stream, idle time.Duration, payload int) *Reader {
	r := &Reader{stream: s, idle: idle}
	r.SetLimit(payload)
	r.in = bufio.NewReaderSize(timedReader{r}, readBuffer)
	return r
}

// SetLimit changes the longest payload taken from now on.
func (r *Reader) SetLimit(payload int) {
	if r.payload = payload; payload <= 0 || payload > MaxPayload {
		r.payload = MaxPayload
	}
}

// SetIdle changes for how long no byte may come, from the next read of the stream on.
func (r *Reader) SetIdle(idle time.Duration) { r.idle = idle }

// timedReader sets a deadline before each read of the stream.
type timedReader struct{ *Reader }

// Read implements io.Reader.
func (r timedReader) Read(b []byte) (int, error) {
	if err := r.stream.SetReadDeadline(time.Now().Add(r.idle)); err != nil {
		return 0, err
	}
	return r.stream.Read(b)
}

// Next reads one frame. The body is valid until the next call. The error is io.EOF when the peer closed the stream
// between frames, has code core.CodeTooLarge for a frame over its bound, core.CodeTimeout when nothing came in time
// and core.CodeNotReady when the stream broke.
func (r *Reader) Next() (Kind, []byte, error) {
	if _, err := io.ReadFull(r.in, r.header[:]); err != nil {
		if err == io.EOF {
			return 0, nil, err
		}
		return 0, nil, broken("read", err)
	}
	n, kind := binary.LittleEndian.Uint32(r.header[:]), Kind(r.header[4])
	most := kind.limit()
	if kind >= FirstPayload {
		most = r.payload
	}
	if uint64(n) > uint64(most) {
		return 0, nil, core.Errorf(core.CodeTooLarge, "frame of kind %d has %d bytes, most are %d", kind, n, most)
	}
	if cap(r.body) < int(n) {
		r.body = make([]byte, n)
	}
	r.body = r.body[:n]
	if _, err := io.ReadFull(r.in, r.body); err != nil {
		return 0, nil, broken("read", err)
	}
	return kind, r.body, nil
}

// Take gives the body of the last frame away: the next frame goes into spare, or into new memory.
func (r *Reader) Take(spare []byte) { r.body = spare }

// Buffered is how many bytes came already and wait to be read: 0 says that the next frame may take a while.
func (r *Reader) Buffered() int { return r.in.Buffered() }

// Writer writes frames to a stream. It is safe for concurrent use: frames are whole.
type Writer struct {
	stream core.Stream
	stall  time.Duration

	mu  sync.Mutex // guards out and writes to the stream
	out *bufio.Writer
	buf []byte
}

// NewWriter makes a writer that gives up when the peer takes nothing for as long as stall.
func NewWriter(s core.Stream, stall time.Duration) *Writer {
	w := &Writer{stream: s, stall: stall}
	w.out = bufio.NewWriterSize(timedWriter{w}, writeBuffer)
	return w
}

// timedWriter writes pieces, each with a deadline of its own: a slow line is no stalled one.
type timedWriter struct{ *Writer }

// Write implements io.Writer.
func (w timedWriter) Write(b []byte) (n int, err error) {
	for n < len(b) {
		if err := w.stream.SetWriteDeadline(time.Now().Add(w.stall)); err != nil {
			return n, err
		}
		m, err := w.stream.Write(b[n:min(len(b), n+writeBuffer)])
		if n += m; err != nil {
			return n, err
		}
	}
	return n, nil
}

// Send writes a control frame and flushes it.
func (w *Writer) Send(kind Kind, m proto.Message) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var err error
	if w.buf, err = (proto.MarshalOptions{}).MarshalAppend(w.buf[:0], m); err != nil {
		return core.Errorf(core.CodeInternal, "encode message: %w", err)
	}
	return w.write(kind, w.buf)
}

// SendPayload writes a frame whose body is the parts in a row, and flushes it.
func (w *Writer) SendPayload(kind Kind, parts ...[]byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.write(kind, parts...)
}

func (w *Writer) write(kind Kind, parts ...[]byte) error {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	if most := kind.limit(); n > most {
		return core.Errorf(core.CodeTooLarge, "frame of kind %d has %d bytes, most are %d", kind, n, most)
	}
	var header [HeaderSize]byte
	binary.LittleEndian.PutUint32(header[:], uint32(n))
	header[4] = byte(kind)
	_, _ = w.out.Write(header[:]) // the writer keeps its first error
	for _, p := range parts {
		_, _ = w.out.Write(p)
	}
	if err := w.out.Flush(); err != nil {
		return broken("write", err)
	}
	return nil
}

// Unmarshal reads the body of a control frame into m. The error has code core.CodeInvalidRequest.
func Unmarshal(body []byte, m proto.Message) error {
	if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(body, m); err != nil {
		return core.Errorf(core.CodeInvalidRequest, "message: %w", err)
	}
	return nil
}

// broken says what became of a stream.
func broken(doing string, err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return core.Errorf(core.CodeTimeout, "%s frame: %w", doing, err)
	}
	return core.Errorf(core.CodeNotReady, "%s frame: %w", doing, err)
}
