package model

import (
	"testing"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
)

func TestBytes(t *testing.T) {
	for n, want := range map[int64]string{
		-5: "0 B", 0: "0 B", 900: "900 B", 2048: "2 KB", 1 << 20: "1.0 MB", 37 << 20: "37 MB",
		4710 << 20: "4.6 GB", 343 << 30: "343 GB",
	} {
		if got := Bytes(n); got != want {
			t.Errorf("Bytes(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestCount(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1\u202F000", 131072: "131\u202F072", -1234: "-1\u202F234", -123: "-123", 1234567: "1\u202F234\u202F567"} {
		if got := Count(n); got != want {
			t.Errorf("Count(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestRemaining(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "", 5 * time.Second: "a few seconds left", 40 * time.Second: "less than a minute left",
		4 * time.Minute: "about {{.N}} min left", 3 * time.Hour: "about {{.N}} h left",
	} {
		if got := Remaining(d).Key; got != want {
			t.Errorf("Remaining(%v) = %q, want %q", d, got, want)
		}
	}
}

func TestRateIsQuietAtFirstAndNeverJumps(t *testing.T) {
	start := time.Unix(1000, 0)
	var r Rate
	done, total := int64(0), int64(10<<30)
	r.Observe(core.Progress{Done: done, Total: total}, start)
	var last time.Duration
	for second := 1; second <= 60; second++ {
		speed := int64(100 << 20)
		if second > 20 && second < 30 {
			speed = 1 << 20 // the disk is busy with something else
		}
		done += speed
		r.Observe(core.Progress{Done: done, Total: total}, start.Add(time.Duration(second)*time.Second))
		left := r.Left()
		if second < 3 && left != 0 {
			t.Errorf("second %d: estimates %v already", second, left)
		}
		if last > 0 && (left > last*2 || left < last/2) {
			t.Errorf("second %d: jumps from %v to %v", second, last, left)
		}
		last = left
	}
	want := time.Duration(float64(total-done) / (100 << 20) * float64(time.Second))
	if last < want/2 || last > want*2 {
		t.Errorf("ends at %v, want about %v", last, want)
	}
}

func TestRateStartsAnewWhenTheJobDoes(t *testing.T) {
	now := time.Unix(1000, 0)
	var r Rate
	r.Observe(core.Progress{Done: 100, Total: 1000}, now)
	r.Observe(core.Progress{Done: 500, Total: 1000}, now.Add(time.Second))
	r.Observe(core.Progress{Done: 0, Total: 1000}, now.Add(2*time.Second))
	if r.BytesPerSecond() != 0 || r.Left() != 0 {
		t.Errorf("keeps %v/s and %v", r.BytesPerSecond(), r.Left())
	}
}
