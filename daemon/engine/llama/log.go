package llama

import (
	"log/slog"
	"strings"
	"sync"
	"unsafe"
)

// maxLogLine bounds a line of the libraries, and maxLogKept the lines kept to explain an error.
const (
	maxLogLine = 1024
	maxLogKept = 8
)

// Levels of ggml's log.
const (
	logWarn     = 3
	logError    = 4
	logContinue = 5 // more of the line before
)

// logLines takes what the libraries print: warnings go to the log, errors are kept as the reason of a failed call.
type logLines struct {
	log *slog.Logger

	mu    sync.Mutex // guards the rest
	level uintptr
	line  strings.Builder
	kept  []string
}

// callback has the signature of ggml_log_callback, for any thread.
func (l *logLines) callback(level, text, _ uintptr) uintptr {
	l.mu.Lock()
	defer l.mu.Unlock()
	if level != logContinue {
		l.level = level
	}
	if l.level < logWarn {
		return 0
	}
	for _, c := range cString(text) {
		if c != '\n' {
			if l.line.Len() < maxLogLine {
				l.line.WriteByte(c)
			}
			continue
		}
		l.flush()
	}
	return 0
}

func (l *logLines) flush() {
	line := l.line.String()
	l.line.Reset()
	if line == "" {
		return
	}
	if l.level == logError {
		l.kept = append(l.kept, line)
		l.kept = l.kept[max(0, len(l.kept)-maxLogKept):]
	}
	l.log.Debug("llama.cpp", "line", line)
}

// reset forgets the errors of earlier calls.
func (l *logLines) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kept = nil
}

// reason is the errors printed since reset, for the text of an error.
func (l *logLines) reason() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.kept) == 0 {
		return "llama.cpp gave no reason"
	}
	return strings.Join(l.kept, "; ")
}

// cString is the text at p, up to its NUL or to maxLogLine bytes; it must not be kept.
func cString(p uintptr) []byte {
	if p == 0 {
		return nil
	}
	start := (*byte)(address(p))
	n := 0
	for n < maxLogLine && *(*byte)(unsafe.Add(unsafe.Pointer(start), n)) != 0 {
		n++
	}
	return unsafe.Slice(start, n)
}

// address turns an address in C's memory into a pointer. Go's garbage collector does not know such memory, so
// nothing can move or free it behind the pointer's back.
func address(p uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&p)) }
