package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/shoal-p2p/shoal/daemon/api"
	"github.com/shoal-p2p/shoal/daemon/core"
)

type membersCmd struct {
	Delegate string `placeholder:"ID" help:"Let a member put others out; only the founder can."`
}

// Run lists who belongs to the swarm, or names one who may put others out.
func (c *membersCmd) Run(s *session) error {
	return s.withRunning(func(ctx context.Context, n api.Node) error {
		if c.Delegate != "" {
			return s.ofMember(c.Delegate, "named", "may put members out now", func(id core.PeerID) error { return n.Delegate(ctx, id) })
		}
		members, err := n.Members(ctx)
		if err != nil {
			return err
		}
		return s.show(map[string]any{"members": members}, func(w io.Writer) {
			fmt.Fprintln(w, "MEMBER\tNAME\tROLE\tCONNECTION\tCLOCK")
			for _, m := range members {
				ahead := time.Duration(m.ClockOffsetS * float64(time.Second))
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", m.NodeID, printable(m.Nickname), m.Role, m.Connection, ahead)
			}
		})
	})
}

type putOutCmd struct {
	ID string `arg:"" help:"Who to put out, as shoald members lists it."`
}

// Run puts a member out of the swarm.
func (c *putOutCmd) Run(s *session) error {
	return s.withRunning(func(ctx context.Context, n api.Node) error {
		return s.ofMember(c.ID, "put_out", "is no member any more", func(id core.PeerID) error { return n.PutOut(ctx, id) })
	})
}

// ofMember does something with a member and says that it is done.
func (s *session) ofMember(text, status, done string, do func(core.PeerID) error) error {
	id, err := core.ParsePeerID(text)
	if err != nil {
		return err
	}
	if err := do(id); err != nil {
		return err
	}
	return s.show(map[string]string{"status": status, "id": id.String()}, func(w io.Writer) { fmt.Fprintf(w, "%s %s.\n", id, done) })
}

type leaveCmd struct{}

// Run leaves the swarm.
func (c *leaveCmd) Run(s *session) error {
	return s.withRunning(func(ctx context.Context, n api.Node) error {
		if err := n.LeaveSwarm(ctx); err != nil {
			return err
		}
		return s.show(map[string]string{"status": "left"}, func(w io.Writer) {
			fmt.Fprintln(w, "This PC is in no swarm any more. An invite lets it into another.")
		})
	})
}
