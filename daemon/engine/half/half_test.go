package half_test

import (
	"math"
	"testing"

	"github.com/shoal-p2p/shoal/daemon/engine/half"
)

func TestHalfFloats(t *testing.T) {
	for h := range 1 << 16 {
		f := half.To(uint16(h))
		if f != f {
			if got := half.To(half.From(f)); got == got {
				t.Fatalf("NaN %#x becomes %v", h, got)
			}
			continue
		}
		if got := half.From(f); got != uint16(h) {
			t.Fatalf("%#x is %v and comes back as %#x", h, f, got)
		}
	}
	for f, want := range map[float32]float32{
		1 + 1.0/2048:    1,            // a tie goes to even
		1 + 3.0/2048:    1 + 2.0/1024, // and here up
		1 + 1.0/2047:    1 + 1.0/1024, // above a tie
		65519:           65504,        // the largest
		65520:           float32(math.Inf(1)),
		-1e30:           float32(math.Inf(-1)),
		1.0 / (1 << 25): 0,               // a tie with the smallest
		1.5 / (1 << 24): 2.0 / (1 << 24), // subnormal
		1e-30:           0,
		0.333251953125:  0.333251953125, // exact
	} {
		if got := half.To(half.From(f)); got != want {
			t.Errorf("%v becomes %v, want %v", f, got, want)
		}
	}
}
