package limit

import (
	"math"
	"sync/atomic"
	"time"
)

// Pace is how much may pass: PerSecond on average, Burst at once (at least 1). PerSecond not above 0: everything.
type Pace struct {
	PerSecond float64
	Burst     int
}

// Rate is a Pace that many buckets share and that can be changed while they run. A nil Rate lets everything pass.
type Rate struct{ at atomic.Pointer[pace] }

// pace is a Pace as the arithmetic wants it.
type pace struct {
	each  float64 // ns that one unit costs; 0: nothing
	burst int64   // ns that a bucket may be ahead of the clock
	given Pace
}

// NewRate makes a Rate.
func NewRate(p Pace) *Rate {
	r := new(Rate)
	r.Set(p)
	return r
}

// Set changes the pace of every bucket that uses this Rate, from their next Take on.
func (r *Rate) Set(p Pace) {
	v := paceOf(p)
	r.at.Store(&v)
}

func paceOf(p Pace) pace {
	v := pace{given: p}
	if p.PerSecond > 0 && !math.IsInf(p.PerSecond, 1) {
		v.each = 1e9 / p.PerSecond
		v.burst = nanoseconds(v.each * float64(max(p.Burst, 1)))
	}
	return v
}

// Pace returns what was set last.
func (r *Rate) Pace() Pace {
	if r == nil {
		return Pace{}
	}
	return r.at.Load().given
}

func (r *Rate) load() *pace {
	if r == nil {
		return nil
	}
	return r.at.Load()
}

// Bounds of time.
const (
	maxDebt = int64(time.Hour)            // beyond the burst, of a frame that was larger than it
	longest = int64(365 * 24 * time.Hour) // of anything
)

func nanoseconds(f float64) int64 {
	if f >= float64(longest) {
		return longest
	}
	return int64(math.Ceil(f))
}

// began is where the clock of this package starts. Times are compared by their monotonic reading where they have one,
// so that a change of the wall clock neither blocks anybody nor lets anybody through.
var began = time.Now()

func tick(now time.Time) int64 { return int64(now.Sub(began)) }

// tank is a bucket without its Rate: the time at which it will be full again, in ns since began (the theoretical
// arrival time of the generic cell rate algorithm, ITU-T I.371). 0: nothing was taken yet.
type tank struct{ full atomic.Int64 }

// take charges n units, or nothing. What exceeds the burst passes a full bucket and is paid off afterwards: else a frame
// larger than the burst could never pass. wait is how long until the same would pass, were nothing else taken.
func (k *tank) take(p *pace, now int64, n int) (ok bool, wait time.Duration) {
	if p == nil || p.each == 0 || n <= 0 {
		return true, 0
	}
	cost := min(nanoseconds(p.each*float64(n)), p.burst+maxDebt)
	for {
		was := k.full.Load()
		full := now + k.ahead(was, now, p)
		if next := full + cost; next-now <= p.burst || full == now {
			if k.full.CompareAndSwap(was, next) {
				return true, 0
			}
			continue
		}
		return false, time.Duration(full - now - max(p.burst-cost, 0))
	}
}

// ahead is how long from now on a tank is not full. It is cut where the clock was set back, or the burst made smaller.
func (k *tank) ahead(full, now int64, p *pace) int64 {
	if full == 0 {
		return 0
	}
	return min(max(full-now, 0), p.burst+maxDebt)
}

// giveBack undoes a take of n units.
func (k *tank) giveBack(p *pace, n int) {
	if p != nil && p.each != 0 && n > 0 {
		k.full.Add(-min(nanoseconds(p.each*float64(n)), p.burst+maxDebt))
	}
}

// Bucket limits how much passes, in 16 bytes and without a lock: embed it by value, one per connection. The zero Bucket
// lets everything pass.
type Bucket struct {
	rate *Rate
	fill tank
}

// Use says whose pace the bucket follows. Call it before the bucket is shared.
func (b *Bucket) Use(r *Rate) { b.rate = r }

// Take charges n units as a whole, or none and says when the same would pass. n above the burst passes a full bucket
// and is paid off afterwards. Safe from many goroutines; allocates nothing.
func (b *Bucket) Take(now time.Time, n int) (ok bool, wait time.Duration) {
	return b.fill.take(b.rate.load(), tick(now), n)
}

// GiveBack undoes a Take of n units, for what was not done after all.
func (b *Bucket) GiveBack(n int) { b.fill.giveBack(b.rate.load(), n) }

// Rates are the paces of what comes up a connection.
type Rates struct{ Requests, Bytes Rate }

// NewRates makes Rates of requests and of bytes.
func NewRates(requests, bytes Pace) *Rates {
	r := new(Rates)
	r.Requests.Set(requests)
	r.Bytes.Set(bytes)
	return r
}
