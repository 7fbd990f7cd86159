package main

import (
	"context"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
)

func TestSecondStartTellsTheFirst(t *testing.T) {
	dir := t.TempDir()
	first, err := claim(dir, message{})
	if err != nil || first == nil {
		t.Fatalf("claim: %v %v", first, err)
	}
	defer first.release()
	got := make(chan message, 1)
	go first.serve(t.Context(), func(m message) { got <- m })

	second, err := claim(dir, message{Files: []string{"/a.gguf"}, Hidden: true})
	if err != nil || second != nil {
		t.Fatalf("the second start gets %v, %v", second, err)
	}
	select {
	case m := <-got:
		if !slices.Equal(m.Files, []string{"/a.gguf"}) || !m.Hidden {
			t.Errorf("the first got %+v", m)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("the first was not told")
	}
}

func TestReleasedFolderCanBeClaimed(t *testing.T) {
	dir := t.TempDir()
	for range 2 {
		one, err := claim(dir, message{})
		if err != nil || one == nil {
			t.Fatalf("claim: %v %v", one, err)
		}
		one.release()
	}
}

// The endpoint is on loopback, where every user of the machine can connect.
func TestStrangersAreNotHeard(t *testing.T) {
	dir := t.TempDir()
	one, err := claim(dir, message{})
	if err != nil {
		t.Fatal(err)
	}
	defer one.release()
	got := make(chan message, 8)
	go one.serve(t.Context(), func(m message) { got <- m })
	for _, text := range []string{
		`{"token":"","files":["/x.gguf"]}`, `{"token":"wrong","files":["/x.gguf"]}`, "nonsense",
		`{"files":["` + strings.Repeat("x", maxMessage) + `"]}`,
	} {
		conn, err := net.Dial("tcp", one.listen.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = conn.Write([]byte(text))
		_ = conn.(*net.TCPConn).CloseWrite()
		answer := make([]byte, 3)
		if n, _ := conn.Read(answer); n != 0 {
			t.Errorf("%.40q is answered %q", text, answer[:n])
		}
		conn.Close()
	}
	if len(got) != 0 {
		t.Errorf("%+v was taken", <-got)
	}
	info, err := os.Stat(filepath.Join(dir, "ui.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the token's file: %v %v", info.Mode(), err)
	}
}

func TestRunningProgramThatDoesNotAnswer(t *testing.T) {
	dir := t.TempDir()
	one, err := claim(dir, message{})
	if err != nil {
		t.Fatal(err)
	}
	defer one.release()
	one.listen.Close()
	body, _ := json.Marshal(endpoint{one.listen.Addr().String(), one.token})
	if err := os.WriteFile(one.file, body, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := claim(dir, message{}); core.CodeOf(err) != core.CodeConflict {
		t.Errorf("error %v", err)
	}
}

func TestServeEnds(t *testing.T) {
	one, err := claim(t.TempDir(), message{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); one.serve(ctx, func(message) {}) }()
	cancel()
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		t.Fatal("serve goes on")
	}
	one.release()
}

func FuzzMessage(f *testing.F) {
	f.Add([]byte(`{"token":"t","files":["/a"],"hidden":true}`))
	f.Add([]byte(`{"token":`))
	one := &instance{token: "t"}
	f.Fuzz(func(t *testing.T, b []byte) {
		client, server := net.Pipe()
		go func() {
			_ = client.SetDeadline(time.Now().Add(time.Second))
			_, _ = client.Write(b)
			_, _ = client.Read(make([]byte, 8))
			client.Close()
		}()
		if m, ok := one.read(server); ok && m.Token != "t" {
			t.Fatalf("%q was taken", b)
		}
	})
}
