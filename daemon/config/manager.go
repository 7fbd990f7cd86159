package config

import (
	"slices"
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

// Subscriber is told of changes. Both methods may read the settings, but not change them.
type Subscriber interface {
	// VerifyConfig tells whether the change can be made. It must have no effect.
	VerifyConfig(from, to Settings) error
	// CommitConfig makes the change. It is called after every subscriber agreed, and must not fail.
	CommitConfig(from, to Settings)
}

// Manager holds the settings in effect. It is safe for concurrent use.
type Manager struct {
	opts Options

	changing sync.Mutex // held for a whole change, and while subscribers are called; taken before mu

	mu          sync.Mutex // guards all below; what is changed is changed with both held
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
	m.changing.Lock()
	defer m.changing.Unlock()
	current := m.Get()
	next := current.clone()
	if err := fn(&next); err != nil {
		return Change{}, err
	}
	if err := m.verify(current, next); err != nil {
		return Change{}, err
	}
	file := m.file.clone()
	for _, f := range fields() {
		if !f.equal(&current, &next) {
			f.of(&file).Set(f.of(&next))
		}
	}
	if err := save(m.opts.File, &file); err != nil {
		return Change{}, core.Errorf(core.CodeInternal, "save settings: %w", err)
	}
	return m.commit(file, next, m.unknown), nil
}

// Save writes the file if it does not exist or does not list every setting, so that a user finds them all there.
func (m *Manager) Save() error {
	m.changing.Lock()
	defer m.changing.Unlock()
	return save(m.opts.File, &m.file)
}

// Reload reads the file again and puts it into effect if all agree.
func (m *Manager) Reload() (Change, error) {
	m.changing.Lock()
	defer m.changing.Unlock()
	file, next, unknown, err := m.read()
	if err != nil {
		return Change{}, err
	}
	if err := m.verify(m.Get(), next); err != nil {
		return Change{}, err
	}
	return m.commit(file, next, unknown), nil
}

// verify asks everybody. m.changing is held.
func (m *Manager) verify(current, next Settings) error {
	if err := next.Verify(); err != nil {
		return err
	}
	for _, s := range m.listeners() {
		if err := s.VerifyConfig(current.clone(), next.clone()); err != nil {
			return err
		}
	}
	return nil
}

// commit puts settings into effect and tells everybody. m.changing is held.
func (m *Manager) commit(file, next Settings, unknown []string) Change {
	m.mu.Lock()
	from := m.current
	m.file, m.current, m.unknown = file, next, unknown
	m.mu.Unlock()
	for _, s := range m.listeners() {
		s.CommitConfig(from.clone(), next.clone())
	}
	return difference(&from, &next)
}

func (m *Manager) listeners() []Subscriber {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.subscribers)
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
