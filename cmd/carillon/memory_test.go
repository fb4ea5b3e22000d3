package main

import "testing"

// Many collections a second let more garbage gather, until there is about one; a quiet while takes it back; and there is a bound.
func TestPaceOfCollections(t *testing.T) {
	const megabyte = 1 << 20
	run := func(p *pace, live uint64, every int, count int) {
		for i := range count {
			before := p.came[p.at]
			p.at = (p.at + 1) % looks
			p.came[p.at] = 0
			if every > 0 && i%every == 0 {
				p.came[p.at] = 1
			}
			if percent := p.decide(p.came[p.at]+before, live); percent != p.percent {
				*p = pace{percent: percent, at: p.at}
			}
		}
	}
	p := &pace{percent: calmPercent}
	run(p, 50*megabyte, 25, 200)
	if p.percent != calmPercent {
		t.Errorf("less than one collection a second led to %d percent", p.percent)
	}
	run(p, 50*megabyte, looks/4, 2*looks)
	if p.percent < 2*calmPercent || p.percent > mostPercent {
		t.Errorf("four collections a second led to %d percent", p.percent)
	}
	busy := p.percent
	run(p, 50*megabyte, 25, 200)
	if p.percent != busy {
		t.Errorf("a collection in a second and a quarter led from %d percent to %d", busy, p.percent)
	}
	run(p, 50*megabyte, 0, calmLooks+1)
	if p.percent != calmPercent {
		t.Errorf("%d percent after a quiet while", p.percent)
	}
	run(p, 50*megabyte, 1, 2)
	if p.percent != mostPercent {
		t.Errorf("a rush led to %d percent", p.percent)
	}
	p = &pace{percent: calmPercent}
	run(p, 1<<30, 1, 2*looks)
	if p.percent != calmPercent {
		t.Errorf("with a gigabyte that lives, a rush led to %d percent: more than %d bytes of garbage", p.percent, mostGarbage)
	}
}
