package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"strconv"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// View is the answer of GET /api/admin/config.
type View struct {
	Settings
	ListenPort int `json:"listen_port"` // port of Listen
}

// View returns the settings as the admin API shows them.
func (m *Manager) View() View {
	s := m.Get()
	port, _ := s.Port()
	return View{Settings: s, ListenPort: port}
}

// Patch applies a JSON object that holds any subset of a View. An unknown key, a wrong type or a value out of range
// is an error of code CodeInvalidRequest, a change of the programs that are run one of CodeForbidden, and nothing
// changes.
func (m *Manager) Patch(data []byte) (Change, error) {
	return m.Update(func(s *Settings) error { return patch(s, data) })
}

func patch(s *Settings, data []byte) error {
	port, err := s.Port()
	if err != nil {
		return err
	}
	v := View{Settings: *s, ListenPort: port}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		return jsonError(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return core.Errorf(core.CodeInvalidRequest, "settings must be one JSON object")
	}
	v.Settings = v.clone() // a list that is null is an empty one
	if v.ListenPort != port {
		host, _, err := net.SplitHostPort(v.Listen)
		if err != nil || v.ListenPort < 0 || v.ListenPort > 65535 {
			return invalid("listen_port", "listen_port must be 0 to 65535")
		}
		v.Listen = net.JoinHostPort(host, strconv.Itoa(v.ListenPort))
	}
	if v.RuntimeDir != s.RuntimeDir || v.WorkerPath != s.WorkerPath {
		return core.Errorf(core.CodeForbidden, "runtime and worker name programs to run: set them in the config file or by a flag")
	}
	*s = v.Settings
	return nil
}

func jsonError(err error) error {
	if t, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return invalid(t.Field, "%s must not be a %s", t.Field, t.Value)
	}
	return core.Errorf(core.CodeInvalidRequest, "settings: %w", err)
}
