// Package uitest is a scripted ui.Backend, with which the screen is tested and drawn without a node.
package uitest

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/ui"
)

// Backend is a ui.Backend that does what its fields say. Make it with New; set the fields before it is used, or
// through Set.
type Backend struct {
	mu sync.Mutex // guards everything below

	StatsNow    admin.Stats
	VersionNow  admin.Version
	ModelsNow   []admin.ModelInfo
	AccessNow   ui.Access
	SettingsNow ui.Settings

	Answer       []core.Delta    // what Generate emits, piece by piece
	RouteNow     core.Route      // which way the answer went in the end
	Usage        core.Usage      // of the answer
	Imported     admin.ModelInfo // what Import adds
	Steps        []core.Progress // what Import reports
	PeersNow     []admin.PeerInfo
	InvitesNow   []admin.Invite
	DownloadsNow []admin.Download
	PlansNow     map[string]admin.PlanReport // by model id
	CodeNow      admin.NetworkCode           // what NewInvite makes
	JoinedNow    admin.Joined                // what Join gives

	Errors map[string]error      // by method name, for example "Load"
	Gates  map[string]chan error // a method waits for its gate, if there is one, and returns what it gets
	Calls  []string              // what was called, with its arguments

	Requests []core.GenerateRequest

	subscribers []chan core.Event
}

// New makes a backend of a gaming PC without models.
func New() *Backend {
	return &Backend{
		StatsNow: admin.Stats{
			State: "idle", NodeID: "12D3KooWTest", Version: "0.1.0",
			Hardware: admin.Hardware{
				GPUName: "NVIDIA GeForce RTX 4070", GPUVRAMMB: 12282, GPUVRAMUsedMB: 2150, GPUInference: true, InferenceBackend: "cuda",
				TotalRAMMB: 32768, UsedRAMMB: 11900, ProcessRSSMB: 160, TotalDiskMB: 953869, UsedDiskMB: 610000, AvailableDiskMB: 343869,
				CPUName: "AMD Ryzen 7 7800X3D", CPUCores: 8, OS: "linux",
			},
		},
		VersionNow:  admin.Version{Version: "0.1.0", Engine: "llama.cpp v0.5.0", OS: "linux", Arch: "amd64"},
		AccessNow:   ui.Access{Address: "http://127.0.0.1:8800/v1", Key: "sk-shoal-0123456789abcdef0123456789abcdef"},
		SettingsNow: ui.Settings{Contribution: ui.ContributionModerate},
		Errors:      map[string]error{},
		Gates:       map[string]chan error{},
	}
}

// Model makes a model of the given size, in GiB.
func Model(id, name, status string, gib float64) admin.ModelInfo {
	return admin.ModelInfo{
		ID: id, Name: name, Architecture: "llama", Quantization: "Q4_K_M", ContextLength: 131072, Layers: 32,
		TotalSizeBytes: int64(gib * (1 << 30)), EstimatedVRAMMB: int64(gib * 1024 * 1.15), Fits: gib < 16,
		Status: status, Local: true, Windows: 1,
	}
}

// Set changes fields while the backend is in use, and tells the screen that something changed.
func (b *Backend) Set(change func(*Backend)) {
	b.mu.Lock()
	change(b)
	b.mu.Unlock()
	b.Emit(core.Event{Type: core.EventModelsChanged})
}

// Quietly changes fields while the backend is in use, and tells nobody.
func (b *Backend) Quietly(change func(*Backend)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change(b)
}

// Emit sends an event to everyone who subscribed.
func (b *Backend) Emit(e core.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, ch := range b.subscribers {
		select {
		case ch <- e:
		default: // a full channel holds an event already, which is enough to look again
		}
	}
}

// Called lists the calls so far.
func (b *Backend) Called() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.Calls)
}

// call notes a call, waits for the method's gate and returns the method's error.
func (b *Backend) call(ctx context.Context, method string, args ...string) error {
	b.mu.Lock()
	b.Calls = append(b.Calls, strings.Join(append([]string{method}, args...), " "))
	gate, err := b.Gates[method], b.Errors[method]
	b.mu.Unlock()
	if gate == nil {
		return err
	}
	select {
	case err := <-gate:
		return err
	case <-ctx.Done():
		return core.Errorf(core.CodeCancelled, "%s: %w", method, ctx.Err())
	}
}

func (b *Backend) setStatus(id, status string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.ModelsNow {
		if b.ModelsNow[i].ID == id {
			b.ModelsNow[i].Status = status
		}
	}
}

// Stats implements ui.Backend.
func (b *Backend) Stats(context.Context) (admin.Stats, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.StatsNow, b.Errors["Stats"]
}

// Version implements ui.Backend.
func (b *Backend) Version(context.Context) (admin.Version, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.VersionNow, b.Errors["Version"]
}

// Models implements ui.Backend.
func (b *Backend) Models(context.Context) ([]admin.ModelInfo, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.ModelsNow), b.Errors["Models"]
}

// Import implements ui.Backend: it reports Steps, waits for the gate "Import" and adds Imported.
func (b *Backend) Import(ctx context.Context, path string, progress func(core.Progress)) (admin.ModelInfo, error) {
	for _, p := range b.Steps {
		progress(p)
	}
	if err := b.call(ctx, "Import", path); err != nil {
		return admin.ModelInfo{}, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ModelsNow = append(b.ModelsNow, b.Imported)
	return b.Imported, nil
}

// Load implements ui.Backend.
func (b *Backend) Load(ctx context.Context, id core.ModelID) error {
	err := b.call(ctx, "Load", id.String())
	if err == nil {
		b.setStatus(id.String(), admin.StatusLoaded)
	}
	return err
}

// Unload implements ui.Backend.
func (b *Backend) Unload(ctx context.Context, id core.ModelID) error {
	err := b.call(ctx, "Unload", id.String())
	if err == nil {
		b.setStatus(id.String(), admin.StatusReady)
	}
	return err
}

// Delete implements ui.Backend.
func (b *Backend) Delete(ctx context.Context, id core.ModelID) error {
	if err := b.call(ctx, "Delete", id.String()); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ModelsNow = slices.DeleteFunc(b.ModelsNow, func(m admin.ModelInfo) bool { return m.ID == id.String() })
	return nil
}

// Generate implements ui.Backend: it emits Answer, then waits for the gate "Generate".
func (b *Backend) Generate(ctx context.Context, req *core.GenerateRequest, emit func(core.Delta) error) (*core.Reply, error) {
	b.mu.Lock()
	answer, usage, route := slices.Clone(b.Answer), b.Usage, b.RouteNow
	b.Requests = append(b.Requests, *req)
	b.mu.Unlock()
	var text strings.Builder
	for _, d := range answer {
		text.WriteString(d.Text)
		if err := emit(d); err != nil {
			return nil, err
		}
	}
	if err := b.call(ctx, "Generate", req.Model); err != nil {
		return nil, err
	}
	return &core.Reply{
		Model: req.Model, Message: core.Message{Role: "assistant", Content: text.String()},
		FinishReason: core.FinishStop, Usage: usage, Route: route,
	}, nil
}

// Access implements ui.Backend.
func (b *Backend) Access(context.Context) (ui.Access, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.AccessNow, b.Errors["Access"]
}

// Settings implements ui.Backend.
func (b *Backend) Settings(context.Context) (ui.Settings, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.SettingsNow, b.Errors["Settings"]
}

// SetSettings implements ui.Backend.
func (b *Backend) SetSettings(ctx context.Context, s ui.Settings) error {
	if err := b.call(ctx, "SetSettings", s.Contribution); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.SettingsNow = s
	return nil
}

// Pause implements ui.Backend.
func (b *Backend) Pause(ctx context.Context) error { return b.setState(ctx, "Pause", "paused") }

// Resume implements ui.Backend.
func (b *Backend) Resume(ctx context.Context) error { return b.setState(ctx, "Resume", "idle") }

func (b *Backend) setState(ctx context.Context, method, state string) error {
	if err := b.call(ctx, method); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.StatsNow.State = state
	return nil
}

// Subscribe implements ui.Backend.
func (b *Backend) Subscribe(ctx context.Context) <-chan core.Event {
	ch := make(chan core.Event, 16)
	b.mu.Lock()
	b.subscribers = append(b.subscribers, ch)
	b.mu.Unlock()
	context.AfterFunc(ctx, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.subscribers = slices.DeleteFunc(b.subscribers, func(c chan core.Event) bool { return c == ch })
		close(ch)
	})
	return ch
}

var _ ui.Backend = (*Backend)(nil)
