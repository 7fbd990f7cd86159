package admin

import (
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// The roles of a member.
const (
	RoleFounder  = "founder"  // made the swarm: may put out and name
	RoleDelegate = "delegate" // named by the founder: may put out
	RoleMember   = "member"
)

// Member is who belongs to the swarm, whether it is there or not.
type Member struct {
	NodeID       core.PeerID `json:"node_id"`
	Nickname     string      `json:"nickname"` // empty until the member was heard of
	Role         string      `json:"role"`
	Self         bool        `json:"self"`           // this PC
	Since        time.Time   `json:"since"`          // zero for the founder
	AdmittedBy   string      `json:"admitted_by"`    // its id; empty for the founder
	Connection   string      `json:"connection"`     // a connection of a peer; empty for this PC
	ClockOffsetS float64     `json:"clock_offset_s"` // how far its clock is ahead of this one, in seconds
}
