//go:build linux

package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shoal-p2p/shoal/daemon/admin"
)

// A friend's PC, which is a real shoald, makes a code; it is typed into the window, and both PCs see each other. The
// code lets nobody else in afterwards. All of it by keyboard.
func TestFriends(t *testing.T) {
	d := newDesk(t)
	d.build("shoald", "./shoald")
	tray := d.watchTray()
	home := filepath.Join(d.dir, "anna")
	ours := d.env
	d.env = append(ours, "SHOAL_NICKNAME=Anna")
	anna := d.launch("shoald", "serve", "--listen", "127.0.0.1:0", "--p2p-listen", "127.0.0.1:0", "--data-dir", home)
	anna.dataDir = home
	d.env = append(ours, "SHOAL_NICKNAME=Ben")
	s := d.start("-listen", "127.0.0.1:0", "-p2p-listen", "127.0.0.1:0")
	d.waitForWindow(s)
	anna.until("Anna's PC answers", func() bool { return anna.version().Version != "" })

	d.press("ctrl+4")
	d.settle()
	before := d.shoot("desktop-10-friends-alone")
	d.typeText(d.invite(home))
	d.press("Return")
	s.until("the window's PC sees Anna", func() bool {
		p := s.peers()
		return len(p) == 1 && p[0].Nickname == "Anna" && p[0].Connection == admin.ConnectionDirect
	})
	anna.until("Anna's PC sees the window's", func() bool { p := anna.peers(); return len(p) == 1 && p[0].Nickname == "Ben" })
	tray.until("the tray counts Anna", func() bool { return strings.HasSuffix(tray.tooltip(), "1 friend online") })
	d.settle()
	after := d.shoot("desktop-11-friends")
	if changed := changedShare(t, before, after); changed < 0.01 {
		t.Errorf("Anna changed only %.4f of the screen", changed)
	}

	anna.interrupt()
	anna.waitForEnd(0)
	tray.until("the tray notices that Anna left", func() bool { return !strings.Contains(tray.tooltip(), "friend") })
	d.settle()
	d.shoot("desktop-12-friends-away")
	s.interrupt()
	s.waitForEnd(0)
}

// invite makes a code on the node of a data folder.
func (d *desk) invite(home string) string {
	d.t.Helper()
	out, err := d.tool(filepath.Join(d.dir, "shoald"), "invite", "--json", "--data-dir", home)
	var code admin.NetworkCode
	if err != nil || json.Unmarshal([]byte(out), &code) != nil || !strings.HasPrefix(code.Code, "swarm://") {
		d.t.Fatalf("invite: %v %s", err, out)
	}
	return code.Code
}

func (s *session) peers() (list []admin.PeerInfo) { s.get("/api/admin/peers", &list); return list }
