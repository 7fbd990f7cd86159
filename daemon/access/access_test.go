package access

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shoal-p2p/shoal/daemon/secret"

	"github.com/shoal-p2p/shoal/daemon/core"
)

func noKeyring(string) string { return "" }

func TestAccessWithoutNode(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	first, err := Of(t.Context(), dir, noKeyring)
	if err != nil || first.URL != "" || first.Key.IsZero() || first.Place != filepath.Join(dir, "api_key") {
		t.Fatalf("%+v, %v", first, err)
	}
	again, err := Of(t.Context(), dir, noKeyring)
	if err != nil || !again.Key.Equal(first.Key.Reveal()) {
		t.Errorf("the key changed: %v", err)
	}
}

func TestReadAddress(t *testing.T) {
	dir := t.TempDir()
	for text, want := range map[string]string{
		"http://127.0.0.1:8800\n": "http://127.0.0.1:8800", "http://[::1]:1": "http://[::1]:1",
		"": "", "\x00": "", "file:///etc/passwd": "", "http://": "", "https://elsewhere.example": "",
	} {
		if err := os.WriteFile(filepath.Join(dir, addressFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := readAddress(dir); got != want || err != nil {
			t.Errorf("%q: got %q, %v", text, got, err)
		}
	}
}

func TestCurlShowsNoKey(t *testing.T) {
	a := Access{URL: "http://127.0.0.1:8800", Key: secret.NewText("sk-very-secret"), Place: filepath.Join(t.TempDir(), "it's here", "api_key")}
	line := a.Curl("shoald key")
	if strings.Contains(line, "sk-very") || !strings.Contains(line, `$(cat '`) || !strings.Contains(line, `it'\''s here`) {
		t.Errorf("key in a file: %s", line)
	}
	a.Place = "the keyring of this account"
	if line := a.Curl("shoald key"); !strings.Contains(line, "$(shoald key)") {
		t.Errorf("key in the keyring: %s", line)
	}
}

func TestShellWord(t *testing.T) {
	for path, want := range map[string]string{"/a/b-c_1.x": "/a/b-c_1.x", "": "''", "/a b": "'/a b'", "/$(x)": "'/$(x)'", "/it's": `'/it'\''s'`} {
		if got := ShellWord(path); got != want {
			t.Errorf("%q: got %s, want %s", path, got, want)
		}
	}
}

func TestCheckListen(t *testing.T) {
	for listen, want := range map[string]struct{ right, open bool }{
		"127.0.0.1:8800":     {true, false},
		"localhost:8800":     {true, false},
		"[::1]:8800":         {true, false},
		"0.0.0.0:8800":       {true, true},
		":8800":              {true, true},
		"[::]:8800":          {true, true},
		"evil.example:80":    {false, true},
		"203.0.113.7:8800":   {false, true},
		"[2001:db8::1]:8800": {false, true},
		"8800":               {false, false},
	} {
		if err := CheckListen(listen); (err == nil) != want.right || err != nil && core.CodeOf(err) != core.CodeInvalidRequest {
			t.Errorf("%s: %v", listen, err)
		}
		if warning := Exposed(listen); (warning != "") != want.open {
			t.Errorf("%s: %q", listen, warning)
		}
	}
}
