package main

import (
	"os"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync"
	"time"
)

// How much garbage a server lets gather, in percent of what lives. Connections are nearly all that lives, and what is hot
// allocates next to nothing: half of Go's default saves a tenth of the memory of an idle server (measured with 15,000
// connections: 7.0 KB each in place of 7.9) and costs collections that are rare anyway. Two things make them frequent: very many
// who connect at once, where each collection scans the stacks of all who are there already, and services at work, where a quarter
// of a command's time went into collecting, and where each collection makes all who come meanwhile wait: a tenth of a second and
// more, where other processes need the processors too. Then what becomes garbage in a minute may gather, so that not one command
// in a hundred meets a collection, and it is given back afterwards. GOGC overrules all of it.
const (
	calmPercent  = 50
	mostGarbage  = 2 << 30 // bytes that may gather beyond calmPercent, on a machine with twelve times as many
	garbageShare = 12      // of the memory there is, a part so large may be garbage
	between      = 60 * time.Second
	trickle      = 1 << 20 // bytes a second that come of connections doing nothing, and count for none
	look         = 50 * time.Millisecond
	fade         = 10 // looks in which what was allocated before loses most of its weight
	calmLooks    = 40 // for which calmPercent would do, after which all is given back
	allocated    = "/gc/heap/allocs:bytes"
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
		p := pace{percent: calmPercent, most: min(mostGarbage, memoryHere(memoryFiles)/garbageShare)}
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

// pace is how fast garbage came lately, and what was made of it.
type pace struct {
	percent int
	most    uint64 // bytes of garbage
	before  uint64 // bytes allocated until the last look; 0: there was none
	rate    uint64 // bytes a look, those of late
	calm    int    // looks for which calmPercent would have done
}

func (p *pace) look() {
	now := []metrics.Sample{{Name: allocated}, {Name: livingMemory}}
	metrics.Read(now)
	all, live := now[0].Value.Uint64(), now[1].Value.Uint64()
	if p.before == 0 {
		p.before = all
		return
	}
	percent := p.decide(all-p.before, live)
	p.before = all
	if percent == p.percent {
		return
	}
	debug.SetGCPercent(percent)
	if p.calm >= calmLooks { // not where the bound alone says so: it would be collected once more in the middle of the work
		debug.FreeOSMemory()
	}
	p.percent = percent
}

// decide gives the percent from now on. Small differences leave it as it is, for each change stops the world. Both arguments are
// in bytes.
func (p *pace) decide(came, live uint64) (percent int) {
	p.rate = (p.rate*(fade-1) + came) / fade
	bound := int(p.most * 100 / (live + 1))
	garbage := p.rate * uint64(between/look)
	garbage -= min(garbage, trickle*uint64(between/time.Second))
	percent = max(calmPercent, min(int(garbage*100/(live+1)), bound))
	if p.calm++; percent > calmPercent {
		p.calm = 0
	}
	if percent > p.percent+p.percent/4 || p.percent > bound+bound/4 || p.calm >= calmLooks {
		return percent
	}
	return p.percent
}

// memoryFiles say how much memory there is on Linux: of the machine, and of the container, in both versions of control groups.
var memoryFiles = []string{"/proc/meminfo", "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}

// memoryHere is the least of what files say, in bytes; where none says anything, enough for mostGarbage.
func memoryHere(files []string) uint64 {
	least := uint64(mostGarbage * garbageShare)
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		unit := uint64(1)
		text, found := strings.CutPrefix(string(b), "MemTotal:")
		if found {
			text, _, _ = strings.Cut(text, "kB")
			unit = 1 << 10
		}
		if n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 64); err == nil && n > 0 && n < least/unit {
			least = n * unit
		}
	}
	return least
}
