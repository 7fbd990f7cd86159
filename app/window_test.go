package main

import (
	"slices"
	"testing"
	"time"

	"fyne.io/fyne/v2/test"
)

// The node may end, and a further start may come, before the screen is there. Neither may be lost.
func TestWhatComesBeforeTheScreenWaitsForIt(t *testing.T) {
	test.NewTempApp(t)
	d := &screen{}
	var ran []int
	note := func(n int) func() { return func() { ran = append(ran, n) } }
	d.post(note(1))
	d.post(note(2))
	if len(ran) > 0 {
		t.Fatalf("%v ran before there was a screen", ran)
	}
	d.begin()
	d.post(note(3))
	if !slices.Equal(ran, []int{1, 2, 3}) {
		t.Errorf("%v ran, want all three in order", ran)
	}
	d.end()
	d.begin()
	d.post(note(4))
	if len(ran) > 3 {
		t.Errorf("%v ran after the screen had gone", ran)
	}
}

// A screen that ends before it was there draws nothing any more.
func TestNothingIsDrawnAfterAnEarlyEnd(t *testing.T) {
	test.NewTempApp(t)
	d := &screen{}
	drawn := false
	d.post(func() { drawn = true })
	d.end()
	d.begin()
	if drawn {
		t.Error("what was posted is drawn on a screen that has gone")
	}
}

// While the desktop ends, Fyne runs what is posted at once, on the goroutine that posts: it may post and quit itself.
func TestWhatIsPostedMayPostAndEnd(t *testing.T) {
	test.NewTempApp(t)
	d := &screen{}
	d.begin()
	done := make(chan struct{})
	go func() {
		defer close(done)
		d.post(func() { d.post(func() {}); d.end() })
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("it waits for itself")
	}
}
