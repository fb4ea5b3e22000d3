package limit

import "time"

// Refused says which rate a frame exceeded.
type Refused uint8

// The answers of Traffic.Take.
const (
	Passed Refused = iota
	TooManyRequests
	TooManyBytes
	TooManyPublishes
)

// Traffic limits the frames of one connection, in 32 bytes: embed it by value. The zero Traffic lets everything pass.
// It is its reader's alone.
type Traffic struct {
	rates           *Rates
	requests, bytes tank
	own             *own // nil for nearly all
}

// own are the paces of one connection alone, beside those that it shares.
type own struct {
	requests, bytes, publishes pace
	asked, read, published     tank
}

// Frame is what a frame is charged for. A frame of bad bytes is one request.
type Frame struct{ Requests, Publishes, Bytes int }

// Use says which rates the connection follows. Call it before anything is taken.
func (t *Traffic) Use(r *Rates) { t.rates = r }

// Narrow gives the connection paces of its own, each for a second and its burst; 0 is none. They hold beside the shared
// rates, so they can only lower what passes. What was taken before stays taken.
func (t *Traffic) Narrow(requests, publishes, bytes int) {
	if t.own == nil {
		if requests <= 0 && publishes <= 0 && bytes <= 0 {
			return
		}
		t.own = new(own)
	}
	perSecond := func(n int) pace { return paceOf(Pace{PerSecond: float64(n), Burst: n}) }
	t.own.requests, t.own.publishes, t.own.bytes = perSecond(requests), perSecond(publishes), perSecond(bytes)
}

// Take charges a frame as a whole, or nothing and says what was exceeded and how long to wait before it may be sent
// again.
func (t *Traffic) Take(now time.Time, f Frame) (Refused, time.Duration) {
	at := tick(now)
	if t.rates != nil {
		asked, read := t.rates.Requests.load(), t.rates.Bytes.load()
		if why, wait := both(asked, read, &t.requests, &t.bytes, at, f); why != Passed || t.own == nil {
			return why, wait
		}
		why, wait := t.own.take(at, f)
		if why != Passed {
			t.requests.giveBack(asked, f.Requests)
			t.bytes.giveBack(read, f.Bytes)
		}
		return why, wait
	}
	if t.own == nil {
		return Passed, 0
	}
	return t.own.take(at, f)
}

func (o *own) take(at int64, f Frame) (Refused, time.Duration) {
	if ok, wait := o.published.take(&o.publishes, at, f.Publishes); !ok {
		return TooManyPublishes, wait
	}
	why, wait := both(&o.requests, &o.bytes, &o.asked, &o.read, at, f)
	if why != Passed {
		o.published.giveBack(&o.publishes, f.Publishes)
	}
	return why, wait
}

// both charges requests and bytes, or neither.
func both(requests, bytes *pace, asked, read *tank, at int64, f Frame) (Refused, time.Duration) {
	if ok, wait := asked.take(requests, at, f.Requests); !ok {
		return TooManyRequests, wait
	}
	if ok, wait := read.take(bytes, at, f.Bytes); !ok {
		asked.giveBack(requests, f.Requests)
		return TooManyBytes, wait
	}
	return Passed, 0
}
