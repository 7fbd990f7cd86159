package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shoal-p2p/shoal/daemon/chat/renderer"
	"github.com/shoal-p2p/shoal/daemon/core"
)

// binary is the real program, built once, with shoal-worker beside it.
var binary string

func TestMain(m *testing.M) {
	if slices.Equal(os.Args[1:], []string{renderer.Argument}) { // a node of these tests renders a chat template
		os.Exit(renderer.Serve(os.Stdin, os.Stdout, os.Exit))
	}
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "shoald-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	suffix := ""
	if runtime.GOOS == "windows" {
		suffix = ".exe"
	}
	binary = filepath.Join(dir, "shoald"+suffix)
	for out, source := range map[string]string{binary: ".", filepath.Join(dir, "shoal-worker"+suffix): "../worker"} {
		if text, err := exec.Command("go", "build", "-o", out, source).CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build %s: %v\n%s", source, err, text)
			return 1
		}
	}
	return m.Run()
}

// user is a fresh account: a home of its own, no session bus, no node.
type user struct {
	t       *testing.T
	home    string
	runtime string // folder of the llama.cpp libraries; empty where there are none
}

func newUser(t *testing.T) user {
	t.Helper()
	return user{t, t.TempDir(), runtimeDir()}
}

// runtimeDir is where packaging/runtime/install.sh puts the libraries.
func runtimeDir() string {
	if dir := os.Getenv("SHOAL_RUNTIME"); dir != "" {
		return dir
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(cache, "shoal", "runtime", "llama.cpp-v0.5.0-linux-x64-cpu")
}

func (u user) needRuntime() {
	u.t.Helper()
	if _, err := os.Stat(u.runtime); err != nil {
		u.t.Skipf("no llama.cpp libraries in %s; packaging/runtime/install.sh puts them there", u.runtime)
	}
}

func (u user) environ() []string {
	return []string{
		"HOME=" + u.home, "XDG_DATA_HOME=" + filepath.Join(u.home, "data"), "XDG_CACHE_HOME=" + filepath.Join(u.home, "cache"),
		"XDG_CONFIG_HOME=" + filepath.Join(u.home, "config"), "PATH=" + os.Getenv("PATH"), "SHOAL_RUNTIME=" + u.runtime,
		"TMPDIR=" + os.TempDir(),
	}
}

// dataDir is the folder that --data-dir names in every call.
func (u user) dataDir() string { return filepath.Join(u.home, "node") }

// command prepares a call of the program, if args do not say otherwise on an address where nobody listens.
func (u user) command(ctx context.Context, args ...string) *exec.Cmd {
	args = append(args, "--data-dir", u.dataDir())
	if !slices.Contains(args, "--listen") {
		args = append(args, "--listen", "127.0.0.1:0")
	}
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env = u.environ()
	return cmd
}

// result is what a finished call left.
type result struct {
	code     int
	out, err string
}

func (u user) run(args ...string) result { return u.runIn("", args...) }

func (u user) runIn(input string, args ...string) result {
	u.t.Helper()
	ctx, cancel := context.WithTimeout(u.t.Context(), 5*time.Minute)
	defer cancel()
	cmd := u.command(ctx, args...)
	var out, errOut bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &out, &errOut
	err := cmd.Run()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		u.t.Fatalf("shoald %v: %v", args, err)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errOut.String()}
}

// ok runs a call that must succeed and returns its output.
func (u user) ok(args ...string) string {
	u.t.Helper()
	r := u.run(args...)
	if r.code != 0 {
		u.t.Fatalf("shoald %v: exit code %d\n%s%s", args, r.code, r.out, r.err)
	}
	return r.out
}

// object runs a call with --json and decodes its one object.
func (u user) object(code int, args ...string) map[string]any {
	u.t.Helper()
	r := u.run(append(args, "--json")...)
	if r.code != code {
		u.t.Fatalf("shoald %v: exit code %d, want %d\n%s%s", args, r.code, code, r.out, r.err)
	}
	var v map[string]any
	if err := json.Unmarshal([]byte(r.out), &v); err != nil {
		u.t.Fatalf("shoald %v: %v in %q", args, err, r.out)
	}
	return v
}

func failureCode(v map[string]any) string {
	e, _ := v["error"].(map[string]any)
	code, _ := e["code"].(string)
	return code
}

func TestVersion(t *testing.T) {
	u := newUser(t)
	if v := u.object(0, "version"); v["os"] != runtime.GOOS || v["go_version"] != runtime.Version() {
		t.Errorf("version: %v", v)
	}
}

func TestUsageErrors(t *testing.T) {
	u := newUser(t)
	for _, args := range [][]string{{"bogus"}, {"import"}, {"import", "/does/not/exist.gguf"}, {"chat", "--temperature", "hot"}, {"completion", "tcsh"}, {"rm", "../escape"}} {
		if v := u.object(2, args...); failureCode(v) != string(core.CodeInvalidRequest) {
			t.Errorf("%v: %v", args, v)
		}
		if r := u.run(args...); r.code != 2 || r.out != "" || !strings.HasPrefix(r.err, "shoald: ") {
			t.Errorf("%v: %+v", args, r)
		}
	}
}

func TestHelpNamesEveryExitCode(t *testing.T) {
	help := newUser(t).ok("--help")
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, codes, _ := strings.Cut(strings.Join(strings.Fields(help), " "), "Exit codes: ")
	for _, c := range []core.Code{
		core.CodeInvalidRequest, core.CodeUnauthorized, core.CodeNotFound, core.CodeConflict, core.CodeOverloaded, core.CodeCancelled,
		core.CodeNoRuntime, core.CodeCorrupt, core.CodeDiskFull, core.CodeTimeout, core.CodeInternal,
	} {
		exit := core.ReportOf(c).Exit
		if !strings.Contains(codes, fmt.Sprintf(" %d ", exit)) {
			t.Errorf("--help does not explain exit code %d (%s)", exit, c)
		}
		if !strings.Contains(string(readme), fmt.Sprintf("\n| %d | ", exit)) {
			t.Errorf("the README does not explain exit code %d (%s)", exit, c)
		}
	}
}

func TestCompletionOfBash(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash")
	}
	script := newUser(t).ok("completion", "bash") + `
complete_it() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _shoald; echo "${COMPREPLY[*]}"; }
complete_it shoald doc
complete_it shoald --json config se
complete_it shoald completion z
complete_it shoald import --win
`
	out, err := exec.CommandContext(t.Context(), bash, "-c", script).CombinedOutput()
	if want := "doctor\nset\nzsh\n--windows\n"; err != nil || string(out) != want {
		t.Errorf("got %q, %v, want %q", out, err, want)
	}
}

func TestCompletionOfEveryShell(t *testing.T) {
	u := newUser(t)
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		script := u.ok("completion", shell)
		for _, want := range []string{"doctor", "config set", "--data-dir"} {
			if !strings.Contains(script, want) {
				t.Errorf("%s: %q is missing", shell, want)
			}
		}
	}
}

func TestStatusWithoutNode(t *testing.T) {
	if v := newUser(t).object(core.ReportOf(core.CodeNotReady).Exit, "status"); v["running"] != false {
		t.Errorf("status: %v", v)
	}
}

func TestSettings(t *testing.T) {
	u := newUser(t)
	u.ok("config", "set", "windows", "3")
	if got := u.ok("config", "get", "windows"); got != "3\n" {
		t.Errorf("windows is %q", got)
	}
	u.ok("config", "set", "cors_allow", "https://a.example,https://b.example")
	if v := u.object(0, "config", "get", "cors_allow"); fmt.Sprint(v["cors_allow"]) != "[https://a.example https://b.example]" {
		t.Errorf("cors_allow: %v", v)
	}
	if v := u.object(2, "config", "set", "windows", "1000"); failureCode(v) != string(core.CodeInvalidRequest) {
		t.Errorf("windows 1000: %v", v)
	}
	if v := u.object(4, "config", "get", "colour"); failureCode(v) != string(core.CodeNotFound) {
		t.Errorf("colour: %v", v)
	}
	if v := u.object(0, "config"); v["windows"] != 3.0 {
		t.Errorf("config: %v", v)
	}
}

func TestKeyIsKept(t *testing.T) {
	u := newUser(t)
	key := strings.TrimSpace(u.ok("key"))
	if len(key) < 32 || strings.TrimSpace(u.ok("key")) != key {
		t.Errorf("key %q", key)
	}
	file, err := os.ReadFile(filepath.Join(u.dataDir(), "api_key"))
	if err != nil || strings.TrimSpace(string(file)) != key {
		t.Errorf("without a keyring the key is not in the file: %v", err)
	}
}

func TestPrintable(t *testing.T) {
	if got := printable("a\x1b[2Jb\r\u009bc\n\td"); got != "a[2Jbc\n\td" {
		t.Errorf("got %q", got)
	}
}

func TestSize(t *testing.T) {
	for bytes, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1536: "1.5 KiB", 668 << 20: "668.0 MiB", 5 << 40: "5.0 TiB"} {
		if got := size(bytes); got != want {
			t.Errorf("%d: got %q, want %q", bytes, got, want)
		}
	}
}
