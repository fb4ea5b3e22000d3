package limit

import (
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"carillon/channel"
)

// Level says how short of breath a node is.
type Level uint8

// The levels. At each, what the one before drops is dropped too. Logged and Latest are never dropped.
const (
	Calm     Level = iota // everything passes
	Thinning              // a part of the Fleeting records passes
	Shedding              // no Fleeting record passes
)

func (l Level) String() string { return [...]string{"calm", "thinning", "shedding"}[min(l, Shedding)] }

// Cause is the fact that raised the level.
type Cause uint8

// The causes, in the order of the fields of Sample.
const (
	FanoutLag Cause = iota
	FanoutQueue
	FanoutBusy
	CPU
	Heap
	causes
)

var causeNames = [causes]string{"fanout_lag", "fanout_queue", "fanout_busy", "cpu", "heap"}

func (c Cause) String() string {
	if c < causes {
		return causeNames[c]
	}
	return "unknown"
}

// Causes lists all causes.
func Causes() []Cause { return []Cause{FanoutLag, FanoutQueue, FanoutBusy, CPU, Heap} }

// Sample is what is known of a node at one moment. What is not known stays zero.
type Sample struct {
	FanoutLag   time.Duration // age of the oldest entry of the fan-out queue
	FanoutQueue int           // entries of it
	FanoutBusy  float64       // part of the workers' time that was work, 0 to 1
	CPU         float64       // part of all processors in use, 0 to 1
	Heap        float64       // part of the memory limit in use, 0 to 1
}

// Steps are the values of a fact at which a level begins; 0: this fact never raises it.
type Steps struct{ Thin, Shed float64 }

// PressureBounds say when a level begins and ends.
type PressureBounds struct {
	FanoutLag   Steps   // seconds
	FanoutQueue Steps   // entries
	FanoutBusy  Steps   // part, 0 to 1
	CPU         Steps   // part, 0 to 1
	Heap        Steps   // part of the memory limit, 0 to 1
	Keep        float64 // part of the Fleeting records that passes while Thinning, 0 to 1
	Ease        float64 // a level ends when every fact is below this part of its value; not in (0, 1]: 1
	Rise        int     // samples in a row that it takes to go up
	Settle      int     // samples in a row that it takes to go down one level
}

// DefaultPressureBounds go by lag and memory only: busy processors whose queues are short are doing what they are for.
// The counts are meant for ten samples a second.
func DefaultPressureBounds() PressureBounds {
	return PressureBounds{
		FanoutLag: Steps{Thin: 0.1, Shed: 0.5},
		Heap:      Steps{Thin: 0.8, Shed: 0.9},
		Keep:      0.25, Ease: 0.7, Rise: 2, Settle: 20,
	}
}

const classes = int(channel.Fleeting) + 1

// Pressure drops what matters least while a node has more to do than it can. It is fed with samples, and does nothing by
// itself: without a sample for a long time, the level stays.
type Pressure struct {
	state   atomic.Uint32 // Level, and above it the Cause
	keep    atomic.Uint32 // of 2^32, while Thinning
	changes atomic.Uint64
	dropped [classes][causes]atomic.Uint64

	mu      sync.Mutex
	bounds  PressureBounds
	rising  int // samples in a row that ask for a higher level
	settled int // samples in a row that would allow a lower one
}

// NewPressure makes a Pressure that is Calm.
func NewPressure(b PressureBounds) *Pressure {
	p := new(Pressure)
	p.SetBounds(b)
	return p
}

// SetBounds changes the bounds; the level follows with the next samples.
func (p *Pressure) SetBounds(b PressureBounds) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if b.Ease <= 0 || b.Ease > 1 {
		b.Ease = 1
	}
	p.bounds = b
	p.keep.Store(uint32(min(max(b.Keep, 0), 1) * math.MaxUint32))
}

// Allow says whether a record of this class may go on its way. What it refuses is counted. A nil Pressure allows all.
func (p *Pressure) Allow(c channel.Class) bool {
	if c != channel.Fleeting || p == nil {
		return true
	}
	state := p.state.Load()
	return Level(state) == Calm || p.spare(state, c)
}

// spare decides by lot, since a pattern in what comes must not decide who is heard.
func (p *Pressure) spare(state uint32, c channel.Class) bool {
	if Level(state) == Thinning && rand.Uint32() < p.keep.Load() {
		return true
	}
	p.dropped[c][state>>8].Add(1)
	return false
}

// Level returns the present level.
func (p *Pressure) Level() Level { return Level(p.state.Load()) }

// Cause returns the fact that brought about the present level; it means nothing while Calm.
func (p *Pressure) Cause() Cause { return Cause(p.state.Load() >> 8) }

// Dropped counts what Allow refused.
func (p *Pressure) Dropped(c channel.Class, why Cause) uint64 { return p.dropped[c][why].Load() }

// Changes counts changes of the level.
func (p *Pressure) Changes() uint64 { return p.changes.Load() }

// Observe takes a sample and returns the level after it.
func (p *Pressure) Observe(s Sample) Level {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := &p.bounds
	at := p.Level()
	up, why := b.level(&s, 1)
	hold, _ := b.level(&s, b.Ease)
	if up > at {
		p.settled = 0
		if p.rising++; p.rising >= b.Rise {
			p.move(up, why)
		}
		return p.Level()
	}
	p.rising = 0
	if hold >= at {
		p.settled = 0
		return at
	}
	if p.settled++; p.settled >= b.Settle {
		p.move(at-1, p.Cause())
	}
	return p.Level()
}

func (p *Pressure) move(to Level, why Cause) {
	p.rising, p.settled = 0, 0
	p.changes.Add(1)
	p.state.Store(uint32(to) | uint32(why)<<8)
}

// level is the highest that a fact asks for, its steps being multiplied by ease, and which fact that is.
func (b *PressureBounds) level(s *Sample, ease float64) (l Level, why Cause) {
	values := [causes]float64{s.FanoutLag.Seconds(), float64(s.FanoutQueue), s.FanoutBusy, s.CPU, s.Heap}
	steps := [causes]Steps{b.FanoutLag, b.FanoutQueue, b.FanoutBusy, b.CPU, b.Heap}
	for c, v := range values {
		this := Calm
		if t := steps[c]; t.Shed > 0 && v >= t.Shed*ease {
			this = Shedding
		} else if t.Thin > 0 && v >= t.Thin*ease {
			this = Thinning
		}
		if this > l {
			l, why = this, Cause(c)
		}
	}
	return l, why
}
