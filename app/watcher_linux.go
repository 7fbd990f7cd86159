package main

import (
	"context"
	"time"

	"github.com/godbus/dbus/v5"
)

// trayShown tells whether the desktop shows tray icons. GNOME without an extension does not: a hidden window could
// never be found again there.
func trayShown() bool {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	conn, err := dbus.SessionBusPrivateNoAutoStartup(dbus.WithContext(ctx))
	if err != nil {
		return false
	}
	defer conn.Close()
	if conn.Auth(nil) != nil || conn.Hello() != nil {
		return false
	}
	var owned bool
	err = conn.BusObject().CallWithContext(ctx, "org.freedesktop.DBus.NameHasOwner", 0, "org.kde.StatusNotifierWatcher").Store(&owned)
	return err == nil && owned
}

// sessionBus tells whether programs of this session can talk to each other at all.
func sessionBus() bool {
	conn, err := dbus.SessionBusPrivateNoAutoStartup()
	if err != nil {
		return false
	}
	defer conn.Close()
	return conn.Auth(nil) == nil
}
