package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"time"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/api"
	"github.com/shoal-p2p/shoal/daemon/core"
)

type statusCmd struct{}

// status is the JSON form of the status command.
type status struct {
	Running    bool              `json:"running"`
	Ready      bool              `json:"ready"`
	Subsystems map[string]string `json:"subsystems,omitempty"`
	Stats      *admin.Stats      `json:"stats,omitempty"`
}

// Run shows the running node. Its exit code tells whether the node can serve.
func (*statusCmd) Run(s *session) error {
	n, err := s.running()
	if err != nil {
		return err
	}
	if n == nil {
		if err := s.show(status{}, func(w io.Writer) { fmt.Fprintln(w, "Shoal is not running. shoald serve starts it.") }); err != nil {
			return err
		}
		return silent{core.CodeNotReady}
	}
	ready, parts := n.Ready(s.ctx)
	stats, err := n.Stats(s.ctx)
	if err != nil {
		return err
	}
	if err := s.show(status{true, ready, parts, &stats}, func(w io.Writer) { printStatus(w, stats, parts) }); err != nil {
		return err
	}
	if !ready {
		return silent{core.CodeNotReady}
	}
	return nil
}

func printStatus(w io.Writer, st admin.Stats, parts map[string]string) {
	h := st.Hardware
	fmt.Fprintf(w, "State\t%s for %s\n", st.State, time.Duration(st.UptimeSeconds)*time.Second)
	fmt.Fprintf(w, "Node\t%s, version %s\n", st.NodeID, st.Version)
	fmt.Fprintf(w, "Loaded\t%s\n", listed(st.LoadedModels))
	for _, warning := range st.Warnings {
		fmt.Fprintf(w, "Warning\t%s\n", warning)
	}
	fmt.Fprintf(w, "Requests\t%d running, %d served\n", st.ActiveRequests, st.RequestsServed)
	fmt.Fprintf(w, "Memory\t%s of %s in use, %s by Shoal\n", size(h.UsedRAMMB<<20), size(h.TotalRAMMB<<20), size(h.ProcessRSSMB<<20))
	if h.GPUName != "" {
		fmt.Fprintf(w, "GPU\t%s, %s of %s in use\n", h.GPUName, size(h.GPUVRAMUsedMB<<20), size(h.GPUVRAMMB<<20))
	}
	fmt.Fprintf(w, "Disk\t%s free\n", size(h.AvailableDiskMB<<20))
	for _, name := range slices.Sorted(maps.Keys(parts)) {
		fmt.Fprintf(w, "Part %s\t%s\n", name, parts[name])
	}
}

func listed(names []string) string {
	if len(names) == 0 {
		return "no model"
	}
	return fmt.Sprint(names)
}

type versionCmd struct{}

// Run prints what this program is.
func (*versionCmd) Run(s *session) error {
	v := admin.Version{Version: version, Commit: commit, GoVersion: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	return s.show(v, func(w io.Writer) {
		fmt.Fprintf(w, "shoald %s (%s), %s, %s/%s\n", v.Version, v.Commit, v.GoVersion, v.OS, v.Arch)
	})
}

type keyCmd struct{}

// Run prints the API key alone, so that a script can use it as it is.
func (*keyCmd) Run(s *session) error {
	key, place, err := s.apiKey()
	if err != nil {
		return err
	}
	return s.show(map[string]string{"api_key": key, "place": place}, func(w io.Writer) { fmt.Fprintln(w, key) })
}

// withNode calls fn with the node that runs on this PC, or with one of its own on the data folder.
func (s *session) withNode(fn func(context.Context, api.Node) error) error {
	return s.reach(fn, s.inProcess)
}

// withAnswers is withNode for commands that want an answer: a node of its own brings the demo model if there is none.
func (s *session) withAnswers(fn func(context.Context, api.Node) error) error {
	return s.reach(fn, s.inProcessWithDemo)
}

func (s *session) reach(fn func(context.Context, api.Node) error, own func(func(context.Context, api.Node) error) error) error {
	n, err := s.running()
	if err != nil {
		return err
	}
	if n != nil {
		return fn(s.ctx, n)
	}
	return own(fn)
}

// needRunning fails if no node runs: what the command does would end with the command.
func (s *session) needRunning() error {
	n, err := s.running()
	if err == nil && n == nil {
		return core.Errorf(core.CodeNotReady, "Shoal is not running").WithHint("Start it with shoald serve.")
	}
	return err
}
