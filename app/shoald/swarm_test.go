package main

import (
	"strings"
	"testing"
	"time"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/core"
)

// member is a running node and the account whose commands talk to it.
type member struct {
	user
	address string
}

func (m member) at(args ...string) []string { return append(args, "--listen", m.address) }

// enlist starts a node on loopback.
func enlist(t *testing.T) member {
	t.Helper()
	u := newUser(t)
	u.needRuntime()
	s := serve(t, u)
	return member{u, strings.TrimPrefix(s.url, "http://")}
}

func TestSwarmFromTheCommandLine(t *testing.T) {
	one, two := enlist(t), enlist(t)
	code := one.object(0, one.at("invite")...)["code"].(string)
	if v := two.object(2, two.at("join", "hello")...); failureCode(v) != "invalid_request" {
		t.Errorf("join with no code: %v", v)
	}
	if v := two.object(0, two.at("join", code)...); v["status"] != "ok" {
		t.Fatalf("join: %v", v)
	}
	if v := one.object(0, one.at("invite", "--list")...); len(v["invites"].([]any)) != 1 {
		t.Errorf("invites: %v", v)
	}
	if v := one.object(0, one.at("peers")...); len(v["peers"].([]any)) != 1 {
		t.Errorf("peers: %v", v)
	}
	if out := one.ok(one.at("peers")...); !strings.Contains(out, "local network") {
		t.Errorf("peers: %s", out)
	}
	two.ok(two.at("rm", "shoal-demo")...)
	// What the other announces may still be under way.
	for end := time.Now().Add(30 * time.Second); ; {
		if r := two.run(two.at("pull", "shoal-demo", "--shards", "0")...); r.code == 0 {
			break
		} else if time.Now().After(end) {
			t.Fatalf("pull one shard: %+v", r)
		}
		<-time.After(100 * time.Millisecond)
	}
	for end := time.Now().Add(30 * time.Second); two.run(two.at("plan", "shoal-demo")...).code != 0 && time.Now().Before(end); {
		<-time.After(100 * time.Millisecond)
	}
	v := two.object(0, two.at("plan", "shoal-demo")...)
	if v["possible"] != true || v["route"] != "distributed" {
		t.Errorf("plan: %v", v)
	}
	if out := two.ok(two.at("plan", "shoal-demo")...); !strings.Contains(out, "tokens/s") {
		t.Errorf("plan: %s", out)
	}
	if v := two.object(0, two.at("pull", "shoal-demo")...); v["progress"] != 1.0 {
		t.Errorf("pull: %v", v)
	}
	if v := two.object(0, two.at("downloads")...); len(v["downloads"].([]any)) != 1 {
		t.Errorf("downloads: %v", v)
	}
	if v := two.object(4, two.at("plan", "nobody-has-it")...); failureCode(v) != "not_found" {
		t.Errorf("plan of an unknown model: %v", v)
	}
}

func TestOutstanding(t *testing.T) {
	part := func(index int, state string) admin.ShardProgress {
		return admin.ShardProgress{Index: index, State: state}
	}
	here, coming, lost := part(0, core.DownloadDone), part(1, core.DownloadRunning), part(1, core.DownloadFailed)
	for _, c := range []struct {
		name         string
		state        string
		parts        []admin.ShardProgress
		shards       []int
		more, failed bool
	}{
		{"all, of which only one that was there is counted yet", core.DownloadQueued, []admin.ShardProgress{here}, nil, true, false},
		{"all, under way", core.DownloadRunning, []admin.ShardProgress{here, coming}, nil, true, false},
		{"all, here", core.DownloadDone, []admin.ShardProgress{here}, nil, false, false},
		{"all, failed", core.DownloadFailed, []admin.ShardProgress{here, lost}, nil, false, true},
		{"one, here", core.DownloadRunning, []admin.ShardProgress{here, coming}, []int{0}, false, false},
		{"one, under way", core.DownloadRunning, []admin.ShardProgress{here, coming}, []int{1}, true, false},
		{"one, failed", core.DownloadFailed, []admin.ShardProgress{here, lost}, []int{1}, false, true},
	} {
		if more, err := outstanding(admin.Download{State: c.state, Shards: c.parts}, c.shards); more != c.more || (err != nil) != c.failed {
			t.Errorf("%s: %v, %v", c.name, more, err)
		}
	}
}

func TestSwarmCommandsNeedANode(t *testing.T) {
	u := newUser(t)
	for _, args := range [][]string{{"invite"}, {"join", "swarm://AAAA"}, {"peers"}, {"plan", "m"}, {"pull", "m"}, {"downloads"}} {
		if v := u.object(8, args...); failureCode(v) != "not_ready" {
			t.Errorf("%v: %v", args, v)
		}
	}
}
