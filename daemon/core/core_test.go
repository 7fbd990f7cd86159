package core

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

func TestParseModelID(t *testing.T) {
	for _, good := range []string{"a", "qwen3-4b-q4-k-m", "7b", "a.b_c", strings.Repeat("x", 128)} {
		if id, err := ParseModelID(good); err != nil || id.String() != good {
			t.Errorf("%q: got %q, %v", good, id, err)
		}
	}
	for _, bad := range []string{"", ".", "..", "../x", "a/b", `a\b`, "A", "ä", "-a", "_a", ".a", "a.", "con", "nul.txt", "com1", "lpt9.x", strings.Repeat("x", 129), "a b", "a\x00"} {
		if id, err := ParseModelID(bad); CodeOf(err) != CodeInvalidRequest || !id.IsZero() {
			t.Errorf("%q: got %q, %v", bad, id, err)
		}
	}
}

func TestModelIDFromFile(t *testing.T) {
	for name, want := range map[string]string{
		"Llama-3.2-3B-Instruct-Q4_K_M.gguf": "llama-3.2-3b-instruct-q4-k-m",
		`C:\models\Qwen 2.GGUF`:             "qwen-2",
		"/a/b/ünï.gguf":                     "n-e975a529",
		strings.Repeat("y", 300) + ".gguf":  strings.Repeat("y", 119) + "-9637cfea",
	} {
		if id, err := ModelIDFromFile(name); err != nil || id.String() != want {
			t.Errorf("%q: got %q, %v, want %q", name, id, err, want)
		}
	}
	for _, bad := range []string{"", "...", "---.gguf", "con.gguf"} {
		if id, err := ModelIDFromFile(bad); err == nil {
			t.Errorf("%q gives %q", bad, id)
		}
	}
}

// Names that differ only in what an id cannot hold are names of two models.
func TestModelIDsStayApart(t *testing.T) {
	long := strings.Repeat("Very-Long-Merge-Name-", 7)
	seen := make(map[ModelID]string)
	for _, name := range []string{
		"Привет.gguf", "模型.gguf", "千问-7B-Chat.gguf", "智谱-7B-Chat.gguf", "7B-Chat.gguf", "Überblick.gguf", "berblick.gguf",
		long + "Q4_K_M.gguf", long + "Q8_0.gguf",
	} {
		id, err := ModelIDFromFile(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if other, there := seen[id]; there {
			t.Errorf("%s and %s are both %s", name, other, id)
		}
		seen[id] = name
	}
}

func FuzzModelIDFromFile(f *testing.F) {
	f.Add("Llama-3.gguf")
	f.Add("../../etc/passwd")
	f.Add("a" + strings.Repeat(".", 200))
	f.Fuzz(func(t *testing.T, name string) {
		id, err := ModelIDFromFile(name)
		if err != nil {
			return
		}
		if again, err := ParseModelID(id.String()); err != nil || again != id {
			t.Errorf("%q gives the id %q, which ParseModelID refuses: %v", name, id, err)
		}
	})
}

func TestDigestText(t *testing.T) {
	d := Digest{0: 0xab, 31: 0xcd}
	text, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	var back Digest
	if err := json.Unmarshal(text, &back); err != nil || back != d {
		t.Errorf("%s: got %v, %v", text, back, err)
	}
	for _, bad := range []string{"", "ab", strings.Repeat("g", 64), strings.Repeat("a", 66)} {
		if got, err := ParseDigest(bad); CodeOf(err) != CodeInvalidRequest || !got.IsZero() {
			t.Errorf("%q: got %v, %v", bad, got, err)
		}
	}
}

func TestErrorKeepsItsCodeAndCause(t *testing.T) {
	err := fmt.Errorf("import: %w", Errorf(CodeCorrupt, "read the header: %w", io.ErrUnexpectedEOF))
	if CodeOf(err) != CodeCorrupt || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("code %q of %v", CodeOf(err), err)
	}
	if got := err.Error(); got != "import: read the header: unexpected EOF" {
		t.Errorf("text %q", got)
	}
	if CodeOf(nil) != "" || CodeOf(io.EOF) != CodeInternal {
		t.Error("nil has a code, or a foreign error has none")
	}
}

func TestErrorCopies(t *testing.T) {
	plain := Errorf(CodeConflict, "busy")
	if with := plain.WithParam("model").WithHint("wait"); with.Param != "model" || with.Hint != "wait" || plain.Param != "" || plain.Hint != "" {
		t.Errorf("%+v, %+v", plain, with)
	}
}

// TestReports holds what every row of the table must keep: clients and scripts rely on it.
func TestReports(t *testing.T) {
	types := map[int]string{
		400: "invalid_request_error", 413: "invalid_request_error", 401: "authentication_error", 403: "permission_error",
		404: "not_found_error", 409: "conflict_error", 429: "rate_limit_error", 499: "server_error",
	}
	for _, c := range []Code{
		CodeInvalidRequest, CodeContextTooLong, CodeUnsupported, CodeCorrupt, CodeTooLarge, CodeUnauthorized, CodeForbidden, CodeNotFound,
		CodeConflict, CodeRateLimited, CodeOverloaded, CodeCancelled, CodeNoRuntime, CodeNotReady, CodeEngineCrashed, CodeInsufficientRAM,
		CodeDiskFull, CodeTimeout, CodeInternal, "unknown",
	} {
		r := ReportOf(c)
		want, ok := types[r.Status]
		if !ok {
			want = "server_error"
		}
		if r.Type != want || r.Status < 400 || r.Exit == 0 || r.Text == "" {
			t.Errorf("%s: %+v", c, r)
		}
	}
	if ReportOf("unknown") != ReportOf(CodeInternal) {
		t.Error("an unknown code is not reported as an internal error")
	}
}

func TestLayerRange(t *testing.T) {
	if n := (LayerRange{First: 3, End: 11}).Len(); n != 8 {
		t.Errorf("got %d layers", n)
	}
}

func TestBitmapCounts(t *testing.T) {
	b := Bitmap{}.With(0).With(63).With(64).With(4095).With(64).With(4096)
	if b.Count() != 4 || !b.Has(4095) || b.Has(1) {
		t.Errorf("%d in %v", b.Count(), b)
	}
}
