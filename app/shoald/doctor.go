package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
)

type doctorCmd struct{}

// finding is the outcome of one check. Hint says what to do when it is not OK.
type finding struct {
	Check  string `json:"check"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
	Hint   string `json:"hint,omitempty"`
}

// minDisk is the free space under which importing a model makes little sense, in bytes.
const minDisk = 2 << 30

// Run makes every check, the later ones too when an earlier one fails. The exit code is that of the first failure.
func (*doctorCmd) Run(s *session) error {
	checks := []struct {
		name string
		run  func(*session) (string, error)
	}{
		{"settings", checkSettings},
		{"data folder", checkDataFolder},
		{"disk", checkDisk},
		{"secrets", checkSecrets},
		{"address", checkAddress},
		{"clock", checkClocks},
		{"llama.cpp", checkRuntime},
		{"self-test", checkAnswer},
	}
	var found []finding
	var first error
	for _, c := range checks {
		detail, err := c.run(s)
		f := finding{Check: c.name, OK: err == nil, Detail: detail}
		if err != nil {
			first = errors.Join(first, err)
			f.Detail, f.Hint = err.Error(), hintOf(err)
		}
		found = append(found, f)
	}
	if err := s.show(map[string]any{"ok": first == nil, "checks": found}, func(w io.Writer) { printFindings(w, found) }); err != nil {
		return err
	}
	if first != nil {
		return silent{core.CodeOf(first)}
	}
	return nil
}

func printFindings(w io.Writer, found []finding) {
	for _, f := range found {
		word := "ok"
		if !f.OK {
			word = "FAIL"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", word, f.Check, printable(f.Detail))
		if f.Hint != "" {
			fmt.Fprintf(w, "\t\t-> %s\n", f.Hint)
		}
	}
}

func hintOf(err error) string {
	if e, ok := errors.AsType[*core.Error](err); ok && e.Hint != "" {
		return e.Hint
	}
	return core.ReportOf(core.CodeOf(err)).Hint
}

func checkSettings(s *session) (string, error) {
	m, err := s.cli.settings()
	if err != nil {
		return "", err
	}
	if unknown := m.UnknownKeys(); len(unknown) > 0 {
		return "", core.Errorf(core.CodeInvalidRequest, "%s has settings that mean nothing: %s", m.Path(), strings.Join(unknown, ", ")).
			WithHint("Mend the names or take them out; shoald config lists all settings.")
	}
	return m.Path(), nil
}

func checkDataFolder(s *session) (string, error) {
	dir := s.cli.paths().data
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", core.Errorf(core.CodeForbidden, "make the data folder: %w", err).WithHint("Choose another with --data-dir.")
	}
	probe, err := os.CreateTemp(dir, ".doctor-*")
	if err != nil {
		return "", core.Errorf(core.CodeForbidden, "write in the data folder: %w", err).WithHint("Choose another with --data-dir.")
	}
	return dir, errors.Join(probe.Close(), os.Remove(probe.Name()))
}

func checkDisk(s *session) (string, error) {
	free, err := s.cli.freeDisk(s.ctx)
	if err != nil {
		return "", err
	}
	if free < minDisk {
		return "", core.Errorf(core.CodeDiskFull, "only %s are free", size(free))
	}
	return size(free) + " free", nil
}

func checkSecrets(s *session) (string, error) {
	_, place, err := s.apiKey()
	if err != nil {
		return "", err
	}
	return "the API key is in " + place, nil
}

func checkAddress(s *session) (string, error) {
	m, err := s.cli.settings()
	if err != nil {
		return "", err
	}
	address := m.Get().Listen
	l, err := new(net.ListenConfig).Listen(s.ctx, "tcp", address)
	if err == nil {
		return address + " is free", l.Close()
	}
	if n, running := s.running(); running == nil && n != nil {
		return "Shoal is running on " + address, nil
	}
	return "", core.Errorf(core.CodeConflict, "%s cannot be used: %w", address, err).
		WithHint("Another program has it; choose another with shoald config set listen 127.0.0.1:PORT.")
}

func checkRuntime(s *session) (string, error) {
	info, err := s.cli.runtimeInfo(s.ctx)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s %s in %s; devices: %s", info.Version, info.Flavour, info.Dir, devices(info)), nil
}

func devices(info engine.RuntimeInfo) string {
	var names []string
	for _, d := range info.Devices {
		names = append(names, fmt.Sprintf("%s (%s, %s free)", d.Name, d.Description, size(d.FreeBytes)))
	}
	return strings.Join(names, ", ")
}

// checkAnswer asks the model that is built into the program a question with one right answer, on a node and data
// folder of its own: it proves import, shards, engine and chat at once, whatever models the user has.
func checkAnswer(s *session) (string, error) {
	reply, err := s.cli.askDemo(s.ctx, demoQuestion)
	if err != nil {
		return "", err
	}
	if !strings.Contains(reply, demoAnswer) {
		return "", core.Errorf(core.CodeInternal, "the built-in model answered %q", reply).
			WithHint("The engine computes wrong results on this PC: try other llama.cpp libraries with --runtime.")
	}
	return fmt.Sprintf("asked %q, the built-in model said %q", demoQuestion, reply), nil
}

// checkClocks compares the clock of this PC with those of the members that are connected.
func checkClocks(s *session) (string, error) {
	n, err := s.running()
	if n == nil || err != nil {
		return "not compared, Shoal is not running", nil //nolint:nilerr // another check says why it is not
	}
	members, err := n.Members(s.ctx)
	if err != nil {
		return "", err
	}
	return admin.CompareClocks(members)
}
