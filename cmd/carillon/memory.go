package main

import (
	"os"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"
)

// How much garbage a server lets gather, in percent of what lives. Connections are nearly all that lives, and what is hot
// allocates next to nothing: half of Go's default saves a tenth of the memory of an idle server (measured with 15,000
// connections: 7.0 KB each in place of 7.9) and costs collections that are rare anyway. While very many connect at once that
// is not so: each collection scans the stacks of all who are there already, and a third of the work would be collecting.
// Then more may gather for a moment, and it is given back afterwards. GOGC overrules all of it.
const (
	calmPercent  = 50
	rushPercent  = 400
	rushGarbage  = 256 << 20 // bytes that a rush may let gather, beyond calmPercent
	rushLook     = 50 * time.Millisecond
	rushCycles   = 2  // collections in two looks that make a rush
	rushOver     = 30 // looks without a collection that end it
	collections  = "/gc/cycles/automatic:gc-cycles"
	livingMemory = "/gc/heap/live:bytes"
)

// tuneMemory sets how much garbage may gather, until end is called.
func tuneMemory() (end func()) {
	if os.Getenv("GOGC") != "" {
		return func() {}
	}
	debug.SetGCPercent(calmPercent)
	stop := make(chan struct{})
	var looking sync.WaitGroup
	looking.Go(func() {
		r := rush{calm: true}
		ticker := time.NewTicker(rushLook)
		defer ticker.Stop()
		for {
			select {
			case <-stop:
				return
			case <-ticker.C:
				r.look()
			}
		}
	})
	return func() {
		close(stop)
		looking.Wait()
	}
}

// rush tells whether very much is allocated at the moment.
type rush struct {
	calm  bool
	since int    // looks without a collection
	seen  uint64 // collections before the last look
	last  uint64 // collections in the last look
}

func (r *rush) look() {
	now := []metrics.Sample{{Name: collections}, {Name: livingMemory}}
	metrics.Read(now)
	cycles, live := now[0].Value.Uint64(), now[1].Value.Uint64()
	came := cycles - r.seen
	first := r.seen == 0
	both := came + r.last
	r.seen, r.last = cycles, came
	switch {
	case first:
	case r.calm && both >= rushCycles:
		r.calm, r.since = false, 0
		debug.SetGCPercent(max(calmPercent, min(rushPercent, int(rushGarbage*100/(live+1)))))
	case r.calm:
	case came > 0:
		r.since = 0
	default:
		if r.since++; r.since == rushOver {
			r.calm = true
			debug.SetGCPercent(calmPercent)
			debug.FreeOSMemory()
		}
	}
}
