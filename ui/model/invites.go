package model

import (
	"strconv"
	"time"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/core"
)

// inviteRows lists the codes that still let somebody in, and then who joined with others, the newest first.
func inviteRows(invites []admin.Invite, now time.Time) []InviteRow {
	var open, used []InviteRow
	for _, i := range invites {
		switch stateOf(i, now) {
		case admin.InviteOpen:
			open = append(open, InviteRow{ID: i.ID, Open: true, Text: T("Made at {{.Time}}, good for another {{.Left}}",
				"Time", i.CreatedAt.Local().Format("15:04"), "Left", minutes(i.ExpiresAt.Sub(now)))})
		case admin.InviteUsed:
			used = append(used, InviteRow{ID: i.ID, Text: T("{{.Name}} joined on {{.Date}}", "Name", guest(i), "Date", joinedAt(i))})
		}
	}
	rows := append(open, used...)
	return rows[:min(len(rows), max(len(open), maxInvitesShown))]
}

// stateOf is the state of an invite at now, which the node may have told a while ago.
func stateOf(i admin.Invite, now time.Time) string {
	if i.State == admin.InviteOpen && !now.Before(i.ExpiresAt) {
		return admin.InviteExpired
	}
	return i.State
}

// guest is the name of who joined with an invite.
func guest(i admin.Invite) string {
	if name := Line(i.Nickname, maxName); name != "" {
		return name
	}
	return "PC …" + i.UsedBy[max(0, len(i.UsedBy)-5):]
}

func joinedAt(i admin.Invite) string {
	at := i.CreatedAt
	if i.UsedAt != nil {
		at = *i.UsedAt
	}
	return at.Local().Format("2006-01-02 15:04")
}

// minutes writes a time to go, rounded up: nobody is hurt by a code that lives a little longer than promised, but
// "0 min" would be wrong while it works.
func minutes(d time.Duration) string {
	m := int((d + time.Minute - 1) / time.Minute)
	if m < 90 {
		return strconv.Itoa(max(m, 1)) + " min"
	}
	return strconv.Itoa((m+30)/60) + " h"
}

// CodeNow says what became of a code that is on the screen, and whether it still lets somebody in.
func CodeNow(code admin.NetworkCode, invites []admin.Invite, now time.Time) (what Text, open bool) {
	state, name := admin.InviteOpen, ""
	for _, i := range invites {
		if i.ID == code.InviteID {
			state, name = i.State, guest(i)
		}
	}
	switch {
	case state == admin.InviteUsed:
		return T("{{.Name}} joined with this code.", "Name", name), false
	case state == admin.InviteRevoked:
		return T("You took this code back."), false
	case state == admin.InviteExpired, !now.Before(code.ExpiresAt):
		return T("The code has expired."), false
	}
	return T("Lets one PC in. Good for another {{.Left}}.", "Left", minutes(code.ExpiresAt.Sub(now))), true
}

// JoinProblem puts into plain words why a code did not let this PC in. The table of the error codes has the words
// for invites; errors that have other causes elsewhere are about the code or the friend's PC here.
func JoinProblem(err error) Problem {
	p := ProblemOf(err)
	switch core.CodeOf(err) {
	case core.CodeInvalidRequest:
		p.Title, p.Hint = T("That is not an invite code."), T("A code starts with swarm:// and is made on your friend's PC, under Friends.")
	case core.CodeCorrupt:
		p.Title, p.Hint = T("The code is damaged."), T("Characters are missing or changed. Copy the whole code once more.")
	case core.CodeUnauthorized:
		p.Title, p.Hint = T("Your friend's PC does not know this code."), T("Ask for a new one.")
	case core.CodeNotReady, core.CodeTimeout:
		p.Title, p.Hint = T("Your friend's PC does not answer."), T("Is it on, with Shoal running and a network? Then try again: the code is still good.")
	case core.CodeForbidden:
		p.Title = T("Your friend's PC does not let this one in.")
	case core.CodeConflict:
		p.Title = T("This code cannot be used on this PC.")
		p.Hint = T("A code is for another PC than the one that made it, and a PC can be in one swarm at a time.")
	}
	return p
}
