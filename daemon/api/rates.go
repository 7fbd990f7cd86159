package api

import (
	"math"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// maxBuckets bounds the addresses that are remembered; when it is reached, those that are idle go.
const maxBuckets = 8192

// rates limits requests per minute and address.
type rates struct {
	perMinute int // negative is no limit

	mu      sync.Mutex // guards buckets
	buckets map[netip.Prefix]*rate.Limiter
}

func newRates(perMinute int) *rates {
	return &rates{perMinute: perMinute, buckets: map[netip.Prefix]*rate.Limiter{}}
}

// take counts one request. An error of code core.CodeRateLimited says when to come back.
func (r *rates) take(from netip.Addr) error {
	if r.perMinute < 0 {
		return nil
	}
	now := time.Now()
	bucket := r.bucket(household(from), now)
	reservation := bucket.ReserveN(now, 1)
	wait := reservation.DelayFrom(now)
	if wait == 0 {
		return nil
	}
	reservation.CancelAt(now)
	return &retryError{
		cause: core.Errorf(core.CodeRateLimited, "more than %d requests in a minute", r.perMinute),
		after: wait,
	}
}

func (r *rates) bucket(from netip.Prefix, now time.Time) *rate.Limiter {
	r.mu.Lock()
	defer r.mu.Unlock()
	if b, ok := r.buckets[from]; ok {
		return b
	}
	if len(r.buckets) >= maxBuckets {
		r.sweep(now)
	}
	b := rate.NewLimiter(rate.Limit(float64(r.perMinute)/60), r.perMinute)
	r.buckets[from] = b
	return b
}

// sweep forgets full buckets, which are as good as new ones; when a flood leaves none, all are forgotten.
func (r *rates) sweep(now time.Time) {
	for from, b := range r.buckets {
		if b.TokensAt(now) >= float64(r.perMinute) {
			delete(r.buckets, from)
		}
	}
	if len(r.buckets) >= maxBuckets {
		clear(r.buckets)
	}
}

// household is what counts as one sender: an IPv4 address, or an IPv6 network of 64 bits, in which one machine
// may take any address.
func household(a netip.Addr) netip.Prefix {
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits)
	return p
}

// retryError is an error that passes; after is when.
type retryError struct {
	cause *core.Error
	after time.Duration
}

func (e *retryError) Error() string { return e.cause.Error() }

func (e *retryError) Unwrap() error { return e.cause }

// seconds is the value of the Retry-After header, at least 1.
func (e *retryError) seconds() int { return max(1, int(math.Ceil(e.after.Seconds()))) }
