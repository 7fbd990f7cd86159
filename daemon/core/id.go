package core

import (
	"crypto/sha256"
	"encoding/hex"
	"path"
	"strings"
)

// maxModelID bounds a model id so that it fits every file system's name limit with room for suffixes.
const maxModelID = 128

// ModelID names a model on every node: a lower-case slug of letters, digits, '-', '_' and '.'.
// A value can only be made by ParseModelID or ModelIDFromFile, so it is always safe as a folder name.
type ModelID struct{ slug string }

// ParseModelID checks s and returns it as a ModelID. The error has code CodeInvalidRequest.
func ParseModelID(s string) (ModelID, error) {
	if s == "" || len(s) > maxModelID {
		return ModelID{}, Errorf(CodeInvalidRequest, "model id must have 1 to %d characters", maxModelID)
	}
	for i := range len(s) {
		if !slugByte(s[i]) {
			return ModelID{}, Errorf(CodeInvalidRequest, "model id may only hold a-z, 0-9, '-', '_' and '.'")
		}
	}
	if first, last := s[0], s[len(s)-1]; !alphanumeric(first) || last == '.' || reservedName(s) {
		return ModelID{}, Errorf(CodeInvalidRequest, "model id must start with a letter or digit and not be a reserved name")
	}
	return ModelID{s}, nil
}

// ModelIDFromFile makes the id of a model from its GGUF file's name: lower case, '_' becomes '-', the extension
// goes; for example Llama-3.2-3B-Instruct-Q4_K_M.gguf is llama-3.2-3b-instruct-q4-k-m. Where letters of another script
// or the end of a long name are lost, a short hash of the name keeps two files apart.
func ModelIDFromFile(name string) (ModelID, error) {
	name = path.Base(strings.ReplaceAll(name, `\`, "/"))
	name = strings.TrimSuffix(strings.ToLower(name), ".gguf")
	slug := strings.Map(func(r rune) rune {
		if r < 128 && r != '_' && slugByte(byte(r)) {
			return r
		}
		return '-'
	}, name)
	slug = strings.Trim(slug, "-.")
	if len(slug) > maxModelID || strings.ContainsFunc(name, func(r rune) bool { return r >= 128 }) {
		slug = distinct(slug, name)
	}
	return ParseModelID(slug)
}

// distinct returns a slug that says which name it was made from, though not all of it shows.
func distinct(slug, name string) string {
	sum := sha256.Sum256([]byte(name))
	hash := "-" + hex.EncodeToString(sum[:4])
	if slug == "" {
		slug = "model"
	}
	return slug[:min(len(slug), maxModelID-len(hash))] + hash
}

// String returns the slug; it is empty for the zero value.
func (id ModelID) String() string { return id.slug }

// IsZero tells whether id names no model.
func (id ModelID) IsZero() bool { return id.slug == "" }

// MarshalText implements encoding.TextMarshaler.
func (id ModelID) MarshalText() ([]byte, error) { return []byte(id.slug), nil }

// UnmarshalText implements encoding.TextUnmarshaler; it accepts what ParseModelID accepts.
func (id *ModelID) UnmarshalText(b []byte) (err error) {
	*id, err = ParseModelID(string(b))
	return err
}

func alphanumeric(c byte) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' }

func slugByte(c byte) bool { return alphanumeric(c) || c == '-' || c == '_' || c == '.' }

// reservedName tells whether s is a device name on Windows, with or without an extension.
func reservedName(s string) bool {
	stem, _, _ := strings.Cut(s, ".")
	switch stem {
	case "con", "prn", "aux", "nul":
		return true
	}
	return len(stem) == 4 && (strings.HasPrefix(stem, "com") || strings.HasPrefix(stem, "lpt")) && stem[3] >= '1' && stem[3] <= '9'
}

// Digest is a 32-byte BLAKE3 or SHA-256 hash; its text form is 64 lower-case hexadecimal digits.
type Digest [32]byte

// ParseDigest reads the text form of a digest. The error has code CodeInvalidRequest.
func ParseDigest(s string) (d Digest, err error) {
	if len(s) != 2*len(d) {
		return d, Errorf(CodeInvalidRequest, "digest must have %d hexadecimal digits", 2*len(d))
	}
	if _, err := hex.Decode(d[:], []byte(s)); err != nil {
		return Digest{}, Errorf(CodeInvalidRequest, "digest must be hexadecimal")
	}
	return d, nil
}

// String returns the text form.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// IsZero tells whether d holds no hash.
func (d Digest) IsZero() bool { return d == Digest{} }

// MarshalText implements encoding.TextMarshaler.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler; it accepts what ParseDigest accepts.
func (d *Digest) UnmarshalText(b []byte) (err error) {
	*d, err = ParseDigest(string(b))
	return err
}

// LayerRange is a contiguous run of a model's transformer layers: First is in it, End is not.
type LayerRange struct {
	First int `json:"first"`
	End   int `json:"end"`
}

// Len is the number of layers in the range.
func (r LayerRange) Len() int { return r.End - r.First }
