package secret

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shoal-p2p/shoal/daemon/core"
)

func noEnv(string) string { return "" }

func headless(t *testing.T) (Vault, string) {
	t.Helper()
	dir := t.TempDir()
	return Open(t.Context(), Config{Dir: dir, Owner: "n", Getenv: noEnv}), dir
}

// conform is what every Vault must do.
func conform(t *testing.T, v Vault) {
	t.Helper()
	ctx := context.Background()
	if _, err := v.Get(ctx, "none"); !errors.Is(err, ErrNotFound) {
		t.Errorf("an unknown name: %v, want ErrNotFound", err)
	}
	for _, value := range []string{"first", "sécond\n\x00"} {
		if err := v.Set(ctx, "name", NewText(value)); err != nil {
			t.Fatal(err)
		}
		if got, err := v.Get(ctx, "name"); err != nil || got.Reveal() != value {
			t.Errorf("got %q, %v; want %q", got.Reveal(), err, value)
		}
	}
	for range 2 {
		if err := v.Delete(ctx, "name"); err != nil {
			t.Errorf("delete: %v", err)
		}
	}
	if _, err := v.Get(ctx, "name"); !errors.Is(err, ErrNotFound) {
		t.Errorf("after delete: %v, want ErrNotFound", err)
	}
}

func TestFileVault(t *testing.T) {
	v, dir := headless(t)
	conform(t, v)
	if err := v.Set(t.Context(), "openai", NewText("sk-very-secret")); err != nil {
		t.Fatal(err)
	}
	files, _ := os.ReadDir(dir)
	for _, f := range files {
		data, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil || bytes.Contains(data, []byte("sk-very-secret")) || bytes.Contains(data, []byte("openai")) {
			t.Errorf("%s shows a secret or its name: %v", f.Name(), err)
		}
		if fi, _ := f.Info(); fi.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", f.Name(), fi.Mode().Perm())
		}
	}
	again := Open(t.Context(), Config{Dir: dir, Getenv: noEnv})
	if got, err := again.Get(t.Context(), "openai"); err != nil || got.Reveal() != "sk-very-secret" {
		t.Errorf("after a restart: %q, %v", got.Reveal(), err)
	}
}

func TestDamagedBoxIsAnError(t *testing.T) {
	v, dir := headless(t)
	if err := v.Set(t.Context(), "a", NewText("b")); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, boxFile)
	box, _ := os.ReadFile(path)
	box[len(box)-1] ^= 1
	if err := os.WriteFile(path, box, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Get(t.Context(), "a"); core.CodeOf(err) != core.CodeCorrupt {
		t.Errorf("got %v, want corrupt", err)
	}
	if err := v.Set(t.Context(), "c", NewText("d")); core.CodeOf(err) != core.CodeCorrupt {
		t.Errorf("a damaged box was overwritten: %v", err)
	}
}

func TestNoVerbOrEncodingShowsASecret(t *testing.T) {
	key := NewText("hunter2")
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("m", "key", key, "pair", []any{key})
	slog.New(slog.NewTextHandler(&log, nil)).Info("m", "key", key, "in", struct{ K Text }{key})
	js, _ := json.Marshal(map[string]any{"k": key})
	out := log.String() + string(js)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		out += fmt.Sprintf(verb, key) + fmt.Sprintf(verb, struct{ K Text }{key}) + fmt.Sprintf(verb, &key)
	}
	if strings.Contains(out, "hunter2") || strings.Contains(out, "68756e74657232") {
		t.Errorf("the secret shows: %s", out)
	}
	if !strings.Contains(out, redacted) || key.Reveal() != "hunter2" || !key.Equal("hunter2") || key.Equal("hunter") {
		t.Error("the secret cannot be used")
	}
}

func TestAPIKeyWithoutKeyring(t *testing.T) {
	v, dir := headless(t)
	key, place, err := APIKey(t.Context(), v, dir)
	if err != nil || len(key.Reveal()) != 64 || place != filepath.Join(dir, "api_key") {
		t.Fatalf("key of %d digits in %s, %v", len(key.Reveal()), place, err)
	}
	if fi, _ := os.Stat(place); fi.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, want 0600", fi.Mode().Perm())
	}
	again, _, err := APIKey(t.Context(), v, dir)
	if err != nil || !again.Equal(key.Reveal()) {
		t.Errorf("the key changed, %v", err)
	}
}

func TestAPIKeySetByHand(t *testing.T) {
	for text, ok := range map[string]bool{"my-own-key-0123456789\r\n": true, "short": false, "": false, "with a space in the middle": false} {
		v, dir := headless(t)
		if err := os.WriteFile(filepath.Join(dir, "api_key"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		key, place, err := APIKey(t.Context(), v, dir)
		if ok != (err == nil) || ok && key.Reveal() != strings.TrimSpace(text) {
			t.Errorf("%q: %q, %v", text, key.Reveal(), err)
		}
		if fi, _ := os.Stat(place); ok && fi.Mode().Perm() != 0o600 {
			t.Errorf("mode %v, want 0600", fi.Mode().Perm())
		}
	}
}

func TestNoBusIsEverStarted(t *testing.T) {
	for address, want := range map[string]bool{"": false, "autolaunch:": false, "unix:path=/run/user/1/bus": true} {
		if got := keyringPossible(func(string) string { return address }); got != want {
			t.Errorf("%q: %v, want %v", address, got, want)
		}
	}
}

func FuzzUnseal(f *testing.F) {
	key := make([]byte, 32)
	box, err := seal(key, []byte(`{"a":"b"}`))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(box)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		plain, err := unseal(key, data)
		if err == nil && string(plain) != `{"a":"b"}` {
			t.Fatalf("a forged box was opened: %q", plain)
		}
	})
}

func TestKeyFileAsEditorsSaveIt(t *testing.T) {
	dir := t.TempDir()
	v := openFile(dir)
	for text, want := range map[string]core.Code{
		"\ufeff0123456789abcdef\r\n":             "",
		strings.Repeat("0123456789abcdef", 1000): core.CodeTooLarge, // and not the key that its first part would be
		"0123":                                   core.CodeInvalidRequest,
	} {
		if err := os.WriteFile(filepath.Join(dir, apiKeyFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		key, _, err := APIKey(t.Context(), v, dir)
		if core.CodeOf(err) != want || err == nil && !key.Equal("0123456789abcdef") {
			t.Errorf("%.20q: %v, want %q", text, err, want)
		}
	}
}
