package model

import (
	"strings"
	"testing"
	"time"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/core"
)

func peer(id, name string) admin.PeerInfo {
	p, err := core.ParsePeerID(id)
	if err != nil {
		panic(err)
	}
	return admin.PeerInfo{NodeID: p, Nickname: name, Healthy: true, Connection: admin.ConnectionDirect, LatencyMS: 12.4, LastSeen: noon}
}

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.Local)

func rowOf(t *testing.T, f Friends, id string) FriendRow {
	t.Helper()
	for _, r := range f.Rows {
		if r.ID == id {
			return r
		}
	}
	t.Fatalf("%s is not in %+v", id, f.Rows)
	return FriendRow{}
}

func TestFriendsAreListedWithHowTheyAreReached(t *testing.T) {
	near, far, relayed, away, anchor, silent := peer("a1", "Zoe"), peer("b2", "Ben"), peer("c3", "Cara"), peer("d4", "Anna"), peer("e5", "vps"), peer("f6", "Finn")
	near.IsLANPeer, near.LatencyMS = true, 0.4
	relayed.Connection, relayed.Paused = admin.ConnectionRelayed, true
	away.Connection, away.LastSeen = admin.ConnectionNone, noon.Add(-time.Hour)
	anchor.Anchor, anchor.Healthy = true, true
	silent.Healthy, silent.LatencyMS = false, 0
	s := pc()
	s.Peers = []admin.PeerInfo{away, near, far, relayed, anchor, silent}
	f := NewFriends(s, noon)
	var order []string
	for _, r := range f.Rows {
		order = append(order, r.Name)
	}
	if got := strings.Join(order, " "); got != " Ben Cara Finn vps Zoe Anna" {
		t.Errorf("order %q", got)
	}
	if f.Alone || f.Summary.Args["N"] != "4" || f.Summary.Args["All"] != "5" {
		t.Errorf("summary %+v", f.Summary)
	}
	for id, want := range map[string]struct {
		reach  Reach
		state  State
		ping   string
		status string
	}{
		"a1": {ReachNear, StateReady, "< 1 ms", "Online"},
		"b2": {ReachDirect, StateReady, "12 ms", "Online"},
		"c3": {ReachRelay, StatePaused, "12 ms", "Paused by its owner"},
		"d4": {ReachNone, StateStarting, "", "Offline, last seen at {{.Time}}"},
		"f6": {ReachDirect, StateWarning, "", "Connected, but silent"},
	} {
		if r := rowOf(t, f, id); r.Reach != want.reach || r.State != want.state || r.Ping != want.ping || r.Status.Key != want.status {
			t.Errorf("%s: %+v, want %+v", id, r, want)
		}
	}
	if FriendsOnline(s).Args["N"] != "4" {
		t.Errorf("online: %+v", FriendsOnline(s))
	}
}

func TestAloneThereAreNoRows(t *testing.T) {
	s := pc()
	if f := NewFriends(s, noon); !f.Alone || len(f.Rows) != 0 || !FriendsOnline(s).IsZero() {
		t.Errorf("%+v", f)
	}
}

func TestFriendsTellWhatTheyLend(t *testing.T) {
	s := withModel(pc(), admin.StatusReady)
	s.Models[0].ID, s.Models[0].Name, s.Models[0].ShardCount, s.Models[0].HostedShards = "big", "Big", 8, 2
	p := peer("a1", "Anna")
	p.GPU, p.VRAMMB, p.HeldShards = "RTX 4090", 22*1024, map[string]int{"big": 5, "other": 8, "none": 0}
	s.Peers = []admin.PeerInfo{p}
	f := NewFriends(s, noon)
	r := rowOf(t, f, "a1")
	if len(r.Details) != 1 || len(r.Facts) != 1 || r.Facts[0].Args["Size"] != "22.0 GB" {
		t.Errorf("what it is %v %v", r.Details, r.Facts)
	}
	if len(r.Models) != 2 || r.Models[0].Args["Model"] != "other" || r.Models[1].Args["N"] != "5" || r.Models[1].Args["All"] != "8" {
		t.Errorf("models %+v", r.Models)
	}
	if own := f.Rows[0]; own.Reach != ReachHere || len(own.Models) != 1 || own.Models[0].Args["N"] != "2" {
		t.Errorf("this PC %+v", own)
	}
	s.Models[0].HostedShards = 8
	if own := NewFriends(s, noon).Rows[0]; own.Models[0].Key != "{{.Model}} (whole)" {
		t.Errorf("a whole model is %+v", own.Models)
	}
}

func TestOtherVersionsAreHinted(t *testing.T) {
	s := pc()
	s.Version = admin.Version{Version: "0.2.0", Engine: "llama.cpp v0.5.0"}
	for name, c := range map[string]struct {
		version, engine string
		warns           string
	}{
		"the same":       {"0.2.0", "v0.5.0", ""},
		"not told":       {"", "", ""},
		"another Shoal":  {"0.1.0", "v0.5.0", "0.1.0"},
		"another engine": {"0.2.0", "v0.5", "v0.5"},
		"both":           {"0.1.0", "v0.4.0", "v0.4.0"},
	} {
		p := peer("a1", "Anna")
		p.Version, p.Engine = c.version, c.engine
		s.Peers = []admin.PeerInfo{p}
		if got := NewFriends(s, noon).Rows[1].Warning.Args["Theirs"]; got != c.warns {
			t.Errorf("%s: warns of %q, want %q", name, got, c.warns)
		}
	}
}

func TestNamesAreBoundedAndTellPCsApart(t *testing.T) {
	s := pc()
	s.Peers = []admin.PeerInfo{peer("aaaaa11111", "PC"), peer("bbbbb22222", "PC"), peer("ccccc33333", ""), peer("d4", strings.Repeat("x\u202e", 400)), peer("e5", "Eva")}
	for id, want := range map[string]string{"aaaaa11111": "PC …11111", "bbbbb22222": "PC …22222", "ccccc33333": "PC …33333", "e5": "Eva", "gone99999": "PC …99999", "": "PC …"} {
		if got := s.FriendName(id); got != want {
			t.Errorf("%q is called %q, want %q", id, got, want)
		}
	}
	if got := s.FriendName("d4"); len([]rune(got)) > maxName || strings.Contains(got, "\u202e") {
		t.Errorf("a long name became %q", got)
	}
	if got := s.Names([]string{"e5", "ccccc33333", "aaaaa11111", "d4", "bbbbb22222"}); got != "Eva, PC …33333, PC …11111 +2" {
		t.Errorf("names %q", got)
	}
}

func TestInvitesAreListedWhileTheyMatter(t *testing.T) {
	used := noon.Add(-time.Hour)
	rows := inviteRows([]admin.Invite{
		{ID: "1", State: admin.InviteOpen, CreatedAt: noon.Add(-5 * time.Minute), ExpiresAt: noon.Add(9*time.Minute + time.Second)},
		{ID: "2", State: admin.InviteOpen, ExpiresAt: noon}, // over by now
		{ID: "3", State: admin.InviteRevoked, ExpiresAt: noon.Add(time.Hour)},
		{ID: "4", State: admin.InviteUsed, UsedBy: "12D3KooWanna", UsedAt: &used},
		{ID: "5", State: admin.InviteExpired},
	}, noon)
	if len(rows) != 2 || rows[0].ID != "1" || !rows[0].Open || rows[0].Text.Args["Left"] != "10 min" || rows[1].ID != "4" || rows[1].Open {
		t.Fatalf("rows %+v", rows)
	}
	if rows[1].Text.Args["Name"] != "PC …Wanna" {
		t.Errorf("without a name the PC is %q", rows[1].Text.Args["Name"])
	}
}

func TestCodeShownEnds(t *testing.T) {
	code := admin.NetworkCode{Code: "swarm://x", InviteID: "1", ExpiresAt: noon.Add(90 * time.Second)}
	invite := admin.Invite{ID: "1", State: admin.InviteOpen, ExpiresAt: code.ExpiresAt, Nickname: "Anna", UsedBy: "12D3KooWanna"}
	if text, open := CodeNow(code, nil, noon); !open || text.Args["Left"] != "2 min" {
		t.Errorf("%+v %v", text, open)
	}
	if text, open := CodeNow(code, nil, noon.Add(2*time.Minute)); open || text.Key != "The code has expired." {
		t.Errorf("%+v %v", text, open)
	}
	for state, want := range map[string]string{
		admin.InviteUsed: "{{.Name}} joined with this code.", admin.InviteRevoked: "You took this code back.", admin.InviteExpired: "The code has expired.",
	} {
		invite.State = state
		if text, open := CodeNow(code, []admin.Invite{invite}, noon); open || text.Key != want {
			t.Errorf("%s: %+v %v", state, text, open)
		}
	}
}

func TestEachRefusalOfACodeHasItsOwnWords(t *testing.T) {
	seen := map[string]core.Code{}
	for _, code := range []core.Code{
		core.CodeInvalidRequest, core.CodeCorrupt, core.CodeInviteExpired, core.CodeInviteUsed, core.CodeInviteRevoked,
		core.CodeUnauthorized, core.CodeNotReady, core.CodeForbidden, core.CodeConflict, core.CodeOverloaded,
	} {
		p := JoinProblem(core.Errorf(code, "x"))
		if other, ok := seen[p.Title.Key]; ok {
			t.Errorf("%s and %s both say %q", code, other, p.Title.Key)
		}
		seen[p.Title.Key] = code
	}
	for key := range seen {
		if strings.Contains(key, "API key") || strings.Contains(key, "file") {
			t.Errorf("a code is refused with %q", key)
		}
	}
}
