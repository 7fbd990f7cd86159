package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/mattn/go-isatty"
	"github.com/schollz/progressbar/v3"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// terminal is where a command reads and writes: text for a person, or one JSON object.
type terminal struct {
	in          *bufio.Reader
	out, err    io.Writer
	json        bool
	interactive bool // a person types the input
	screen      bool // a person sees the output
}

func newTerminal(in io.Reader, out, errOut io.Writer, asJSON bool) *terminal {
	return &terminal{
		in: bufio.NewReader(in), out: out, err: errOut, json: asJSON,
		interactive: isTerminal(in), screen: isTerminal(out) && isTerminal(errOut),
	}
}

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && (isatty.IsTerminal(f.Fd()) || isatty.IsCygwinTerminal(f.Fd()))
}

// show prints v as JSON, or calls text where a person reads.
func (t *terminal) show(v any, text func(w io.Writer)) error {
	if t.json {
		return json.NewEncoder(t.out).Encode(v)
	}
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	text(w)
	return w.Flush()
}

// failure is the JSON form of an error, the same as the API's error body.
type failure struct {
	Error struct {
		Message string `json:"message"`
		Type    string `json:"type"`
		Code    string `json:"code"`
		Hint    string `json:"hint,omitempty"`
	} `json:"error"`
}

// silent is an error whose command has already shown it; only its exit code is left to be given.
type silent struct{ code core.Code }

func (s silent) Error() string { return string(s.code) }

// fail shows err and returns its exit code.
func (t *terminal) fail(err error) int {
	if s, ok := errors.AsType[silent](err); ok {
		return core.ReportOf(s.code).Exit
	}
	code := core.CodeOf(err)
	report := core.ReportOf(code)
	hint := report.Hint
	if e, ok := errors.AsType[*core.Error](err); ok && e.Hint != "" {
		hint = e.Hint
	}
	if t.json {
		var f failure
		f.Error.Message, f.Error.Type, f.Error.Code, f.Error.Hint = err.Error(), report.Type, string(code), hint
		_ = json.NewEncoder(t.out).Encode(f) // nothing is left to report a broken output to
		return report.Exit
	}
	fmt.Fprintf(t.err, "shoald: %s\n", printable(err.Error()))
	if hint != "" {
		fmt.Fprintf(t.err, "        %s\n", hint)
	}
	return report.Exit
}

// progress returns a function for the progress of a long job: a bar where a person looks, else a line at each
// quarter. done must be called at the end.
func (t *terminal) progress(what string) (report func(core.Progress), done func()) {
	if t.json {
		return func(core.Progress) {}, func() {}
	}
	if !t.screen {
		return t.quarters(what), func() {}
	}
	var bar *progressbar.ProgressBar
	report = func(p core.Progress) {
		if bar == nil {
			bar = progressbar.NewOptions64(p.Total, progressbar.OptionSetWriter(t.err), progressbar.OptionSetDescription(what),
				progressbar.OptionShowBytes(true), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())
		}
		_ = bar.Set64(p.Done) // a bar that cannot be drawn must not stop the job
	}
	done = func() {
		if bar != nil {
			_ = bar.Finish()
		}
	}
	return report, done
}

func (t *terminal) quarters(what string) func(core.Progress) {
	next := int64(1)
	return func(p core.Progress) {
		if p.Total <= 0 || p.Done*4 < next*p.Total {
			return
		}
		next = p.Done*4/p.Total + 1
		fmt.Fprintf(t.err, "%s %d%% of %s\n", what, p.Done*100/p.Total, size(p.Total))
	}
}

// printable takes out what could move the cursor or change the terminal: text of a model or a file must not.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, s)
}

// size prints bytes in the unit that keeps the number short.
func size(bytes int64) string {
	const step = 1024
	value, units := float64(bytes), []string{"B", "KiB", "MiB", "GiB", "TiB"}
	unit := 0
	for value >= step && unit < len(units)-1 {
		value /= step
		unit++
	}
	if unit == 0 {
		return fmt.Sprintf("%d B", bytes)
	}
	return fmt.Sprintf("%.1f %s", value, units[unit])
}
