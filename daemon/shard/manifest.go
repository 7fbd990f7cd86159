package shard

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"io"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/gguf"
	"lukechampine.com/blake3"
)

// ManifestVersion is the version of the manifests this package writes, and the newest it reads.
const ManifestVersion = 1

// Bounds of a manifest.
const (
	MaxManifest = 32 << 20 // bytes of its JSON
	maxGapBytes = 1 << 20  // bytes between tensors that are not zero
	maxText     = 1 << 10  // bytes of a name
	maxReserved = 64 << 20
)

// Manifest says what a model's file was and how it is cut. Hashes are BLAKE3 unless named otherwise.
type Manifest struct {
	Version      int          `json:"version"`
	ModelID      core.ModelID `json:"model_id"`
	Name         string       `json:"name"`
	Architecture string       `json:"architecture"`
	Quantization string       `json:"quantization"`
	Layers       int          `json:"layers"`
	Size         int64        `json:"total_size_bytes"` // of the original file
	SHA256       core.Digest  `json:"sha256"`           // of the original file
	HeaderSize   int64        `json:"header_size_bytes"`
	HeaderHash   core.Digest  `json:"header_hash"`
	Source       *Source      `json:"source,omitempty"`
	Rule         Rule         `json:"rule"`
	Reserved     int64        `json:"reserved_bytes"` // in front of the tensors of each shard file
	Shards       []Shard      `json:"shards"`
	Gaps         []Gap        `json:"gaps,omitempty"`
	Publisher    string       `json:"publisher"` // Ed25519 public key, hexadecimal
	Time         time.Time    `json:"time"`
	Signature    string       `json:"signature,omitempty"` // hexadecimal
}

// Source is where on HuggingFace the file comes from.
type Source struct {
	RepoID   string `json:"repo_id"`
	Revision string `json:"revision,omitempty"`
	Filename string `json:"filename"`
}

// Shard is one shard. Size and Hash are of its bytes after the reserved area.
type Shard struct {
	Index   int             `json:"index"`
	Layers  core.LayerRange `json:"layers"`
	Size    int64           `json:"size_bytes"`
	Hash    core.Digest     `json:"hash"`
	Tensors []TensorRange   `json:"tensors"` // in packed order, each padded to the file's alignment
}

// TensorRange is a tensor's place in the original file, in bytes from its start.
type TensorRange struct {
	Name   string `json:"name"`
	Offset int64  `json:"gguf_offset"`
	Size   int64  `json:"size_bytes"`
}

// Gap is a run of bytes between the tensors of the original file that are not all zero.
type Gap struct {
	Offset int64  `json:"gguf_offset"`
	Bytes  []byte `json:"bytes"` // base64
}

// signed is what the signature is over: the manifest's JSON without the signature.
func (m *Manifest) signed() ([]byte, error) {
	bare := *m
	bare.Signature = ""
	b, err := json.Marshal(&bare)
	return append([]byte("shoal manifest 1\n"), b...), err
}

// Signer is the node's Ed25519 identity.
type Signer interface {
	Public() ed25519.PublicKey
	Sign(message []byte) []byte
}

// Sign makes key's holder the publisher.
func (m *Manifest) Sign(key Signer) error {
	m.Publisher = hex.EncodeToString(key.Public())
	if err := m.normalise(); err != nil {
		return err
	}
	text, err := m.signed()
	if err != nil {
		return err
	}
	m.Signature = hex.EncodeToString(key.Sign(text))
	return nil
}

// normalise makes the manifest what a reader of its JSON will see: without broken UTF-8 or parts of a second.
func (m *Manifest) normalise() error {
	m.Time = m.Time.UTC().Truncate(time.Second)
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	*m = Manifest{}
	return json.Unmarshal(b, m)
}

// verify checks the signature.
func (m *Manifest) verify() error {
	public, err := hex.DecodeString(m.Publisher)
	if err != nil || len(public) != ed25519.PublicKeySize {
		return core.Errorf(core.CodeCorrupt, "manifest has no publisher")
	}
	signature, err := hex.DecodeString(m.Signature)
	if err != nil || len(signature) != ed25519.SignatureSize {
		return core.Errorf(core.CodeCorrupt, "manifest is not signed")
	}
	text, err := m.signed()
	if err != nil {
		return err
	}
	if !ed25519.Verify(public, text, signature) {
		return core.Errorf(core.CodeCorrupt, "manifest's signature does not fit")
	}
	return nil
}

// Digest says which file it is and how it is cut. It leaves out who published the manifest, when, and where the file
// came from: nodes that cut one file by one rule hold the same shards, whoever signed first.
func (m *Manifest) Digest() (core.Digest, error) {
	bare := *m
	bare.Publisher, bare.Time, bare.Signature, bare.Source = "", time.Time{}, "", nil
	text, err := json.Marshal(&bare)
	return blake3.Sum256(append([]byte("shoal cut 1\n"), text...)), err
}

// Encode returns the manifest's JSON.
func (m *Manifest) Encode() ([]byte, error) { return json.MarshalIndent(m, "", "\t") }

// DecodeManifest reads a manifest and checks its signature and that it makes sense by itself. CheckHeader then
// checks it against the file's header. Errors have code core.CodeCorrupt, or core.CodeUnsupported for a newer
// version.
func DecodeManifest(b []byte) (*Manifest, error) {
	if len(b) > MaxManifest {
		return nil, core.Errorf(core.CodeCorrupt, "manifest has %d bytes, most are %d", len(b), MaxManifest)
	}
	var version struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(b, &version); err != nil {
		return nil, core.Errorf(core.CodeCorrupt, "manifest is not JSON: %w", err)
	}
	if version.Version != ManifestVersion {
		return nil, core.Errorf(core.CodeUnsupported, "manifest has version %d; this program reads %d", version.Version, ManifestVersion)
	}
	m := &Manifest{}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(m); err != nil {
		return nil, core.Errorf(core.CodeCorrupt, "manifest does not parse: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, core.Errorf(core.CodeCorrupt, "manifest has something behind it")
	}
	if err := m.check(); err != nil {
		return nil, err
	}
	return m, m.verify()
}

// check refuses numbers out of range, so that later sums cannot overflow.
func (m *Manifest) check() error {
	bad := func(what string) error { return core.Errorf(core.CodeCorrupt, "manifest has a bad %s", what) }
	switch {
	case m.ModelID.IsZero():
		return bad("model id")
	case len(m.Name) > maxText || len(m.Architecture) > maxText || len(m.Quantization) > maxText:
		return bad("name")
	case m.Source != nil && !m.Source.bounded():
		return bad("source")
	case m.Size < 1 || m.Size > maxFileSize:
		return bad("size")
	case m.HeaderSize < 1 || m.HeaderSize > m.Size || m.HeaderSize > gguf.MaxHeader+gguf.MaxAlignment:
		return bad("header size")
	case m.Reserved < reservedUnit || m.Reserved > maxReserved || m.Reserved%reservedUnit != 0:
		return bad("reserved size")
	case m.Layers < 1 || m.Layers > maxLayers || len(m.Shards) < 1 || len(m.Shards) > m.Layers:
		return bad("number of layers or shards")
	case m.Rule.check() != nil:
		return bad("rule")
	}
	if err := m.checkShards(); err != nil {
		return err
	}
	return m.checkGaps()
}

func (m *Manifest) checkShards() error {
	next := 0
	for i, s := range m.Shards {
		if s.Index != i || s.Layers.First != next || s.Layers.Len() < 1 || s.Size < 0 || s.Size > maxFileSize {
			return core.Errorf(core.CodeCorrupt, "manifest's shard %d is out of order", i)
		}
		next = s.Layers.End
		if len(s.Tensors) > gguf.MaxTensors {
			return core.Errorf(core.CodeCorrupt, "manifest's shard %d has too many tensors", i)
		}
		for _, t := range s.Tensors {
			if t.Size < 0 || t.Size > m.Size || t.Offset < m.HeaderSize || t.Offset > m.Size-t.Size || len(t.Name) > gguf.MaxName {
				return core.Errorf(core.CodeCorrupt, "manifest's tensor %q is outside the file", t.Name)
			}
		}
	}
	if next != m.Layers {
		return core.Errorf(core.CodeCorrupt, "manifest's shards have %d of %d layers", next, m.Layers)
	}
	return nil
}

func (m *Manifest) checkGaps() error {
	total, end := 0, m.HeaderSize
	for _, g := range m.Gaps {
		total += len(g.Bytes)
		if g.Offset < end || total > maxGapBytes || g.Offset > m.Size-int64(len(g.Bytes)) {
			return core.Errorf(core.CodeCorrupt, "manifest has a bad gap at %d", g.Offset)
		}
		end = g.Offset + int64(len(g.Bytes))
	}
	return nil
}

// CheckHeader checks that the manifest cuts the file with header f as its rule says: with it, nothing in the
// manifest but the hashes has to be believed.
func (m *Manifest) CheckHeader(f *gguf.File) error {
	p, err := layOut(f, m.Rule)
	if err != nil {
		return err
	}
	reserved, err := p.reserved(f)
	if err != nil {
		return err
	}
	if f.Architecture() != m.Architecture || p.layers != m.Layers || len(p.shards) != len(m.Shards) || f.DataOffset != m.HeaderSize || reserved != m.Reserved {
		return core.Errorf(core.CodeCorrupt, "manifest does not fit the model's header")
	}
	for i := range p.shards {
		if !m.Shards[i].fits(&p.shards[i], f) {
			return core.Errorf(core.CodeCorrupt, "manifest's shard %d does not fit the model's header", i)
		}
	}
	return nil
}

func (s *Shard) fits(p *place, f *gguf.File) bool {
	if s.Layers != p.layers || s.Size != packedSize(p.tensors, f.Alignment()) || len(s.Tensors) != len(p.tensors) {
		return false
	}
	for i, t := range p.tensors {
		if s.Tensors[i] != rangeOf(t, f) {
			return false
		}
	}
	return true
}

func rangeOf(t *gguf.Tensor, f *gguf.File) TensorRange {
	return TensorRange{Name: t.Name, Offset: f.DataOffset + t.Offset, Size: t.Size()}
}

// describe fills the manifest with what the header and the layout say; hashes come later.
func describe(f *gguf.File, p *plan, r Rule, size int64) (*Manifest, error) {
	reserved, err := p.reserved(f)
	if err != nil {
		return nil, err
	}
	name, _ := f.String("general.name")
	m := &Manifest{
		Version: ManifestVersion, Name: name[:min(len(name), maxText)], Architecture: f.Architecture(),
		Quantization: f.Quantization(), Layers: p.layers, Size: size, HeaderSize: f.DataOffset, Rule: r, Reserved: reserved,
	}
	for i := range p.shards {
		s := Shard{Index: i, Layers: p.shards[i].layers, Size: packedSize(p.shards[i].tensors, f.Alignment())}
		for _, t := range p.shards[i].tensors {
			s.Tensors = append(s.Tensors, rangeOf(t, f))
		}
		m.Shards = append(m.Shards, s)
	}
	return m, nil
}
