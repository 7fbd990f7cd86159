package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/api"
	"github.com/shoal-p2p/shoal/daemon/core"
)

// withRunning calls fn with the node that runs on this PC: what fn does would end with a node of its own.
func (s *session) withRunning(fn func(context.Context, api.Node) error) error {
	n, err := s.running()
	if err != nil {
		return err
	}
	if n == nil {
		return core.Errorf(core.CodeNotReady, "Shoal is not running").WithHint("Start it with shoald serve.")
	}
	return fn(s.ctx, n)
}

type inviteCmd struct {
	List   bool   `help:"List the invites that this node wrote, and who joined."`
	Revoke string `placeholder:"ID" help:"Take an invite back that nobody has used."`
}

// Run writes an invite, or looks after those that were written.
func (c *inviteCmd) Run(s *session) error {
	return s.withRunning(func(ctx context.Context, n api.Node) error {
		switch {
		case c.Revoke != "":
			if err := n.RevokeInvite(ctx, c.Revoke); err != nil {
				return err
			}
			return s.show(map[string]string{"status": "revoked", "id": c.Revoke}, func(w io.Writer) {
				fmt.Fprintf(w, "The invite %s lets nobody in any more.\n", printable(c.Revoke))
			})
		case c.List:
			return s.listInvites(ctx, n)
		}
		code, err := n.NetworkCode(ctx, true)
		if err != nil {
			return err
		}
		return s.show(code, func(w io.Writer) {
			fmt.Fprintf(w, "%s\n\nThis code lets one PC into your swarm until %s. Treat it like a password. On the other PC:\n\n    shoald join CODE\n",
				code.Code, code.ExpiresAt.Local().Format(time.TimeOnly))
		})
	})
}

func (s *session) listInvites(ctx context.Context, n api.Node) error {
	invites, err := n.Invites(ctx)
	if err != nil {
		return err
	}
	return s.show(map[string]any{"invites": invites}, func(w io.Writer) {
		if len(invites) == 0 {
			fmt.Fprintln(w, "No invite was written yet. shoald invite writes one.")
			return
		}
		fmt.Fprintln(w, "INVITE\tSTATE\tEXPIRES\tJOINED")
		for _, i := range invites {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", i.ID, i.State, i.ExpiresAt.Local().Format(time.DateTime), printable(strings.TrimSpace(i.Nickname+" "+i.UsedBy)))
		}
	})
}

type joinCmd struct {
	Code string `arg:"" help:"Invite code (swarm://…), or the address of a member."`
}

// Run joins a swarm.
func (c *joinCmd) Run(s *session) error {
	return s.withRunning(func(ctx context.Context, n api.Node) error {
		joined, err := n.JoinNetwork(ctx, c.Code)
		if err != nil {
			return err
		}
		return s.show(joined, func(w io.Writer) { fmt.Fprintf(w, "%s\n", printable(joined.Message)) })
	})
}

type peersCmd struct{}

// Run lists the other nodes.
func (*peersCmd) Run(s *session) error {
	return s.withRunning(func(ctx context.Context, n api.Node) error {
		peers, err := n.Peers(ctx)
		if err != nil {
			return err
		}
		return s.show(map[string]any{"peers": peers}, func(w io.Writer) {
			if len(peers) == 0 {
				fmt.Fprintln(w, "No other PC is known yet. shoald invite lets one in.")
				return
			}
			fmt.Fprintln(w, "NAME\tCONNECTION\tLATENCY\tTRUST\tMODELS\tNODE")
			for _, p := range peers {
				fmt.Fprintf(w, "%s\t%s\t%s\t%.2f\t%s\t%s\n", printable(p.Nickname), connection(p), latency(p), p.TrustScore,
					printable(strings.Join(p.HostedModels, " ")), p.NodeID)
			}
		})
	})
}

func connection(p admin.PeerInfo) string {
	if p.IsLANPeer && p.Connection == "direct" {
		return "local network"
	}
	return p.Connection
}

func latency(p admin.PeerInfo) string {
	if p.LatencyMS == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f ms", p.LatencyMS)
}

type planCmd struct {
	Model string `arg:"" help:"Model id."`
}

// Run explains which chain a request would get. Its exit code tells whether there is one.
func (c *planCmd) Run(s *session) error {
	id, err := core.ParseModelID(c.Model)
	if err != nil {
		return err
	}
	return s.withRunning(func(ctx context.Context, n api.Node) error {
		report, err := n.Plan(ctx, id)
		if err != nil {
			return err
		}
		if err := s.show(report, func(w io.Writer) { printPlan(w, report) }); err != nil {
			return err
		}
		if !report.Possible {
			return silent{report.Code}
		}
		return nil
	})
}

func printPlan(w io.Writer, r admin.PlanReport) {
	fmt.Fprintf(w, "%s\n", printable(r.Text))
	if r.Possible {
		fmt.Fprintf(w, "\nRoute\t%s\nForecast\t%.1f tokens/s, prompts at %.0f tokens/s\n\n", r.Route, r.Forecast.DecodeTokensPerSecond, r.Forecast.PrefillTokensPerSecond)
		printSegments(w, r.Segments)
	}
	if d := r.Draft; d != nil {
		fmt.Fprintf(w, "\nDraft model\t%s\n%s\n", d.ModelID, printable(d.Text))
	}
	for _, a := range r.Alternatives {
		fmt.Fprintf(w, "\nOr %s\t%.1f tokens/s\n", a.Name, a.Forecast.DecodeTokensPerSecond)
		printSegments(w, a.Segments)
	}
	for i, reason := range r.Reasons {
		if i == 0 {
			fmt.Fprintln(w, "\nNot used:")
		}
		fmt.Fprintf(w, "  %s\n", printable(reason.Text))
	}
}

func printSegments(w io.Writer, list []admin.PlanSegment) {
	fmt.Fprintln(w, "LAYERS\tWHERE\tCOMPUTE\tWAY THERE\tIN MEMORY\tSTANDBYS")
	for _, p := range list {
		where := p.Nickname + " " + p.NodeID[max(0, len(p.NodeID)-8):]
		if p.Local {
			where = "this PC"
		}
		fmt.Fprintf(w, "%d-%d\t%s\t%.2f ms\t%.2f ms\t%v\t%s\n", p.LayerStart, p.LayerEnd-1, printable(where), p.ComputeMS, p.LatencyMS, p.Loaded, standbys(p))
	}
}

// standbys is how many nodes could take a segment's place, and how ready the one is that would.
func standbys(p admin.PlanSegment) string {
	s := fmt.Sprint(len(p.Standbys))
	for _, warmth := range []string{"cold", "loading", "warm"} { // the least ready stage counts
		if slices.ContainsFunc(p.TakesOver, func(t admin.PlanStandby) bool { return t.Warmth == warmth }) {
			return s + " (" + warmth + ")"
		}
	}
	return s
}

type pullCmd struct {
	Model  string `arg:"" help:"Model id."`
	Shards []int  `help:"Fetch these shards only, for example --shards 0,1."`
	Detach bool   `help:"Do not wait until it is here."`
}

// Run fetches a model, or some shards of it, from the swarm.
func (c *pullCmd) Run(s *session) error {
	id, err := core.ParseModelID(c.Model)
	if err != nil {
		return err
	}
	return s.withRunning(func(ctx context.Context, n api.Node) error {
		for _, index := range c.Shards {
			if _, err := n.DownloadShard(ctx, id, index); err != nil {
				return err
			}
		}
		if c.Shards == nil {
			if _, err := n.AddModel(ctx, id); err != nil {
				return err
			}
		}
		if !c.Detach {
			if err := s.follow(ctx, n, id, c.Shards); err != nil {
				return err
			}
		}
		progress, err := n.Progress(ctx, id)
		if err != nil {
			return err
		}
		return s.show(progress, func(w io.Writer) {
			fmt.Fprintf(w, "%s: %d of %d shards are here (%s of %s)\n", id, progress.DownloadedShards, progress.TotalShards,
				size(progress.DownloadedBytes), size(progress.TotalBytes))
		})
	})
}

// followEvery is how often the progress of a download is looked at.
const followEvery = 250 * time.Millisecond

// follow shows how a download goes on until it is over; shards nil are all of the model.
func (s *session) follow(ctx context.Context, n api.Node, id core.ModelID, shards []int) error {
	report, done := s.progress("Fetching " + id.String())
	defer done()
	for {
		all, err := n.Downloads(ctx)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(all, func(d admin.Download) bool { return d.ModelID == id.String() })
		if i < 0 {
			return nil
		}
		d := all[i]
		report(core.Progress{Done: d.DownloadedBytes, Total: d.TotalBytes})
		if more, err := outstanding(d, shards); err != nil || !more {
			return err
		}
		select {
		case <-time.After(followEvery):
		case <-ctx.Done():
			return core.Errorf(core.CodeCancelled, "the download goes on without this command; shoald downloads shows it")
		}
	}
}

// outstanding tells whether some of a download is still to come; shards nil are all of the model, which the node may not
// have begun to count.
func outstanding(d admin.Download, shards []int) (more bool, err error) {
	if shards == nil {
		if d.State == core.DownloadFailed {
			return false, core.Errorf(core.CodeNotReady, "%s did not come: %s", d.ModelID, d.Error)
		}
		return d.State == core.DownloadQueued || d.State == core.DownloadRunning, nil
	}
	for _, part := range d.Shards {
		switch {
		case !slices.Contains(shards, part.Index):
		case part.State == core.DownloadFailed:
			return false, core.Errorf(core.CodeNotReady, "shard %d of %s did not come: %s", part.Index, d.ModelID, d.Error)
		case part.State == core.DownloadQueued || part.State == core.DownloadRunning:
			more = true
		}
	}
	return more, nil
}

type downloadsCmd struct {
	Cancel string `placeholder:"MODEL" help:"Stop fetching a model."`
}

// Run lists what is being fetched.
func (c *downloadsCmd) Run(s *session) error {
	return s.withRunning(func(ctx context.Context, n api.Node) error {
		if c.Cancel != "" {
			id, err := core.ParseModelID(c.Cancel)
			if err != nil {
				return err
			}
			if err := n.CancelDownload(ctx, id); err != nil {
				return err
			}
			return s.show(map[string]string{"status": "cancelled", "model_id": id.String()}, func(w io.Writer) {
				fmt.Fprintf(w, "%s is not fetched any more\n", id)
			})
		}
		list, err := n.Downloads(ctx)
		if err != nil {
			return err
		}
		return s.show(map[string]any{"downloads": list}, func(w io.Writer) {
			if len(list) == 0 {
				fmt.Fprintln(w, "Nothing is being fetched.")
				return
			}
			fmt.Fprintln(w, "MODEL\tSHARD\tSTATE\tDONE\tSPEED\tFROM")
			for _, d := range list {
				for _, p := range d.Shards {
					fmt.Fprintf(w, "%s\t%d\t%s\t%s of %s\t%s/s\t%s\n", d.ModelID, p.Index, p.State, size(p.DownloadedBytes), size(p.TotalBytes),
						size(p.SpeedBytesPerSec), printable(strings.Join(p.Peers, " ")))
				}
			}
		})
	})
}
