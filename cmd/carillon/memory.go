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
// connections: 7.0 KB each in place of 7.9) and costs collections that are rare anyway. Two things make them frequent: very many
// who connect at once, where each collection scans the stacks of all who are there already, and services at work, where a quarter
// of a command's time went into collecting. Then so much may gather that there is about one collection a second, and it is
// given back afterwards. GOGC overrules all of it.
const (
	calmPercent  = 50
	mostGarbage  = 256 << 20 // bytes that may gather beyond calmPercent
	mostPercent  = 400
	look         = 50 * time.Millisecond
	looks        = 20 // whose collections are counted together: a second's
	busyCycles   = 2  // collections in a second, or in two looks, from which on more may gather
	calmLooks    = 60 // without a collection, after which all is given back
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
		p := pace{percent: calmPercent}
		ticker := time.NewTicker(look)
		defer ticker.Stop()
		for {
			select {
			case <-stop:
				return
			case <-ticker.C:
				p.look()
			}
		}
	})
	return func() {
		close(stop)
		looking.Wait()
	}
}

// pace is how often garbage was collected lately, and what was made of it.
type pace struct {
	percent int
	cycles  uint64        // before the last look; 0: there was none
	came    [looks]uint64 // in each of the last looks
	at      int           // of the last one in came
	quiet   int           // looks since the last collection
}

func (p *pace) look() {
	now := []metrics.Sample{{Name: collections}, {Name: livingMemory}}
	metrics.Read(now)
	cycles, live := now[0].Value.Uint64(), now[1].Value.Uint64()
	if p.cycles == 0 {
		p.cycles = cycles
		return
	}
	before := p.came[p.at]
	p.at = (p.at + 1) % looks
	p.came[p.at] = cycles - p.cycles
	p.cycles = cycles
	if percent := p.decide(p.came[p.at]+before, live); percent != p.percent {
		debug.SetGCPercent(percent)
		if p.quiet >= calmLooks { // not where the bound alone says so: it would be collected once more in the middle of the work
			debug.FreeOSMemory()
		}
		p.percent = percent
		p.came, p.quiet = [looks]uint64{}, 0 // what comes now is another pace
	}
}

// decide gives the percent from now on. live is in bytes.
func (p *pace) decide(justNow, live uint64) int {
	second := uint64(0)
	for _, n := range p.came {
		second += n
	}
	if p.quiet++; p.came[p.at] > 0 {
		p.quiet = 0
	}
	wanted := p.percent
	switch {
	case justNow >= busyCycles:
		wanted = mostPercent
	case second >= busyCycles:
		wanted *= int(min(second, mostPercent/calmPercent))
	case p.quiet >= calmLooks:
		return calmPercent
	}
	bound := int(mostGarbage*100/(live+1)) / calmPercent * calmPercent // in steps, for each change stops the world
	return max(calmPercent, min(wanted, mostPercent, bound))
}
