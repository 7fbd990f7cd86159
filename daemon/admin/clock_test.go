package admin

import (
	"strings"
	"testing"
)

func TestClocksTellWhoseClockIsWrong(t *testing.T) {
	at := func(name string, ahead float64) Member {
		return Member{Nickname: name, Connection: ConnectionDirect, ClockOffsetS: ahead}
	}
	away := at("away", 4000)
	away.Connection = ConnectionNone
	for _, c := range []struct {
		name    string
		members []Member
		want    string // part of the error; empty where all is well
	}{
		{"alone", []Member{{Self: true}}, ""},
		{"all alike", []Member{{Self: true}, at("anna", 2), at("bert", -29)}, ""},
		{"who is away", []Member{{Self: true}, at("anna", 2), away}, ""},
		{"one is ahead", []Member{{Self: true}, at("anna", 3600), at("bert", 0), at("carl", 1)}, "anna by 1h0m0s"},
		{"two that differ", []Member{{Self: true}, at("anna", -31)}, "anna by -31s"},
		{"this one is behind", []Member{{Self: true}, at("anna", 3600), at("bert", 3600), at("carl", 0)}, "this PC is ahead of 2 of 3 others by -1h0m0s"},
	} {
		detail, err := CompareClocks(c.members)
		if c.want == "" && (err != nil || detail == "") || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %q, %v", c.name, detail, err)
		}
	}
}
