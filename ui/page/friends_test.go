package page

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/test"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/ui/model"
	"github.com/shoal-p2p/shoal/ui/theme"
	"github.com/shoal-p2p/shoal/ui/uitest"
)

const testCode = "swarm://q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJCrze8SNFZ4kA"

// swarmBackend is a PC in a swarm of four: two friends are near, one far, one away.
func swarmBackend() *uitest.Backend {
	b := busyBackend()
	far := uitest.Peer("12D3KooWben2", "Ben", "NVIDIA GeForce RTX 3060", 9, map[string]int{"llama-3.3-70b": 3})
	far.IsLANPeer, far.Connection, far.LatencyMS, far.Version = false, admin.ConnectionRelayed, 81, "0.0.9"
	direct := uitest.Peer("12D3KooWcara3", "Cara's laptop", "", 0, map[string]int{"llama-3.3-70b": 2, "qwen3-14b": 8})
	direct.IsLANPeer, direct.LatencyMS, direct.Paused = false, 23.4, true
	away := uitest.Peer("12D3KooWdora4", "Dora", "AMD Radeon RX 7900 XTX", 20, nil)
	away.Connection, away.LastSeen, away.LatencyMS = admin.ConnectionNone, time.Date(2026, 3, 1, 18, 30, 0, 0, time.Local), 0
	b.PeersNow = []admin.PeerInfo{
		uitest.Peer("12D3KooWanna1", "Anna", "NVIDIA GeForce RTX 4090", 22, map[string]int{"llama-3.3-70b": 5, "mistral-small-24b": 8}), far, direct, away,
	}
	for i := range b.ModelsNow {
		b.ModelsNow[i].ShardCount, b.ModelsNow[i].HostedShards = 8, 8
	}
	big := &b.ModelsNow[3]
	big.HostedShards, big.PeersHosting, big.GlobalAvailable = 3, 3, true
	elsewhere := uitest.Model("mistral-small-24b", "Mistral Small 24B", admin.StatusAvailable, 13.3)
	elsewhere.ShardCount, elsewhere.PeersHosting, elsewhere.GlobalAvailable, elsewhere.Local = 8, 1, true, false
	gap := uitest.Model("deepseek-r1-70b", "DeepSeek R1 70B", admin.StatusAvailable, 42.5)
	gap.ShardCount, gap.PeersHosting, gap.Local = 8, 1, false
	for i := range 8 {
		gap.Shards = append(gap.Shards, admin.ShardInfo{Index: i, LayerStart: i * 10, LayerEnd: i*10 + 10})
	}
	b.ModelsNow = append(b.ModelsNow, elsewhere, gap)
	b.PlansNow = map[string]admin.PlanReport{
		"llama-3.1-8b-instruct": {Possible: true, Route: core.RouteLocal, Segments: []admin.PlanSegment{{Local: true, Measured: true}}, Forecast: admin.PlanForecast{DecodeTokensPerSecond: 61}},
		"llama-3.3-70b": {
			Possible: true, Route: core.RouteDistributed, Segments: []admin.PlanSegment{{Local: true, Measured: true}, {NodeID: "12D3KooWanna1", Measured: true}, {NodeID: "12D3KooWben2", Measured: true}},
			Forecast: admin.PlanForecast{DecodeTokensPerSecond: 8.7},
		},
		"mistral-small-24b": {Possible: true, Route: core.RouteDistributed, Segments: []admin.PlanSegment{{NodeID: "12D3KooWanna1"}}, Forecast: admin.PlanForecast{DecodeTokensPerSecond: 38}},
		"deepseek-r1-70b":   {Reasons: []admin.PlanReason{{Code: "no_holder", LayerStart: 20, LayerEnd: 50}}},
	}
	b.CodeNow = admin.NetworkCode{Code: testCode, InviteID: "0123", ExpiresAt: time.Now().Add(15 * time.Minute)}
	b.JoinedNow = admin.Joined{Status: "ok", PeerID: "12D3KooWanna1"}
	return b
}

func TestInvite(t *testing.T) {
	b := uitest.New()
	b.CodeNow = admin.NetworkCode{Code: testCode, InviteID: "0123", ExpiresAt: time.Now().Add(15 * time.Minute)}
	s := newScreen(t, b)
	s.Show(Friends)
	s.press("Make a code")
	s.until("the code is shown", func() bool { return s.friends.invite.line.Text() == testCode && s.friends.invite.code.Code != "" })
	if s.window.Canvas().Focused() != s.friends.invite.copy {
		t.Error("Enter does not copy the code")
	}
	s.press("Copy the code")
	if s.copied != testCode {
		t.Errorf("copied %q", s.copied)
	}
	s.until("the code is listed with how long it is good for", func() bool {
		return len(s.friends.shown.Invites) == 1 && s.friends.shown.Invites[0].Open && strings.Contains(s.friends.invite.left.Text(), "15 min")
	})

	// A friend uses it: the code goes, and the list says who came.
	b.Set(func(b *uitest.Backend) {
		b.InvitesNow[0].State, b.InvitesNow[0].UsedBy, b.InvitesNow[0].Nickname = admin.InviteUsed, "12D3KooWanna1", "Anna"
	})
	b.EmitPeers(uitest.Peer("12D3KooWanna1", "Anna", "", 0, nil))
	s.until("it says who joined", func() bool {
		return s.friends.invite.left.Text() == "Anna joined with this code." && s.friends.invite.make.Visible() && !s.friends.invite.line.Visible()
	})
	s.until("the friend appears", func() bool { return len(s.friends.shown.Rows) == 2 && s.friends.shown.Rows[1].Name == "Anna" })
}

func TestTakeBack(t *testing.T) {
	b := uitest.New()
	b.CodeNow = admin.NetworkCode{Code: testCode, InviteID: "0123", ExpiresAt: time.Now().Add(15 * time.Minute)}
	s := newScreen(t, b)
	s.Show(Friends)
	s.press("Make a code")
	s.until("the code is listed", func() bool { return len(s.friends.shown.Invites) == 1 })
	s.press("Take back")
	s.until("the code is gone", func() bool { return len(s.friends.shown.Invites) == 0 && s.friends.invite.code.Code == "" })
	if calls := b.Called(); !slices.Contains(calls, "RevokeInvite 0123") {
		t.Errorf("calls %v", calls)
	}
}

func TestInviteThatFails(t *testing.T) {
	b := uitest.New()
	b.Errors["NewInvite"] = core.Errorf(core.CodeForbidden, "this node is no member of its swarm")
	s := newScreen(t, b)
	s.Show(Friends)
	s.press("Make a code")
	s.until("the problem is shown", func() bool { return s.friends.invite.problem.Shown() != nil })
	if s.friends.invite.make.Disabled() {
		t.Error("it cannot be tried again")
	}
}

func TestJoinByKeyboard(t *testing.T) {
	b := uitest.New()
	b.Gates["Join"] = make(chan error, 1)
	b.JoinedNow = admin.Joined{Status: "ok", PeerID: "12D3KooWanna1"}
	s := newScreen(t, b)
	s.Show(Friends)
	if s.window.Canvas().Focused() != s.friends.join.code {
		t.Fatal("the cursor is not where a code is pasted")
	}
	test.Type(s.friends.join.code, " "+testCode+" ")
	s.friends.join.code.TypedKey(&fyne.KeyEvent{Name: fyne.KeyReturn})
	if !s.friends.join.wait.Visible() || s.friends.join.entry.Visible() {
		t.Error("nothing shows that it is under way")
	}
	s.friends.join.start() // again, while it runs
	b.Gates["Join"] <- nil
	s.until("it says so", func() bool { return s.friends.join.done.Visible() && s.friends.join.code.Text == "" })
	b.EmitPeers(uitest.Peer("12D3KooWanna1", "Anna", "", 0, nil))
	s.until("it says whose PC it is", func() bool { return s.friends.join.welcome.Text() == "You are in, connected to Anna." })
	joins := 0
	for _, c := range b.Called() {
		if strings.HasPrefix(c, "Join ") {
			joins++
		}
	}
	if joins != 1 {
		t.Errorf("joined %d times", joins)
	}
}

func TestJoinThatFails(t *testing.T) {
	b := uitest.New()
	s := newScreen(t, b)
	s.Show(Friends)
	seen := map[string]bool{}
	for _, code := range []core.Code{
		core.CodeInvalidRequest, core.CodeCorrupt, core.CodeInviteExpired, core.CodeInviteUsed, core.CodeInviteRevoked, core.CodeUnauthorized,
		core.CodeNotReady, core.CodeForbidden, core.CodeConflict,
	} {
		b.Set(func(b *uitest.Backend) { b.Errors["Join"] = core.Errorf(code, "details of %s", code) })
		s.friends.join.code.SetText(testCode)
		s.friends.join.start()
		s.until("the problem is shown", func() bool { return s.friends.join.cancel == nil })
		p := s.friends.join.problem.Shown()
		if p == nil || seen[p.Title.Key] {
			t.Fatalf("%s shows %+v", code, p)
		}
		seen[p.Title.Key] = true
		if s.friends.join.code.Text != testCode {
			t.Errorf("%s: the code is gone from the entry", code)
		}
	}
	s.shoot("dark-friends-error")
}

func TestJoinCanBeStopped(t *testing.T) {
	b := uitest.New()
	b.Gates["Join"] = make(chan error)
	s := newScreen(t, b)
	s.Show(Friends)
	s.friends.join.code.SetText(testCode)
	s.press("Join")
	test.Tap(s.friends.join.stop)
	s.until("the entry is back", func() bool { return s.friends.join.entry.Visible() && s.friends.join.problem.Shown() == nil })
}

func TestFriendsFollowEvents(t *testing.T) {
	s := newScreen(t, uitest.New())
	s.Show(Friends)
	if !s.friends.hero.Visible() || s.friends.list.Visible() {
		t.Error("alone, the page does not say what a swarm is")
	}
	anna := uitest.Peer("12D3KooWanna1", "Anna", "RTX 4090", 22, nil)
	s.backend.EmitPeers(anna)
	s.until("Anna is there", func() bool { return len(s.friends.shown.Rows) == 2 && s.friends.shown.Rows[1].Reach == model.ReachNear })
	if s.friends.hero.Visible() || s.friends.summary.Text() != "1 of 1 online" {
		t.Errorf("the page says %q", s.friends.summary.Text())
	}
	anna.Connection = admin.ConnectionNone
	s.backend.EmitPeers(anna)
	s.until("Anna is away", func() bool { return s.friends.shown.Rows[1].Reach == model.ReachNone })
}

func TestStateIsToldWithFriends(t *testing.T) {
	s := newScreen(t, busyBackend())
	var told string
	s.cfg.OnState = func(_ model.State, sentence string) { told = sentence }
	s.backend.EmitPeers(uitest.Peer("12D3KooWanna1", "Anna", "", 0, nil), uitest.Peer("12D3KooWben2", "Ben", "", 0, nil))
	s.until("the tray counts friends", func() bool { return strings.HasSuffix(told, " · 2 friends online") })
}

// What the node tells by events is shown without asking it.
func TestStatsFollowEvents(t *testing.T) {
	s := newScreen(t, busyBackend())
	stats := s.snap.Stats
	stats.State = "paused"
	s.backend.Emit(core.Event{Type: core.EventStats, Data: stats})
	s.until("the rail says paused", func() bool { return s.rail.status.Word() == "Paused" })
}

func TestGetAModelFromFriends(t *testing.T) {
	b := swarmBackend()
	s := newScreen(t, b)
	s.Show(Models)
	row := func() model.ModelRow {
		i := slices.IndexFunc(s.models.shown, func(r model.ModelRow) bool { return r.ID == "mistral-small-24b" })
		return s.models.shown[i]
	}
	if r := row(); !r.CanGet || !r.CanChat || r.Fit != model.FitFriends {
		t.Fatalf("row %+v", r)
	}
	s.get("mistral-small-24b")
	s.until("it waits for a friend", func() bool { r := row(); return r.CanCancel && r.Bar != nil && !r.CanGet })
	b.Set(func(b *uitest.Backend) {
		anna := b.PeersNow[0].NodeID.String()
		b.DownloadsNow[0] = admin.Download{
			ModelID: "mistral-small-24b", State: core.DownloadRunning, DownloadedBytes: 5 << 30, TotalBytes: 10 << 30, SpeedBytesPerSec: 50 << 20,
			Shards: []admin.ShardProgress{{State: core.DownloadDone}, {Index: 1, State: core.DownloadRunning, Peers: []string{anna}}},
		}
	})
	s.until("it shows how far it is", func() bool {
		r := row()
		return r.Bar != nil && r.Bar.Fraction == 0.5 && strings.HasPrefix(r.Bar.Text, "50 %") && r.Bar.From.Args["Names"] == "Anna"
	})
	s.cancelDownload("mistral-small-24b")
	s.until("it can be had again", func() bool { return row().CanGet })
	if calls := b.Called(); !slices.Equal(calls, []string{"AddModel mistral-small-24b", "CancelDownload mistral-small-24b"}) {
		t.Errorf("calls %v", calls)
	}
}

// While a download runs the node is asked how far it is, for which it has no events.
func TestDownloadsAreFollowed(t *testing.T) {
	b := swarmBackend()
	b.DownloadsNow = []admin.Download{{ModelID: "llama-3.3-70b", State: core.DownloadRunning, TotalBytes: 100}}
	s := newScreen(t, b)
	s.Show(Models)
	b.Quietly(func(b *uitest.Backend) { b.DownloadsNow[0].DownloadedBytes = 25 })
	s.until("it shows the progress", func() bool { return len(s.snap.Downloads) == 1 && s.snap.Downloads[0].DownloadedBytes == 25 })
}

func TestChatSaysWhoTookPart(t *testing.T) {
	b := swarmBackend()
	anna, ben := b.PeersNow[0].NodeID, b.PeersNow[1].NodeID
	b.Answer = []core.Delta{{Route: &core.Route{Kind: core.RouteDistributed, Peers: []core.PeerID{anna, ben}}}, {Text: "Hello"}}
	b.RouteNow = core.Route{Kind: core.RouteDistributed, Peers: []core.PeerID{anna}}
	b.Gates["Generate"] = make(chan error, 1)
	s := newScreen(t, b)
	s.chatWith("llama-3.3-70b")
	if got := s.chat.empty.sentence.Text(); !strings.Contains(got, "Anna, Ben") || strings.Contains(got, "stays on this PC") {
		t.Errorf("before a word is written the chat says %q", got)
	}
	s.chat.ask("Hello")
	s.until("the text streams", func() bool { return s.lastTurn().State == model.TurnWriting })
	if got := s.lastTurn().Together.Args["Names"]; got != "Anna, Ben" {
		t.Errorf("together with %q", got)
	}
	b.Gates["Generate"] <- nil
	s.until("the answer has ended", func() bool { return s.lastTurn().State == model.TurnDone })
	turn := s.lastTurn()
	left := slices.IndexFunc(turn.Footer, func(f model.Text) bool { return f.Args["Names"] == "Ben" })
	if turn.Together.Args["Names"] != "Anna" || left < 0 {
		t.Errorf("turn %+v", turn)
	}
}

func TestFriendsWithHostileNames(t *testing.T) {
	b := swarmBackend()
	b.PeersNow[0].Nickname = strings.Repeat("W\u202E", 500)
	b.PeersNow[0].GPU = strings.Repeat("G", 4000)
	b.PeersNow[1].Nickname = b.PeersNow[0].Nickname
	held := map[string]int{}
	for _, c := range "abcdefgh" {
		held[strings.Repeat(string(c), 96)] = 1
	}
	b.PeersNow[0].HeldShards = held
	b.PlansNow["llama-3.3-70b"] = admin.PlanReport{}
	b.Errors["Join"] = core.Errorf(core.CodeForbidden, "%s: %w", strings.Repeat("long ", 300), errors.New("x"))
	s := newScreenIn(t, b, theme.ModeDark, 640, 520)
	s.Show(Friends)
	s.friends.join.code.SetText(strings.Repeat("x", 9000))
	s.friends.join.start()
	s.until("the problem is shown", func() bool { return s.friends.join.problem.Shown() != nil })
	s.shoot("small-friends-long")
	if w := s.Content().MinSize().Width; w > 640 {
		t.Errorf("the window wants to be %v wide", w)
	}
	if w := s.friends.body.Size().Width; w > 640 {
		t.Errorf("the page is %v wide", w)
	}
	if a, b := s.friends.shown.Rows[1].Name, s.friends.shown.Rows[2].Name; a == b {
		t.Errorf("two PCs are both called %q", a)
	}
}

func TestFriendsShots(t *testing.T) {
	for _, look := range []struct {
		name          string
		mode          theme.Mode
		width, height float32
	}{{"dark", theme.ModeDark, 1280, 800}, {"light", theme.ModeLight, 1280, 800}, {"small", theme.ModeDark, 800, 600}} {
		t.Run(look.name, func(t *testing.T) {
			s := newScreenIn(t, uitest.New(), look.mode, look.width, look.height)
			s.Show(Friends)
			s.shoot(look.name + "-friends-empty")

			b := swarmBackend()
			used := time.Now().Add(-time.Hour)
			b.InvitesNow = []admin.Invite{{ID: "9", State: admin.InviteUsed, UsedBy: "12D3KooWanna1", Nickname: "Anna", CreatedAt: used, UsedAt: &used}}
			anna := b.PeersNow[0].NodeID
			b.DownloadsNow = []admin.Download{{
				ModelID: "llama-3.3-70b", State: core.DownloadRunning, DownloadedBytes: 17 << 30, TotalBytes: 26 << 30, SpeedBytesPerSec: 96 << 20,
				Shards: []admin.ShardProgress{{State: core.DownloadDone}, {Index: 1, State: core.DownloadRunning, Peers: []string{anna.String()}}, {Index: 2}},
			}}
			b.Answer = slices.Insert(b.Answer, 0, core.Delta{Route: &core.Route{Kind: core.RouteDistributed, Peers: []core.PeerID{anna, b.PeersNow[1].NodeID}}})
			b.RouteNow = *b.Answer[0].Route
			s = newScreenIn(t, b, look.mode, look.width, look.height)
			s.Show(Friends)
			s.shoot(look.name + "-friends")
			s.press("Make a code")
			s.until("the code is shown", func() bool { return len(s.friends.shown.Invites) == 2 })
			s.friends.join.code.SetText(testCode)
			s.friends.scrollToEnd()
			s.shoot(look.name + "-friends-code")
			s.Show(Models)
			s.shoot(look.name + "-friends-models-top")
			s.models.scrollToEnd()
			s.shoot(look.name + "-friends-models")
			s.chatWith("llama-3.3-70b")
			s.shoot(look.name + "-friends-chat-empty")
			s.chat.ask("How do you think across several PCs?")
			s.until("the answer has ended", func() bool { return s.chat.open.Running() == nil })
			s.chat.scroll.ScrollToTop()
			s.shoot(look.name + "-friends-chat")
		})
	}
}

func (p *friendsPage) scrollToEnd() { p.content.(interface{ ScrollToBottom() }).ScrollToBottom() }

func (p *modelsPage) scrollToEnd() { p.content.(interface{ ScrollToBottom() }).ScrollToBottom() }
