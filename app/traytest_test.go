//go:build linux

package main

import (
	"sync"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/godbus/dbus/v5/prop"
)

const watcherName = "org.kde.StatusNotifierWatcher"

// panel plays the part of the desktop that shows tray icons.
type panel struct {
	t    *testing.T
	conn *dbus.Conn

	mu   sync.Mutex
	item string // bus name of the item that registered; guarded by mu
}

// watchTray makes the desk one with a tray.
func (d *desk) watchTray() *panel {
	d.t.Helper()
	conn, err := dbus.Connect(d.bus)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { conn.Close() })
	p := &panel{t: d.t, conn: conn}
	if err := conn.Export(p, "/StatusNotifierWatcher", watcherName); err != nil {
		d.t.Fatal(err)
	}
	_, err = prop.Export(conn, "/StatusNotifierWatcher", prop.Map{watcherName: {
		"RegisteredStatusNotifierItems":  {Value: []string{}, Emit: prop.EmitTrue},
		"IsStatusNotifierHostRegistered": {Value: true, Emit: prop.EmitTrue},
		"ProtocolVersion":                {Value: int32(0), Emit: prop.EmitTrue},
	}})
	if err != nil {
		d.t.Fatal(err)
	}
	if reply, err := conn.RequestName(watcherName, dbus.NameFlagDoNotQueue); err != nil || reply != dbus.RequestNameReplyPrimaryOwner {
		d.t.Fatalf("own the tray: %v %v", reply, err)
	}
	return p
}

// RegisterStatusNotifierItem is called over the bus by the program. It gives a path; who it is, the bus tells.
func (p *panel) RegisterStatusNotifierItem(_ string, sender dbus.Sender) *dbus.Error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.item = string(sender)
	return nil
}

// RegisterStatusNotifierHost is called over the bus by panels, of which this is the only one.
func (p *panel) RegisterStatusNotifierHost(string) *dbus.Error { return nil }

func (p *panel) itemName() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.item
}

func (p *panel) until(what string, cond func() bool) {
	p.t.Helper()
	poll(p.t, what, cond, func() string { return "tooltip: " + p.tooltip() })
}

func (p *panel) waitForItem() {
	p.t.Helper()
	p.until("the tray icon is registered", func() bool { return p.itemName() != "" })
}

// tooltip is what the desktop shows when the pointer rests on the icon.
func (p *panel) tooltip() string {
	v, err := p.conn.Object(p.itemName(), "/StatusNotifierItem").GetProperty("org.kde.StatusNotifierItem.ToolTip")
	if err != nil {
		return ""
	}
	var tip struct {
		Icon   string
		Pixmap []struct {
			Width, Height int32
			Data          []byte
		}
		Title, Text string
	}
	if v.Store(&tip) != nil {
		return ""
	}
	return tip.Title + tip.Text
}

// menuItem is an entry of the tray menu as the bus carries it.
type menuItem struct {
	ID       int32
	Props    map[string]dbus.Variant
	Children []dbus.Variant
}

func (p *panel) menu() dbus.BusObject {
	return p.conn.Object(p.itemName(), "/StatusNotifierItem/menu")
}

// find is the id of the menu entry with a label; -1 if there is none.
func (p *panel) find(label string) int32 {
	var revision uint32
	var root menuItem
	if p.menu().Call("com.canonical.dbusmenu.GetLayout", 0, int32(0), int32(-1), []string{}).Store(&revision, &root) != nil {
		return -1
	}
	for _, child := range root.Children {
		var item menuItem
		if dbus.Store([]any{child.Value()}, &item) == nil && item.Props["label"].Value() == label {
			return item.ID
		}
	}
	return -1
}

func (p *panel) has(label string) bool { return p.find(label) >= 0 }

// click chooses an entry of the menu.
func (p *panel) click(label string) {
	p.t.Helper()
	p.until("the menu offers "+label, func() bool { return p.has(label) })
	call := p.menu().Call("com.canonical.dbusmenu.Event", 0, p.find(label), "clicked", dbus.MakeVariant(""), uint32(time.Now().Unix()))
	if call.Err != nil {
		p.t.Fatalf("click %s: %v", label, call.Err)
	}
}

// activate clicks on the icon itself.
func (p *panel) activate() {
	p.t.Helper()
	call := p.conn.Object(p.itemName(), "/StatusNotifierItem").Call("org.kde.StatusNotifierItem.Activate", 0, int32(0), int32(0))
	if call.Err != nil {
		p.t.Fatalf("click on the icon: %v", call.Err)
	}
}
