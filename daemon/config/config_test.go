package config

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/shoal-p2p/shoal/daemon/core"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func load(t *testing.T, text string, environ []string, flags map[string]string) (*Manager, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.toml")
	if text != "" {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return Load(Options{File: path, Environ: environ, Flags: flags})
}

func mustLoad(t *testing.T, text string) *Manager {
	t.Helper()
	m, err := load(t, text, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestOrderOfSources(t *testing.T) {
	const file = "version = 1\nmax_disk_mb = 200\nwindows = 2\nlog_level = 'warn'\n"
	m, err := load(t, file, []string{"SHOAL_WINDOWS=3", "SHOAL_LOG_LEVEL=error", "HOME=/x"}, map[string]string{"log_level": "debug"})
	if err != nil {
		t.Fatal(err)
	}
	got := m.Get()
	if got.MaxDiskMB != 200 || got.Windows != 3 || got.LogLevel != "debug" || got.ShardSizeMB != 512 {
		t.Errorf("disk %d, windows %d, log %s, shard %d; want file 200, variable 3, flag debug, default 512",
			got.MaxDiskMB, got.Windows, got.LogLevel, got.ShardSizeMB)
	}
}

func TestListFromVariable(t *testing.T) {
	m, err := load(t, "", []string{"SHOAL_CORS_ALLOW=https://a.example, http://b.example:81"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"https://a.example", "http://b.example:81"}; !slices.Equal(m.Get().CORSAllow, want) {
		t.Errorf("got %v, want %v", m.Get().CORSAllow, want)
	}
}

func TestBadValuesAreRefusedByName(t *testing.T) {
	for text, param := range map[string]string{
		"shard_size_mb = 63":          "shard_size_mb",
		"shard_size_mb = 2049":        "shard_size_mb",
		"max_concurrent_requests = 0": "max_concurrent_requests",
		"contribution = 'some'":       "contribution",
		"listen = 'nowhere'":          "listen",
		"listen = '127.0.0.1:70000'":  "listen",
		"p2p_listen = 'here'":         "p2p_listen",
		"cors_allow = ['*']":          "cors_allow",
		"region = 'Germany'":          "region",
		"version = 'x'":               "version",
	} {
		_, err := load(t, text, nil, nil)
		e, ok := errors.AsType[*core.Error](err)
		if !ok || e.Code != core.CodeInvalidRequest || e.Param != param {
			t.Errorf("%s: got %v, want invalid_request at %s", text, err, param)
		}
	}
	if _, err := load(t, "", []string{"SHOAL_WINDOWS=many"}, nil); core.CodeOf(err) != core.CodeInvalidRequest {
		t.Errorf("a word for a number: got %v", err)
	}
	if _, err := load(t, "", nil, map[string]string{"windos": "1"}); core.CodeOf(err) != core.CodeInvalidRequest {
		t.Errorf("an unknown flag: got %v", err)
	}
}

func TestSyntaxErrorNamesTheLine(t *testing.T) {
	_, err := load(t, "version = 1\nwindows = = 2\n", nil, nil)
	if err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("got %v, want line 2", err)
	}
}

func TestNewerVersionIsRefused(t *testing.T) {
	_, err := load(t, "version = 2\n", nil, nil)
	if core.CodeOf(err) != core.CodeUnsupported {
		t.Errorf("got %v, want unsupported", err)
	}
}

func TestUnknownKeysAreReported(t *testing.T) {
	m := mustLoad(t, "windows = 2\nzeta = 1\n[alpha]\nx = 1\n")
	if got, want := m.UnknownKeys(), []string{"alpha", "zeta"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestMigrationsRunInOrder(t *testing.T) {
	table := []migration{
		{2, func(doc map[string]any) error { doc["windows"] = doc["parts"]; delete(doc, "parts"); return nil }},
		{3, func(doc map[string]any) error { doc["windows"] = doc["windows"].(int64) + 1; return nil }},
	}
	s, unknown, err := decode([]byte("version = 1\nparts = 4\n"), table)
	if err != nil || s.Windows != 5 || len(unknown) != 0 {
		t.Errorf("from version 1: windows %d, unknown %v, %v; want 5", s.Windows, unknown, err)
	}
	s, _, err = decode([]byte("version = 2\nwindows = 4\n"), table)
	if err != nil || s.Windows != 5 {
		t.Errorf("from version 2: windows %d, %v; want 5", s.Windows, err)
	}
}

// TestGolden keeps the file of version 1 readable for ever, and shows a change of its text in review.
func TestGolden(t *testing.T) {
	want := Default()
	want.Listen = "0.0.0.0:9000"
	want.Contribution = Maximum
	want.CORSAllow = []string{"https://chat.example.org"}
	want.Windows = 3
	text, err := encode(&want)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("testdata/v1.toml", text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile("testdata/v1.toml")
	if err != nil {
		t.Fatal(err)
	}
	if string(golden) != string(text) {
		t.Error("the written file differs from testdata/v1.toml; run with -update and look at the change")
	}
	got, unknown, err := decode(golden, migrations())
	if err != nil || len(unknown) > 0 || !reflect.DeepEqual(got, want) {
		t.Errorf("golden file read as %+v, unknown %v, %v", got, unknown, err)
	}
}

type recorder struct {
	refuse    error
	verified  int
	committed []Settings
}

func (r *recorder) VerifyConfig(_, _ Settings) error { r.verified++; return r.refuse }
func (r *recorder) CommitConfig(_, to Settings)      { r.committed = append(r.committed, to) }

func TestUpdateVerifiesAllThenCommitsAll(t *testing.T) {
	m := mustLoad(t, "")
	first, second := &recorder{}, &recorder{refuse: errors.New("no")}
	m.Subscribe(first)
	m.Subscribe(second)
	set := func(s *Settings) error { s.Windows = 4; return nil }
	if _, err := m.Update(set); err == nil {
		t.Fatal("a refused change was made")
	}
	if m.Get().Windows != 1 || len(first.committed) != 0 {
		t.Error("a refused change had an effect")
	}
	if _, err := os.Stat(m.Path()); err == nil {
		t.Error("a refused change was saved")
	}
	second.refuse = nil
	if _, err := m.Update(set); err != nil {
		t.Fatal(err)
	}
	if len(first.committed) != 1 || len(second.committed) != 1 || first.committed[0].Windows != 4 {
		t.Errorf("commits %d and %d, want 1 and 1", len(first.committed), len(second.committed))
	}
	again, err := Load(Options{File: m.Path()})
	if err != nil || again.Get().Windows != 4 {
		t.Errorf("after a restart: %+v, %v", again, err)
	}
}

func TestSaveKeepsTheOldFile(t *testing.T) {
	m := mustLoad(t, "windows = 2 # mine\n")
	if _, err := m.Update(func(s *Settings) error { s.Windows = 3; return nil }); err != nil {
		t.Fatal(err)
	}
	bak, err := os.ReadFile(m.Path() + ".bak")
	if err != nil || string(bak) != "windows = 2 # mine\n" {
		t.Errorf("got %q, %v", bak, err)
	}
}

func TestOverridesAreNotSaved(t *testing.T) {
	m, err := load(t, "windows = 2\n", []string{"SHOAL_LOG_LEVEL=debug"}, map[string]string{"listen": "127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Update(func(s *Settings) error { s.MaxDiskMB = 777; return nil }); err != nil {
		t.Fatal(err)
	}
	plain, err := Load(Options{File: m.Path()})
	if err != nil {
		t.Fatal(err)
	}
	if s := plain.Get(); s.LogLevel != "info" || s.Listen != "127.0.0.1:8800" || s.MaxDiskMB != 777 || s.Windows != 2 {
		t.Errorf("saved %+v", s)
	}
}

func TestReloadTellsWhatNeedsARestart(t *testing.T) {
	m := mustLoad(t, "windows = 2\n")
	if err := os.WriteFile(m.Path(), []byte("windows = 3\nlisten = '127.0.0.1:9'\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	change, err := m.Reload()
	if err != nil || !slices.Equal(change.Applied, []string{"windows"}) || !slices.Equal(change.Restart, []string{"listen"}) {
		t.Errorf("got %+v, %v", change, err)
	}
	if err := os.WriteFile(m.Path(), []byte("windows = 0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Reload(); err == nil || m.Get().Windows != 3 {
		t.Errorf("a bad file was put into effect: %v", err)
	}
}

func TestPatch(t *testing.T) {
	m := mustLoad(t, "")
	change, err := m.Patch([]byte(`{"max_disk_mb": 1234, "listen_port": 9001}`))
	if err != nil || !slices.Equal(change.Applied, []string{"max_disk_mb"}) || !slices.Equal(change.Restart, []string{"listen"}) {
		t.Fatalf("got %+v, %v", change, err)
	}
	if v := m.View(); v.MaxDiskMB != 1234 || v.Listen != "127.0.0.1:9001" || v.ListenPort != 9001 {
		t.Errorf("got %+v", v)
	}
	for body, code := range map[string]core.Code{
		`{"max_disk_mb": 5}`:        core.CodeInvalidRequest,
		`{"max_disk_mb": "x"}`:      core.CodeInvalidRequest,
		`{"max_disk_mb": 1e300}`:    core.CodeInvalidRequest,
		`{"shard_size_mb": 4096}`:   core.CodeInvalidRequest,
		`{"nothing": 1}`:            core.CodeInvalidRequest,
		`{} {}`:                     core.CodeInvalidRequest,
		`[]`:                        core.CodeInvalidRequest,
		``:                          core.CodeInvalidRequest,
		`{"listen_port": 70000}`:    core.CodeInvalidRequest,
		`{"runtime": "/tmp/mine"}`:  core.CodeForbidden,
		`{"cors_allow": ["a b c"]}`: core.CodeInvalidRequest,
	} {
		if _, err := m.Patch([]byte(body)); core.CodeOf(err) != code {
			t.Errorf("%s: got %v, want %s", body, err, code)
		}
	}
	if m.Get().MaxDiskMB != 1234 {
		t.Error("a refused patch had an effect")
	}
}

func TestViewHasOneKeyPerSetting(t *testing.T) {
	b, err := json.Marshal(mustLoad(t, "").View())
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	for _, f := range fields() {
		if _, ok := got[f.key]; !ok {
			t.Errorf("%s is not in the view", f.key)
		}
	}
	if len(got) != len(fields())+1 {
		t.Errorf("%d keys, want %d settings and listen_port", len(got), len(fields()))
	}
}

func FuzzDecode(f *testing.F) {
	golden, _ := os.ReadFile("testdata/v1.toml")
	f.Add(golden)
	f.Add([]byte("version = 1\nwindows = 2\n[x]\ny = [1, {a = 2}]\n"))
	f.Add([]byte("cors_allow = [1]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, _, err := decode(data, migrations())
		if err != nil {
			return
		}
		text, err := encode(&s)
		if err != nil {
			t.Fatalf("accepted settings cannot be written: %v", err)
		}
		again, _, err := decode(text, migrations())
		if err != nil || !reflect.DeepEqual(again, s) {
			t.Fatalf("written settings read differently: %+v, %v; want %+v", again, err, s)
		}
	})
}

func FuzzPatch(f *testing.F) {
	f.Add([]byte(`{"max_disk_mb": 200, "cors_allow": ["https://a.example"], "listen_port": 1}`))
	f.Add([]byte(`{"listen": "[::1]:80", "cors_allow": null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s := Default()
		if patch(&s, data) != nil || s.Verify() != nil {
			return
		}
		if std := Default(); s.RuntimeDir != std.RuntimeDir || s.WorkerPath != std.WorkerPath {
			t.Fatalf("a patch named a program: %q", data)
		}
		if _, err := encode(&s); err != nil {
			t.Fatalf("accepted settings cannot be written: %v", err)
		}
	})
}

// reader reads the settings while a change is verified and made.
type reader struct {
	m    *Manager
	seen []int
}

func (r *reader) VerifyConfig(Settings, Settings) error {
	r.seen = append(r.seen, r.m.Get().MaxConcurrentRequests)
	return nil
}

func (r *reader) CommitConfig(Settings, Settings) {
	r.seen = append(r.seen, r.m.Get().MaxConcurrentRequests)
}

// TestSubscribersMayReadSettings would hang if callbacks were run under the mutex.
func TestSubscribersMayReadSettings(t *testing.T) {
	m, err := Load(Options{File: filepath.Join(t.TempDir(), "config.toml")})
	if err != nil {
		t.Fatal(err)
	}
	r := &reader{m: m}
	m.Subscribe(r)
	before := m.Get().MaxConcurrentRequests
	if _, err := m.Update(func(s *Settings) error { s.MaxConcurrentRequests = before + 1; return nil }); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(r.seen, []int{before, before + 1}) {
		t.Errorf("saw %v, want the settings before and after", r.seen)
	}
}

// TestCloneSharesNothing changes every list of a copy, also of a setting that is yet to come.
func TestCloneSharesNothing(t *testing.T) {
	lists := 0
	for _, f := range fields() {
		s := Default()
		if f.of(&s).Kind() != reflect.Slice {
			continue
		}
		lists++
		f.of(&s).Set(reflect.ValueOf([]string{"before"}))
		other := s.clone()
		f.of(&other).Index(0).SetString("after")
		if got := f.of(&s).Index(0).String(); got != "before" {
			t.Errorf("%s: the copy's change shows in the original as %q", f.key, got)
		}
	}
	if lists < 2 {
		t.Errorf("%d settings are lists, want 2 and more", lists)
	}
}

func TestRefusedChangeOfAListChangesNothing(t *testing.T) {
	const a, b = "/ip4/192.0.2.1/tcp/1/p2p/A", "/ip4/192.0.2.9/tcp/1/p2p/B"
	m := mustLoad(t, "anchors = ['"+a+"']\ncors_allow = ['https://a.example']\n")
	if _, err := m.Patch([]byte(`{"anchors":["` + b + `"],"cors_allow":["https://b.example"],"threads":-5}`)); core.CodeOf(err) != core.CodeInvalidRequest {
		t.Fatalf("got %v, want a refusal", err)
	}
	if s := m.Get(); !slices.Equal(s.Anchors, []string{a}) || !slices.Equal(s.CORSAllow, []string{"https://a.example"}) {
		t.Errorf("afterwards anchors are %v and origins %v", s.Anchors, s.CORSAllow)
	}
	change, err := m.Patch([]byte(`{"anchors":["` + b + `"],"cors_allow":null}`))
	if err != nil || !slices.Equal(change.Applied, []string{"anchors"}) || !slices.Equal(change.Restart, []string{"cors_allow"}) {
		t.Errorf("the accepted change is told as %+v, %v", change, err)
	}
}

// utf16Text is how Windows' editors save a text as "Unicode".
func utf16Text(text string, order binary.AppendByteOrder) string {
	var b []byte
	for _, unit := range utf16.Encode([]rune("\ufeff" + text)) {
		b = order.AppendUint16(b, unit)
	}
	return string(b)
}

func TestFilesAsEditorsSaveThem(t *testing.T) {
	const text = "# Größe\r\nwindows = 3\r\nnickname = 'Köln'"
	for name, saved := range map[string]string{
		"plain": text, "mark": "\ufeff" + text,
		"UTF-16": utf16Text(text, binary.LittleEndian), "UTF-16, big end first": utf16Text(text, binary.BigEndian),
	} {
		m, err := load(t, saved, nil, nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if s := m.Get(); s.Windows != 3 || s.Nickname != "Köln" {
			t.Errorf("%s: read as %d and %q", name, s.Windows, s.Nickname)
		}
	}
	_, err := load(t, "windows = 3\n# Gr\xf6\xdfe\n", nil, nil)
	if core.CodeOf(err) != core.CodeInvalidRequest || !strings.Contains(err.Error(), "line 2 holds letters that are not UTF-8") {
		t.Errorf("Latin-1: %v", err)
	}
}
