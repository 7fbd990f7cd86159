package secret

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// insideVar tells a test binary started again that it runs in a session of its own, and which part to run there.
const insideVar = "SHOAL_TEST_KEYRING_SESSION"

// inSession runs this test again in a D-Bus session with a throw-away home, after the shell script before.
func inSession(t *testing.T, before string) {
	t.Helper()
	for _, program := range []string{"dbus-run-session", "gnome-keyring-daemon"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is not installed", program)
		}
	}
	cmd := exec.CommandContext(t.Context(), "dbus-run-session", "--", "sh", "-c",
		before+` exec "$0" -test.run "^$1\$" -test.v -test.count=1`, os.Args[0], t.Name())
	home := t.TempDir()
	cmd.Env = []string{insideVar + "=1", "HOME=" + home, "XDG_RUNTIME_DIR=" + home, "PATH=" + os.Getenv("PATH")}
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Errorf("in the session: %v", err)
	}
}

func inside() bool { return os.Getenv(insideVar) != "" }

func open(t *testing.T, dir string) Vault {
	t.Helper()
	return Open(t.Context(), Config{Dir: dir, Owner: "node-1", Getenv: os.Getenv})
}

func TestRealKeyring(t *testing.T) {
	if !inside() {
		inSession(t, `printf testpass | gnome-keyring-daemon --unlock --components=secrets >/dev/null;`)
		return
	}
	dir := t.TempDir()
	v := open(t, dir)
	if _, ok := v.(*keyringVault); !ok {
		t.Fatalf("secrets go to %s, want the keyring", v.Place())
	}
	conform(t, v)
	key, place, err := APIKey(t.Context(), v, dir)
	if err != nil || len(key.Reveal()) != 64 || place != v.Place() {
		t.Fatalf("key of %d digits in %s, %v", len(key.Reveal()), place, err)
	}
	if files, _ := os.ReadDir(dir); len(files) != 0 {
		t.Errorf("with a keyring, files are written: %v", files)
	}
	again, _, err := APIKey(t.Context(), open(t, t.TempDir()), dir)
	if err != nil || !again.Equal(key.Reveal()) {
		t.Errorf("the key changed, %v", err)
	}
	other := Open(t.Context(), Config{Dir: dir, Owner: "node-2", Getenv: os.Getenv})
	if theirs, _, err := APIKey(t.Context(), other, t.TempDir()); err != nil || theirs.Equal(key.Reveal()) {
		t.Errorf("two nodes of one user share a key, %v", err)
	}
}

func TestSessionWithoutKeyringFallsBackAtOnce(t *testing.T) {
	if !inside() {
		inSession(t, "")
		return
	}
	start := time.Now()
	dir := t.TempDir()
	if _, ok := open(t, dir).(*fileVault); !ok {
		t.Error("no keyring was started, yet one is used")
	}
	if took := time.Since(start); took > 6*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestLockedKeyringFallsBack(t *testing.T) {
	if !inside() {
		inSession(t, `gnome-keyring-daemon --start --components=secrets >/dev/null;`)
		return
	}
	dir := t.TempDir()
	v := open(t, dir)
	if _, ok := v.(*fileVault); !ok {
		t.Error("the locked keyring is used")
	}
	if _, place, err := APIKey(t.Context(), v, dir); err != nil || place != filepath.Join(dir, "api_key") {
		t.Errorf("key in %s, %v", place, err)
	}
}
