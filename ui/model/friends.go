package model

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/shoal-p2p/shoal/daemon/admin"
)

// Reach is how a PC of the swarm is reached.
type Reach string

// The ways a PC is reached.
const (
	ReachHere   Reach = "This PC"
	ReachNear   Reach = "On your network"
	ReachDirect Reach = "Over the internet"
	ReachRelay  Reach = "Through another PC"
	ReachNone   Reach = ""
)

// Friends is the Friends page.
type Friends struct {
	Alone   bool // there is nobody else in the swarm, or there is none
	Summary Text
	Rows    []FriendRow // this PC first, then the others, those online before those that are not
	Invites []InviteRow
}

// FriendRow is one PC of the swarm.
type FriendRow struct {
	ID      string
	Name    string // empty for this PC
	State   State  // colour and shape of the dot
	Status  Text
	Reach   Reach
	Ping    string
	Details []string // what it is: its graphics card
	Facts   []Text   // what it lends
	Models  []Text   // the models it holds parts of
	Warning Text     // why it may be of no use
}

// InviteRow is one code that this PC made.
type InviteRow struct {
	ID   string
	Text Text
	Open bool // it can be taken back
}

// Bounds of the lists.
const (
	maxModelsShown  = 4
	maxInvitesShown = 6
	maxName         = 32
)

// NewFriends makes the Friends page as it is at now.
func NewFriends(s *Snapshot, now time.Time) Friends {
	f := Friends{Alone: len(s.Peers) == 0, Invites: inviteRows(s.Invites, now)}
	if f.Alone {
		return f
	}
	f.Summary = T("{{.N}} of {{.All}} online", "N", strconv.Itoa(s.Online()), "All", strconv.Itoa(s.friends()))
	f.Rows = append(f.Rows, s.thisPC())
	for _, p := range s.Peers {
		f.Rows = append(f.Rows, s.friendRow(p, now))
	}
	slices.SortStableFunc(f.Rows[1:], func(a, b FriendRow) int {
		if (a.Reach == ReachNone) != (b.Reach == ReachNone) {
			return cmp.Compare(b.Reach, a.Reach)
		}
		return cmp.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name))
	})
	return f
}

// Online is how many friends' PCs are connected; those that only help others to find each other do not count.
func (s *Snapshot) Online() (n int) {
	for _, p := range s.Peers {
		if online(p) && !p.Anchor {
			n++
		}
	}
	return n
}

func (s *Snapshot) friends() (n int) {
	for _, p := range s.Peers {
		if !p.Anchor {
			n++
		}
	}
	return n
}

func online(p admin.PeerInfo) bool { return p.Connection != admin.ConnectionNone && p.Connection != "" }

// FriendsOnline says how many friends are online; it is empty while none is.
func FriendsOnline(s *Snapshot) Text {
	switch n := s.Online(); n {
	case 0:
		return Text{}
	case 1:
		return T("1 friend online")
	default:
		return T("{{.N}} friends online", "N", strconv.Itoa(n))
	}
}

// FriendName is what a PC of the swarm is called. Where two have the same name, the end of the id tells them apart.
func (s *Snapshot) FriendName(id string) string {
	name, same := "", 0
	for _, p := range s.Peers {
		if p.NodeID.String() == id {
			name = Line(p.Nickname, maxName)
		}
	}
	for _, p := range s.Peers {
		if name != "" && Line(p.Nickname, maxName) == name {
			same++
		}
	}
	switch end := id[max(0, len(id)-5):]; {
	case name == "":
		return "PC …" + end
	case same > 1:
		return name + " …" + end
	}
	return name
}

// Names puts the names of PCs in a row, in the order given; many are summed up.
func (s *Snapshot) Names(ids []string) string {
	const most = 3
	var names []string
	for _, id := range ids[:min(len(ids), most)] {
		names = append(names, s.FriendName(id))
	}
	text := strings.Join(names, ", ")
	if more := len(ids) - most; more > 0 {
		text += " +" + strconv.Itoa(more)
	}
	return text
}

// thisPC is the row of the PC in front of the user.
func (s *Snapshot) thisPC() FriendRow {
	hw := s.Stats.Hardware
	r := FriendRow{ID: s.Stats.NodeID, State: StateReady, Status: T("Online"), Reach: ReachHere}
	if hw.GPUName != "" {
		r.Details = append(r.Details, Line(hw.GPUName, 48))
	}
	if s.Stats.State == "paused" {
		r.State, r.Status = StatePaused, T("Paused")
	}
	held := map[string]int{}
	for _, m := range s.Models {
		if m.HostedShards > 0 {
			held[m.ID] = m.HostedShards
		}
	}
	r.Models = s.holdings(held)
	return r
}

func (s *Snapshot) friendRow(p admin.PeerInfo, now time.Time) FriendRow {
	r := FriendRow{ID: p.NodeID.String(), Name: s.FriendName(p.NodeID.String()), Reach: reachOf(p), Models: s.holdings(p.HeldShards)}
	if gpu := Line(p.GPU, 48); gpu != "" {
		r.Details = append(r.Details, gpu)
	}
	r.Status, r.State = presence(p, now)
	if !online(p) {
		return r
	}
	r.Ping = ping(p.LatencyMS)
	switch {
	case p.Anchor:
		r.Facts = append(r.Facts, T("helps PCs to find each other, runs no models"))
	case p.VRAMMB > 0:
		r.Facts = append(r.Facts, T("lends {{.Size}} VRAM", "Size", MiB(p.VRAMMB)))
	case p.RAMMB > 0:
		r.Facts = append(r.Facts, T("lends {{.Size}} RAM", "Size", MiB(p.RAMMB)))
	}
	r.Warning = s.mismatch(p)
	return r
}

// presence says whether a PC is there.
func presence(p admin.PeerInfo, now time.Time) (Text, State) {
	switch {
	case !online(p) && p.LastSeen.IsZero():
		return T("Offline"), StateStarting
	case !online(p) && now.Sub(p.LastSeen) < 20*time.Hour:
		return T("Offline, last seen at {{.Time}}", "Time", p.LastSeen.Local().Format("15:04")), StateStarting
	case !online(p):
		return T("Offline, last seen on {{.Date}}", "Date", p.LastSeen.Local().Format(time.DateOnly)), StateStarting
	case p.Anchor:
		return T("Online"), StateReady
	case p.Paused:
		return T("Paused by its owner"), StatePaused
	case !p.Healthy:
		return T("Connected, but silent"), StateWarning
	}
	return T("Online"), StateReady
}

func reachOf(p admin.PeerInfo) Reach {
	switch {
	case !online(p):
		return ReachNone
	case p.Connection == admin.ConnectionRelayed:
		return ReachRelay
	case p.IsLANPeer:
		return ReachNear
	}
	return ReachDirect
}

// ping writes a round trip; it is empty until it has been measured.
func ping(ms float64) string {
	switch {
	case ms <= 0:
		return ""
	case ms < 1:
		return "< 1 ms"
	}
	return strconv.Itoa(int(ms+0.5)) + " ms"
}

// mismatch says that a PC runs something else than this one.
func (s *Snapshot) mismatch(p admin.PeerInfo) Text {
	theirs, ours := Line(p.Version, 24), Line(s.Version.Version, 24)
	_, engine, _ := strings.Cut(s.Version.Engine, " ") // "llama.cpp v0.5.0"; friends tell the version alone
	switch {
	case p.Engine != "" && engine != "" && p.Engine != engine:
		return T("Its engine is {{.Theirs}}, here it is {{.Ours}}: they cannot answer together until both are the same.",
			"Theirs", Line(p.Engine, 24), "Ours", Line(engine, 24))
	case theirs != "" && ours != "" && theirs != ours:
		return T("Runs Shoal {{.Theirs}}, this PC {{.Ours}}. Update both if something does not work.", "Theirs", theirs, "Ours", ours)
	}
	return Text{}
}

// holdings says of which models a PC has parts, by model id, those it has most of first.
func (s *Snapshot) holdings(held map[string]int) []Text {
	var ids []string
	for id, n := range held {
		if n > 0 {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b string) int { return cmp.Or(held[b]-held[a], cmp.Compare(a, b)) })
	var list []Text
	for _, id := range ids[:min(len(ids), maxModelsShown)] {
		list = append(list, s.holding(id, held[id]))
	}
	if more := len(ids) - maxModelsShown; more > 0 {
		list = append(list, T("{{.N}} more", "N", strconv.Itoa(more)))
	}
	return list
}

func (s *Snapshot) holding(id string, parts int) Text {
	for _, m := range s.Models {
		switch {
		case m.ID != id:
		case m.ShardCount <= parts:
			return T("{{.Model}} (whole)", "Model", Line(ModelName(m), 40))
		default:
			return T("{{.Model}} ({{.N}} of {{.All}} parts)", "Model", Line(ModelName(m), 40), "N", strconv.Itoa(parts), "All", strconv.Itoa(m.ShardCount))
		}
	}
	return T("{{.Model}} (some parts)", "Model", Line(id, 40))
}
