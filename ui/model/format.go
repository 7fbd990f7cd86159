package model

import (
	"fmt"
	"strconv"
	"time"
)

const (
	kib = 1 << 10
	mib = 1 << 20
	gib = 1 << 30
)

// Bytes writes a size the way people read it on a disk or a graphics card: "7.4 GB", with 1 GB = 1024 MB.
func Bytes(n int64) string {
	switch {
	case n >= 100*gib:
		return fmt.Sprintf("%d GB", n/gib)
	case n >= gib:
		return fmt.Sprintf("%.1f GB", float64(n)/gib)
	case n >= 10*mib:
		return fmt.Sprintf("%d MB", n/mib)
	case n >= mib:
		return fmt.Sprintf("%.1f MB", float64(n)/mib)
	case n >= kib:
		return fmt.Sprintf("%d KB", n/kib)
	}
	return fmt.Sprintf("%d B", max(n, 0))
}

// MiB is Bytes for a size in MiB.
func MiB(n int64) string { return Bytes(n * mib) }

// Count writes a number with a thin gap between thousands: "131 072".
func Count(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "\u202F" + s[i:]
	}
	return s
}

// Speed writes tokens per second: "23 tok/s", with one decimal below ten.
func Speed(tokensPerSecond float64) string {
	if tokensPerSecond < 10 {
		return fmt.Sprintf("%.1f tok/s", tokensPerSecond)
	}
	return fmt.Sprintf("%.0f tok/s", tokensPerSecond)
}

// Brief writes a short time: "85 ms", "1.4 s", "12 s".
func Brief(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return fmt.Sprintf("%.0f s", d.Seconds())
}

// Remaining is a rough sentence about the time left; it is empty for less than nothing.
func Remaining(d time.Duration) Text {
	switch {
	case d <= 0:
		return Text{}
	case d < 10*time.Second:
		return T("a few seconds left")
	case d < time.Minute:
		return T("less than a minute left")
	case d < time.Hour:
		return T("about {{.N}} min left", "N", strconv.Itoa(int(d.Round(time.Minute)/time.Minute)))
	}
	return T("about {{.N}} h left", "N", strconv.Itoa(int(d.Round(time.Hour)/time.Hour)))
}

func seconds(n int64) time.Duration { return time.Duration(n) * time.Second }
