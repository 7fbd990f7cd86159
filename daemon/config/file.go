package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/pelletier/go-toml/v2"

	"github.com/shoal-p2p/shoal/daemon/atomicfile"
	"github.com/shoal-p2p/shoal/daemon/core"
)

// maxFile bounds what is read from a config file.
const maxFile = 1 << 20

// migration brings a document of the version before To up to To.
type migration struct {
	to    int
	apply func(doc map[string]any) error
}

// migrations are all of them, oldest first. Version 1 is the first version, so none is needed yet.
func migrations() []migration { return nil }

// decode reads a config file on top of the defaults. It returns the keys it does not know.
func decode(data []byte, table []migration) (s Settings, unknown []string, err error) {
	s = Default()
	if data, err = plain(data); err != nil {
		return s, nil, err
	}
	doc := map[string]any{}
	if err := toml.Unmarshal(data, &doc); err != nil {
		return s, nil, core.Errorf(core.CodeInvalidRequest, "config file: %s", describe(err))
	}
	if err := migrate(doc, table); err != nil {
		return s, nil, err
	}
	for key := range doc {
		if _, ok := fieldOf(key); !ok {
			unknown = append(unknown, key)
			delete(doc, key)
		}
	}
	slices.Sort(unknown)
	clean, err := toml.Marshal(doc)
	if err != nil {
		return s, unknown, core.Errorf(core.CodeInvalidRequest, "config file: %w", err)
	}
	if err := toml.Unmarshal(clean, &s); err != nil {
		return s, unknown, core.Errorf(core.CodeInvalidRequest, "config file: %s", describe(err))
	}
	return s, unknown, s.Verify()
}

// migrate brings doc up to Version and takes the version key out. A document without one was written by hand
// for the version at hand.
func migrate(doc map[string]any, table []migration) error {
	latest := Version
	if len(table) > 0 {
		latest = table[len(table)-1].to
	}
	version, ok := doc["version"].(int64)
	if _, set := doc["version"]; set && (!ok || version < 1) {
		return invalid("version", "config file: version must be a number from 1")
	} else if !set {
		version = int64(latest)
	}
	if version > int64(latest) {
		return core.Errorf(core.CodeUnsupported, "config file has version %d, this program reads up to %d", version, latest).
			WithHint("Update Shoal, or move the file away to start with the defaults.")
	}
	delete(doc, "version")
	for _, m := range table {
		if int64(m.to) <= version {
			continue
		}
		if err := m.apply(doc); err != nil {
			return core.Errorf(core.CodeInvalidRequest, "config file: upgrade to version %d: %w", m.to, err)
		}
	}
	return nil
}

// describe says what is wrong in a TOML text, with line and column where they are known.
func describe(err error) string {
	if d, ok := errors.AsType[*toml.DecodeError](err); ok {
		row, col := d.Position()
		return fmt.Sprintf("line %d, column %d: %s", row, col, d.Error())
	}
	return err.Error()
}

// encode writes every setting with its comment. A setting that has its default is commented out, so that a later
// version may change the default.
func encode(s *Settings) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString("# Settings of Shoal. A line that starts with # shows the default.\n\n")
	fmt.Fprintf(&b, "version = %d\n", Version)
	std := Default()
	for _, f := range fields() {
		line, err := toml.Marshal(map[string]any{f.key: f.of(s).Interface()})
		if err != nil {
			return nil, fmt.Errorf("encode %s: %w", f.key, err)
		}
		fmt.Fprintf(&b, "\n# %s\n", f.doc)
		if f.equal(s, &std) {
			b.WriteString("# ")
		}
		b.Write(line)
	}
	return b.Bytes(), nil
}

// readFile reads a config file; a missing one is empty.
func readFile(path string) ([]byte, error) {
	data, err := atomicfile.Read(path, maxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("config file: %w", err)
	}
	return data, nil
}

// save replaces the config file and keeps the one before as .bak.
func save(path string, s *Settings) error {
	data, err := encode(s)
	if err != nil {
		return err
	}
	old, err := readFile(path)
	if err != nil {
		return err
	}
	if bytes.Equal(old, data) {
		return nil
	}
	if old != nil {
		if err := atomicfile.Write(path+".bak", old, 0o600); err != nil {
			return err
		}
	}
	return atomicfile.Write(path, data, 0o600)
}
