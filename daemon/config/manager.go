package config

import (
	"strings"
	"sync"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// Options say where settings come from.
type Options struct {
	File    string            // config.toml; it need not exist
	Environ []string          // as os.Environ; only SHOAL_* is read
	Flags   map[string]string // by key, as given on the command line
}

// Subscriber is told of changes. Both methods may not call the Manager.
type Subscriber interface {
	// VerifyConfig tells whether the change can be made. It must have no effect.
	VerifyConfig(from, to Settings) error
	// CommitConfig makes the change. It is called after every subscriber agreed, and must not fail.
	CommitConfig(from, to Settings)
}

// Manager holds the settings in effect. It is safe for concurrent use.
type Manager struct {
	opts Options

	mu          sync.Mutex // guards all below; held while subscribers are called
	file        Settings   // what the file says
	current     Settings   // with variables and flags on top
	unknown     []string
	subscribers []Subscriber
}

// Load reads the settings. The error has code CodeInvalidRequest, or CodeUnsupported for a file of a newer version.
func Load(opts Options) (*Manager, error) {
	m := &Manager{opts: opts}
	file, current, unknown, err := m.read()
	if err != nil {
		return nil, err
	}
	m.file, m.current, m.unknown = file, current, unknown
	return m, nil
}

// Get returns the settings in effect.
func (m *Manager) Get() Settings {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.current.clone()
}

// Path is the config file.
func (m *Manager) Path() string { return m.opts.File }

// UnknownKeys are the keys of the file that mean nothing, in order.
func (m *Manager) UnknownKeys() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]string{}, m.unknown...)
}

// Subscribe adds s to those who are asked before and told after a change.
func (m *Manager) Subscribe(s Subscriber) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.subscribers = append(m.subscribers, s)
}

// Update applies fn to a copy of the settings, and if all agree saves the file and puts them into effect. A setting
// that a flag or variable overrides changes now, and the override holds again at the next start.
func (m *Manager) Update(fn func(*Settings) error) (Change, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	next := m.current.clone()
	if err := fn(&next); err != nil {
		return Change{}, err
	}
	if err := m.verify(next); err != nil {
		return Change{}, err
	}
	file := m.file.clone()
	for _, f := range fields() {
		if !f.equal(&m.current, &next) {
			f.of(&file).Set(f.of(&next))
		}
	}
	if err := save(m.opts.File, &file); err != nil {
		return Change{}, core.Errorf(core.CodeInternal, "save settings: %w", err)
	}
	m.file = file
	return m.commit(next), nil
}

// Save writes the file if it does not exist or does not list every setting, so that a user finds them all there.
func (m *Manager) Save() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return save(m.opts.File, &m.file)
}

// Reload reads the file again and puts it into effect if all agree.
func (m *Manager) Reload() (Change, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	file, next, unknown, err := m.read()
	if err != nil {
		return Change{}, err
	}
	if err := m.verify(next); err != nil {
		return Change{}, err
	}
	m.file, m.unknown = file, unknown
	return m.commit(next), nil
}

func (m *Manager) verify(next Settings) error {
	if err := next.Verify(); err != nil {
		return err
	}
	for _, s := range m.subscribers {
		if err := s.VerifyConfig(m.current.clone(), next.clone()); err != nil {
			return err
		}
	}
	return nil
}

func (m *Manager) commit(next Settings) Change {
	change := difference(&m.current, &next)
	from := m.current
	m.current = next
	for _, s := range m.subscribers {
		s.CommitConfig(from.clone(), next.clone())
	}
	return change
}

// read decodes the file and lays variables and flags on top.
func (m *Manager) read() (file, current Settings, unknown []string, err error) {
	data, err := readFile(m.opts.File)
	if err != nil {
		return file, current, nil, err
	}
	if file, unknown, err = decode(data, migrations()); err != nil {
		return file, current, nil, err
	}
	current = file.clone()
	if err := overlay(&current, m.opts.Environ, m.opts.Flags); err != nil {
		return file, current, nil, err
	}
	return file, current, unknown, current.Verify()
}

func overlay(s *Settings, environ []string, flags map[string]string) error {
	vars := map[string]string{}
	for _, pair := range environ {
		if name, value, ok := strings.Cut(pair, "="); ok {
			vars[name] = value
		}
	}
	for _, f := range fields() {
		text, ok := flags[f.key]
		if !ok {
			text, ok = vars[f.variable()]
		}
		if !ok {
			continue
		}
		if err := f.set(s, text); err != nil {
			return err
		}
	}
	for key := range flags {
		if _, ok := fieldOf(key); !ok {
			return invalid(key, "there is no setting %q", key)
		}
	}
	return nil
}

// clone copies s so that neither shares a slice with the other.
func (s Settings) clone() Settings {
	s.CORSAllow = append([]string{}, s.CORSAllow...)
	return s
}
