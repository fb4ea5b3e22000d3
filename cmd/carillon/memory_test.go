package main

import (
	"os"
	"path/filepath"
	"testing"
)

// Where garbage comes fast more of it may gather, up to a bound; a quiet while takes it back.
func TestPaceOfCollections(t *testing.T) {
	const megabyte = 1 << 20
	run := func(p *pace, came, live uint64, count int) (changes int) {
		for range count {
			if percent := p.decide(came, live); percent != p.percent {
				p.percent = percent
				changes++
			}
		}
		return changes
	}
	p := &pace{percent: calmPercent, most: mostGarbage}
	run(p, megabyte/20, 50*megabyte, 200)
	if p.percent != calmPercent {
		t.Errorf("1 MB a second of 50 led to %d percent", p.percent)
	}
	changes := run(p, 2*megabyte, 30*megabyte, 100)
	if p.percent < 400 || p.percent*30*megabyte/100 > mostGarbage {
		t.Errorf("40 MB a second of 30 led to %d percent", p.percent)
	}
	if changes > 8 {
		t.Errorf("until then it changed %d times", changes)
	}
	busy := p.percent
	run(p, megabyte/2, 30*megabyte, 200)
	if p.percent != busy {
		t.Errorf("less garbage, but not little, led from %d percent to %d", busy, p.percent)
	}
	run(p, 0, 30*megabyte, calmLooks+10*fade)
	if p.percent != calmPercent || p.calm < calmLooks {
		t.Errorf("%d percent after a quiet while, calm for %d looks", p.percent, p.calm)
	}
	run(p, 20*megabyte, 15*megabyte, 2)
	if p.percent < 800 {
		t.Errorf("a rush led to %d percent", p.percent)
	}
	run(p, 20*megabyte, 600*megabyte, 1)
	if p.percent*6*megabyte > mostGarbage+mostGarbage/4 || p.calm >= calmLooks {
		t.Errorf("with 600 MB that live, a rush led to %d percent: more than %d bytes of garbage", p.percent, mostGarbage)
	}
	p = &pace{percent: calmPercent, most: mostGarbage}
	run(p, 20*megabyte, 6<<30, 100)
	if p.percent != calmPercent {
		t.Errorf("with six gigabytes that live, a rush led to %d percent: more than %d bytes of garbage", p.percent, mostGarbage)
	}
}

// A small machine, or a small container on a large one, lets less gather.
func TestMemoryHere(t *testing.T) {
	const enough = mostGarbage * garbageShare
	dir := t.TempDir()
	files := []string{filepath.Join(dir, "meminfo"), filepath.Join(dir, "max"), filepath.Join(dir, "none")}
	for _, c := range []struct {
		meminfo, max string
		want         uint64
	}{
		{"MemTotal:       65609000 kB\nMemFree:  1 kB\n", "max\n", enough},
		{"MemTotal:        1009000 kB\nMemFree:  1 kB\n", "max\n", 1009000 << 10},
		{"MemTotal:       65609000 kB\n", "536870912\n", 512 << 20},
		{"MemTotal:       65609000 kB\n", "9223372036854771712\n", enough},
		{"", "", enough},
	} {
		for i, text := range []string{c.meminfo, c.max} {
			if err := os.WriteFile(files[i], []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if got := memoryHere(files); got != c.want {
			t.Errorf("%q and %q: %d bytes, want %d", c.meminfo, c.max, got, c.want)
		}
	}
}
