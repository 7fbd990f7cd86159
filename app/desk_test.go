//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"image"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/shoal-p2p/shoal/daemon/chat/renderer"
)

// desk is a screen with a window manager, and a session bus on which nothing starts by itself.
type desk struct {
	t       *testing.T
	dir     string // of the programs and of everything they write
	display string
	bus     string
	env     []string
}

// newDesk builds the programs and starts the screen, or skips the test where a part is missing.
func newDesk(t *testing.T) *desk {
	t.Helper()
	for _, program := range []string{"Xvfb", "xdotool", "xwininfo", "import", "openbox", "dbus-daemon"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is not installed; packaging/setup.sh test installs it", program)
		}
	}
	d := &desk{t: t, dir: t.TempDir()}
	runtime := runtimeDir(t)
	d.build("shoal", ".")
	d.build("shoal-worker", "./worker")
	d.startBus()
	d.startScreen()
	d.env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + d.dir, "DISPLAY=" + d.display, "DBUS_SESSION_BUS_ADDRESS=" + d.bus,
		"LANG=en_US.UTF-8", "LIBGL_ALWAYS_SOFTWARE=1", "FYNE_SCALE=1", "SHOAL_RUNTIME=" + runtime,
	}
	d.background(nil, "openbox", "--sm-disable")
	return d
}

// runtimeDir is where the llama.cpp libraries are.
func runtimeDir(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("SHOAL_RUNTIME")
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			t.Skip(err)
		}
		dir = filepath.Join(cache, "shoal", "runtime", "llama.cpp-v0.5.0-linux-x64-cpu")
	}
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("the llama.cpp libraries are not there (packaging/runtime/install.sh fetches them): %v", err)
	}
	return dir
}

// build puts a program of ours into the desk's folder. It is linked once for all tests.
func (d *desk) build(name, pkg string) {
	d.t.Helper()
	program := filepath.Join(builds, name)
	if _, err := os.Stat(program); err != nil {
		cmd := exec.Command("go", "build", "-buildvcs=false", "-o", program, pkg)
		if out, err := cmd.CombinedOutput(); err != nil {
			d.t.Fatalf("build %s: %v\n%s", name, err, out)
		}
	}
	if err := os.Link(program, filepath.Join(d.dir, name)); err != nil {
		d.t.Fatal(err)
	}
}

// builds is where the tests keep the programs they build.
var builds string

func TestMain(m *testing.M) {
	if slices.Equal(os.Args[1:], []string{renderer.Argument}) { // a node of these tests renders a chat template
		os.Exit(renderer.Serve(os.Stdin, os.Stdout, os.Exit))
	}
	dir, err := os.MkdirTemp("", "shoal-desktop-*")
	if err != nil {
		panic(err)
	}
	builds = dir
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// background starts a program that ends with the test.
func (d *desk) background(prepare func(*exec.Cmd), name string, args ...string) {
	d.t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = d.env
	if prepare != nil {
		prepare(cmd)
	}
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if d.t.Failed() {
			d.t.Logf("%s: %v %s", name, cmd.ProcessState, said.String())
		}
	})
}

// busConfig lets everyone in who knows the socket, and starts no services: no real keyring, no real portal.
const busConfig = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:path=%SOCKET%</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>`

func (d *desk) startBus() {
	socket, config := filepath.Join(d.dir, "bus"), filepath.Join(d.dir, "bus.conf")
	if err := os.WriteFile(config, []byte(strings.ReplaceAll(busConfig, "%SOCKET%", socket)), 0o600); err != nil {
		d.t.Fatal(err)
	}
	d.background(nil, "dbus-daemon", "--nofork", "--config-file="+config)
	d.bus = "unix:path=" + socket
	d.until("the bus is there", func() bool { _, err := os.Stat(socket); return err == nil })
}

// startScreen starts Xvfb on a display number of its own choice.
func (d *desk) startScreen() {
	read, write, err := os.Pipe()
	if err != nil {
		d.t.Fatal(err)
	}
	defer read.Close()
	d.background(func(c *exec.Cmd) { c.ExtraFiles = []*os.File{write} },
		"Xvfb", "-displayfd", "3", "-screen", "0", "1400x900x24", "+extension", "GLX", "-nolisten", "tcp", "-noreset")
	write.Close()
	number, err := bufio.NewReader(read).ReadString('\n')
	if err != nil {
		d.t.Fatalf("Xvfb did not start: %v", err)
	}
	d.display = ":" + strings.TrimSpace(number)
}

// until waits for something, asking again and again.
func (d *desk) until(what string, cond func() bool) {
	d.t.Helper()
	poll(d.t, what, cond, func() string { return "" })
}

func poll(t *testing.T, what string, cond func() bool, why func() string) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited %v until %s\n%s", patience, what, why())
		}
	}
}

// tool runs a short program on the screen.
func (d *desk) tool(name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(d.t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = d.env
	out, err := cmd.Output()
	return strings.TrimSpace(string(out)), err
}

func (d *desk) xdotool(args ...string) {
	d.t.Helper()
	if out, err := d.tool("xdotool", args...); err != nil {
		d.t.Fatalf("xdotool %v: %v %s", args, err, out)
	}
}

// window is the id of Shoal's window if it is on the screen.
func (d *desk) window() string {
	out, err := d.tool("xdotool", "search", "--onlyvisible", "--name", "^Shoal$")
	if err != nil {
		return ""
	}
	id, _, _ := strings.Cut(out, "\n")
	return id
}

func (d *desk) waitForWindow(s *session) {
	d.t.Helper()
	start := time.Now()
	poll(d.t, "the window is on the screen", func() bool { return d.window() != "" }, s.log)
	d.t.Logf("the window took %v", time.Since(start).Round(time.Millisecond))
	d.xdotool("windowactivate", "--sync", d.window())
	d.settle()
}

// settle waits until the screen stands still.
func (d *desk) settle() {
	d.t.Helper()
	last, same := []byte(nil), 0
	d.until("the screen stands still", func() bool {
		out, err := d.tool("import", "-window", "root", "-depth", "8", "rgb:-")
		if err != nil {
			return false
		}
		if bytes.Equal([]byte(out), last) {
			same++
		} else {
			same = 0
		}
		last = []byte(out)
		return same >= 2
	})
}

// click clicks at a place of the window. The pause lets the program see the pointer before the button.
func (d *desk) click(x, y int) {
	d.t.Helper()
	left, top := d.origin()
	d.xdotool("mousemove", strconv.Itoa(left+x), strconv.Itoa(top+y), "sleep", ".3", "click", "1", "sleep", ".3")
}

// origin is where the content of the window starts on the screen.
func (d *desk) origin() (x, y int) {
	d.t.Helper()
	out, err := d.tool("xwininfo", "-id", d.window())
	if err != nil {
		d.t.Fatal(err)
	}
	for _, line := range strings.Split(out, "\n") {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "Absolute upper-left X:"); ok {
			x, _ = strconv.Atoi(strings.TrimSpace(rest))
		}
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "Absolute upper-left Y:"); ok {
			y, _ = strconv.Atoi(strings.TrimSpace(rest))
		}
	}
	return x, y
}

func (d *desk) press(keys string) {
	d.t.Helper()
	d.xdotool("key", "--clearmodifiers", keys, "sleep", ".3")
}

func (d *desk) typeText(text string) { d.t.Helper(); d.xdotool("type", "--delay", "15", text) }

// closeWindow closes the window by its key, until it has gone: a busy window manager may miss one.
func (d *desk) closeWindow() {
	d.t.Helper()
	tries := 0
	d.until("the window has gone", func() bool {
		if tries++; tries%20 == 1 && d.window() != "" {
			d.press("alt+F4")
		}
		return d.window() == ""
	})
}

// shoot takes a picture of the window and returns its file.
func (d *desk) shoot(name string) string {
	d.t.Helper()
	dir := filepath.Join("..", "build", "screenshots")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		d.t.Fatal(err)
	}
	file := filepath.Join(dir, name+".png")
	d.until(name+" is not blank", func() bool {
		_, err := d.tool("import", "-window", d.window(), file)
		return err == nil && countColours(readPNG(d.t, file)) > 50
	})
	return file
}

func countColours(img image.Image) int {
	seen := map[[3]uint32]bool{}
	b := img.Bounds()
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			r, g, bl, _ := img.At(x, y).RGBA()
			seen[[3]uint32{r, g, bl}] = true
		}
	}
	return len(seen)
}

func readPNG(t *testing.T, file string) image.Image {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	img, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	return img
}
