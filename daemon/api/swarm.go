package api

import (
	"context"
	"net/http"
	"strings"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/core"
)

// maxInviteCode bounds what join-network takes.
const maxInviteCode = 8 << 10

func (s *Server) peers(c *call) error {
	peers, err := s.node.Peers(c.ctx())
	if err != nil {
		return err
	}
	peers = list(peers)
	for i := range peers {
		peers[i].HostedModels, peers[i].Addresses = list(peers[i].HostedModels), list(peers[i].Addresses)
	}
	return c.reply(http.StatusOK, peers)
}

func (s *Server) networkMap(c *call) error {
	regions, err := s.node.NetworkMap(c.ctx())
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, regions)
}

// networkCode answers with the invite that is open, or with a new one when the query has new=true.
func (s *Server) networkCode(c *call) error {
	code, err := s.node.NetworkCode(c.ctx(), c.Query("new") == "true")
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, code)
}

func (s *Server) joinNetwork(c *call) error {
	var in struct {
		Code string `json:"code"`
	}
	if err := c.read(&in); err != nil {
		return err
	}
	if in.Code = strings.TrimSpace(in.Code); in.Code == "" || len(in.Code) > maxInviteCode {
		return core.Errorf(core.CodeInvalidRequest, "code must be an invite code or an address, of 1 to %d characters", maxInviteCode).
			WithParam("code")
	}
	joined, err := s.node.JoinNetwork(c.ctx(), in.Code)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, joined)
}

func (s *Server) invites(c *call) error {
	invites, err := s.node.Invites(c.ctx())
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, list(invites))
}

func (s *Server) revokeInvite(c *call) error {
	id := c.Param("id")
	if len(id) > 64 {
		return core.Errorf(core.CodeNotFound, "there is no invite of that id").WithParam("id")
	}
	if err := s.node.RevokeInvite(c.ctx(), id); err != nil {
		return err
	}
	return c.reply(http.StatusOK, map[string]string{"status": "revoked", "id": id})
}

func (s *Server) members(c *call) error {
	members, err := s.node.Members(c.ctx())
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, list(members))
}

func (s *Server) putOut(c *call) error {
	return s.ofMember(c, "put_out", s.node.PutOut)
}

func (s *Server) delegate(c *call) error {
	return s.ofMember(c, "named", s.node.Delegate)
}

// ofMember does something with the member that the path names.
func (s *Server) ofMember(c *call, status string, do func(context.Context, core.PeerID) error) error {
	id, err := core.ParsePeerID(c.Param("id"))
	if err != nil {
		return core.Errorf(core.CodeNotFound, "there is no member of that id").WithParam("id")
	}
	if err := do(c.ctx(), id); err != nil {
		return err
	}
	return c.reply(http.StatusOK, map[string]string{"status": status, "id": id.String()})
}

func (s *Server) leaveSwarm(c *call) error {
	if err := s.node.LeaveSwarm(c.ctx()); err != nil {
		return err
	}
	return c.reply(http.StatusOK, map[string]string{"status": "left"})
}

func (s *Server) addModel(c *call) error {
	id, err := c.modelID()
	if err != nil {
		return err
	}
	done, err := s.node.AddModel(c.ctx(), id)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, done)
}

func (s *Server) downloadShard(c *call) error {
	id, index, err := c.shard()
	if err != nil {
		return err
	}
	done, err := s.node.DownloadShard(c.ctx(), id, index)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, done)
}

func (s *Server) downloads(c *call) error {
	downloads, err := s.node.Downloads(c.ctx())
	if err != nil {
		return err
	}
	downloads = list(downloads)
	for i := range downloads {
		shards := list(downloads[i].Shards)
		for j := range shards {
			shards[j].Peers = list(shards[j].Peers)
		}
		downloads[i].Shards = shards
	}
	return c.reply(http.StatusOK, downloads)
}

func (s *Server) cancelDownload(c *call) error {
	id, err := c.modelID()
	if err != nil {
		return err
	}
	if err := s.node.CancelDownload(c.ctx(), id); err != nil {
		return err
	}
	return c.reply(http.StatusOK, map[string]any{"status": "cancelled", "model_id": id})
}

func (s *Server) getEncryptedPipeline(c *call) error {
	id, err := c.modelID()
	if err != nil {
		return err
	}
	state, err := s.node.EncryptedPipeline(c.ctx(), id)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, state)
}

func (s *Server) putEncryptedPipeline(c *call) error {
	id, err := c.modelID()
	if err != nil {
		return err
	}
	var in struct {
		Enabled *bool `json:"enabled"`
	}
	if err := c.read(&in); err != nil {
		return err
	}
	if in.Enabled == nil {
		return core.Errorf(core.CodeInvalidRequest, "enabled must be true or false").WithParam("enabled")
	}
	state, err := s.node.SetEncryptedPipeline(c.ctx(), id, *in.Enabled)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, state)
}

// plan answers 200 also when no chain can serve the model: that and why is what was asked.
func (s *Server) plan(c *call) error {
	id, err := c.modelID()
	if err != nil {
		return err
	}
	report, err := s.node.Plan(c.ctx(), id)
	if err != nil {
		return err
	}
	report.Segments, report.Reasons = segments(report.Segments), list(report.Reasons)
	report.Alternatives = list(report.Alternatives)
	for i := range report.Alternatives {
		report.Alternatives[i].Segments = segments(report.Alternatives[i].Segments)
	}
	return c.reply(http.StatusOK, report)
}

func segments(all []admin.PlanSegment) []admin.PlanSegment {
	all = list(all)
	for i := range all {
		all[i].Standbys, all[i].TakesOver = list(all[i].Standbys), list(all[i].TakesOver)
	}
	return all
}
