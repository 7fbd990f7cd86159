package shard_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/gguf/gguftest"
	"github.com/shoal-p2p/shoal/daemon/shard"
)

// tiny imports the smallest model.
func tiny(t testing.TB) *shard.Model {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "tiny.gguf")
	if err := gguftest.WriteFile(path, gguftest.Config{Layers: 3, Embedding: 64, Heads: 2, FeedForward: 64, Context: 64}); err != nil {
		t.Fatal(err)
	}
	s := shard.NewStore(shard.Config{Dir: dir, Key: testKey(), Rule: shard.Rule{Number: 1, ShardSize: 512 << 20, MinShards: 3}})
	m, err := s.Import(context.Background(), shard.Import{Path: path, Source: &shard.Source{RepoID: "a/b", Filename: "tiny.gguf"}})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func encode(t testing.TB, m *shard.Manifest) []byte {
	t.Helper()
	text, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestManifestRoundTrip(t *testing.T) {
	m := tiny(t)
	text := encode(t, m.Manifest)
	got, err := shard.DecodeManifest(text)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(encode(t, got), text) {
		t.Error("encoding what was decoded gives other bytes")
	}
	if got.ModelID.String() != "tiny" || got.Layers != 3 || len(got.Shards) != 3 || got.Source.RepoID != "a/b" ||
		got.Quantization != "F32" || got.Architecture != "llama" || got.Publisher == "" {
		t.Errorf("%+v", got)
	}
}

// TestManifestWithBrokenText signs names that are not UTF-8: the reader must see what was signed.
func TestManifestWithBrokenText(t *testing.T) {
	m := tiny(t).Manifest
	m.Name = "caf\xe9 <&>\u2028"
	if err := m.Sign(testKey()); err != nil {
		t.Fatal(err)
	}
	if _, err := shard.DecodeManifest(encode(t, m)); err != nil {
		t.Error(err)
	}
}

func TestManifestAnyChangeBreaksTheSignature(t *testing.T) {
	text := encode(t, tiny(t).Manifest)
	for at := range text {
		if !strings.ContainsRune("0123456789abcdef", rune(text[at])) {
			continue
		}
		bad := bytes.Clone(text)
		bad[at] ^= 1
		if _, err := shard.DecodeManifest(bad); err == nil {
			t.Fatalf("a change at %d of %q was not noticed", at, text[max(0, at-20):at+1])
		}
	}
}

func TestHostileManifests(t *testing.T) {
	text := encode(t, tiny(t).Manifest)
	for name, change := range map[string]func(*shard.Manifest){
		"no id":            func(m *shard.Manifest) { m.ModelID = core.ModelID{} },
		"long name":        func(m *shard.Manifest) { m.Name = strings.Repeat("x", 5000) },
		"negative size":    func(m *shard.Manifest) { m.Size = -1 },
		"huge size":        func(m *shard.Manifest) { m.Size = 1 << 62 },
		"huge header":      func(m *shard.Manifest) { m.Size, m.HeaderSize = 1<<40, 1<<39 },
		"header > file":    func(m *shard.Manifest) { m.HeaderSize = m.Size + 1 },
		"no reserved area": func(m *shard.Manifest) { m.Reserved = 0 },
		"odd reserved":     func(m *shard.Manifest) { m.Reserved = 70000 },
		"huge reserved":    func(m *shard.Manifest) { m.Reserved = 1 << 50 },
		"no layers":        func(m *shard.Manifest) { m.Layers = 0 },
		"no shards":        func(m *shard.Manifest) { m.Shards = nil },
		"shard missing":    func(m *shard.Manifest) { m.Shards = m.Shards[:2] },
		"shard twice":      func(m *shard.Manifest) { m.Shards[1] = m.Shards[0] },
		"layers overlap":   func(m *shard.Manifest) { m.Shards[1].Layers.First = 0 },
		"wrong index":      func(m *shard.Manifest) { m.Shards[1].Index = 7 },
		"shard size":       func(m *shard.Manifest) { m.Shards[0].Size = -5 },
		"tensor outside":   func(m *shard.Manifest) { m.Shards[0].Tensors[0].Offset = m.Size },
		"tensor in header": func(m *shard.Manifest) { m.Shards[0].Tensors[0].Offset = 0 },
		"tensor overflow":  func(m *shard.Manifest) { m.Shards[0].Tensors[0].Offset = 1<<63 - 1 },
		"rule 9":           func(m *shard.Manifest) { m.Rule.Number = 9 },
		"gap outside":      func(m *shard.Manifest) { m.Gaps = []shard.Gap{{Offset: m.Size, Bytes: []byte{1}}} },
		"gap in header":    func(m *shard.Manifest) { m.Gaps = []shard.Gap{{Offset: 0, Bytes: []byte{1}}} },
		"large gap":        func(m *shard.Manifest) { m.Gaps = []shard.Gap{{Offset: m.HeaderSize, Bytes: make([]byte, 2<<20)}} },
	} {
		m, err := shard.DecodeManifest(text)
		if err != nil {
			t.Fatal(err)
		}
		change(m)
		if !m.ModelID.IsZero() {
			if err := m.Sign(testKey()); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := shard.DecodeManifest(encode(t, m)); core.CodeOf(err) != core.CodeCorrupt {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestManifestsThatDoNotParse(t *testing.T) {
	text := string(encode(t, tiny(t).Manifest))
	for name, bad := range map[string]string{
		"empty": "", "null": "null", "array": "[]", "number": "3", "truncated": text[:len(text)/2], "two": text + text,
		"unknown field": strings.Replace(text, `"name"`, `"nome"`, 1), "unsigned": strings.Replace(text, `"signature"`, `"Signature2"`, 1),
		"deep": strings.Repeat("[", 100_000),
	} {
		if _, err := shard.DecodeManifest([]byte(bad)); core.CodeOf(err) != core.CodeCorrupt && core.CodeOf(err) != core.CodeUnsupported {
			t.Errorf("%s: %v", name, err)
		}
	}
	newer := strings.Replace(text, `"version": 1`, `"version": 2`, 1)
	if _, err := shard.DecodeManifest([]byte(newer)); core.CodeOf(err) != core.CodeUnsupported {
		t.Errorf("newer version: %v", err)
	}
	if _, err := shard.DecodeManifest(make([]byte, shard.MaxManifest+1)); core.CodeOf(err) != core.CodeCorrupt {
		t.Errorf("large: %v", err)
	}
}

// TestManifestOfAnotherHeader has a sound signature but does not cut the file by its rule.
func TestManifestOfAnotherHeader(t *testing.T) {
	for name, change := range map[string]func(*shard.Manifest){
		"rule":          func(m *shard.Manifest) { m.Rule.MinShards = 1 },
		"architecture":  func(m *shard.Manifest) { m.Architecture = "qwen2" },
		"reserved":      func(m *shard.Manifest) { m.Reserved *= 2 },
		"shard size":    func(m *shard.Manifest) { m.Shards[1].Size += 32 },
		"tensor name":   func(m *shard.Manifest) { m.Shards[1].Tensors[0].Name = "blk.2.attn_q.weight" },
		"tensor order":  func(m *shard.Manifest) { s := m.Shards[1].Tensors; s[0], s[1] = s[1], s[0] },
		"tensor gone":   func(m *shard.Manifest) { m.Shards[1].Tensors = m.Shards[1].Tensors[1:] },
		"tensor offset": func(m *shard.Manifest) { m.Shards[1].Tensors[0].Offset -= 32 },
		"header hash":   func(m *shard.Manifest) { m.HeaderHash[0] ^= 1 },
		"header size":   func(m *shard.Manifest) { m.HeaderSize -= 32 },
	} {
		m := tiny(t)
		change(m.Manifest)
		if err := m.Manifest.Sign(testKey()); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(m.Dir, shard.ManifestFile), encode(t, m.Manifest), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := shard.Open(m.Dir); core.CodeOf(err) != core.CodeCorrupt {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzManifest(f *testing.F) {
	text := encode(f, tiny(f).Manifest)
	f.Add(text)
	f.Add([]byte(`{"version":1,"model_id":"x","layers":1,"shards":[{}]}`))
	f.Add([]byte(`{"version":1,"gaps":[{"gguf_offset":-1,"bytes":"AAAA"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := shard.DecodeManifest(b)
		if err != nil {
			if code := core.CodeOf(err); code != core.CodeCorrupt && code != core.CodeUnsupported {
				t.Errorf("code %s: %v", code, err)
			}
			return
		}
		again, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := shard.DecodeManifest(again); err != nil {
			t.Errorf("what was decoded does not decode again: %v", err)
		}
	})
}
