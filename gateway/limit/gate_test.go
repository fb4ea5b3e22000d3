package limit

import (
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"
)

// TestS20GateRace: fifty come for five places at once; exactly five get in, every time, however they leave.
func TestS20GateRace(t *testing.T) {
	g := NewGate[string](5, 100)
	for round := range 200 {
		var in atomic.Int64
		var all sync.WaitGroup
		start := make(chan struct{})
		for range 50 {
			all.Go(func() {
				<-start
				if g.Enter("ann") {
					in.Add(1)
				}
			})
		}
		close(start)
		all.Wait()
		if in.Load() != 5 || g.Inside("ann") != 5 {
			t.Fatalf("round %d: %d came in, %d are inside", round, in.Load(), g.Inside("ann"))
		}
		for range 5 {
			all.Go(func() { g.Leave("ann") })
		}
		all.Wait()
	}
	if s := g.Stats(); s.Keys != 0 || s.Inside != 0 || s.Strays != 0 || s.Refused != 200*45 {
		t.Errorf("%+v", s)
	}
}

// TestGateStorm: never more than the bound inside while everybody comes and goes.
func TestGateStorm(t *testing.T) {
	g := NewGate[int](3, 1000)
	var inside [4]atomic.Int64
	var all sync.WaitGroup
	for w := range 16 {
		all.Go(func() {
			for i := range 2000 {
				k := (w + i) % len(inside)
				if !g.Enter(k) {
					continue
				}
				if n := inside[k].Add(1); n > 3 {
					t.Errorf("%d inside", n)
				}
				runtime.Gosched()
				inside[k].Add(-1)
				g.Leave(k)
			}
		})
	}
	all.Wait()
	if s := g.Stats(); s.Keys != 0 || s.Inside != 0 {
		t.Errorf("%+v", s)
	}
}

func TestGateAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bound, maxKeys := rapid.IntRange(0, 4).Draw(t, "bound"), rapid.IntRange(1, 6).Draw(t, "keys")
		g, model := NewGate[int](bound, maxKeys), map[int]int{}
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			k := rapid.IntRange(0, 9).Draw(t, "key")
			switch rapid.IntRange(0, 4).Draw(t, "step") {
			case 0, 1:
				want := (bound == 0 || model[k] < bound) && (model[k] > 0 || len(model) < maxKeys)
				if got := g.Enter(k); got != want {
					t.Fatalf("Enter(%d) is %v with %v inside", k, got, model)
				} else if got {
					model[k]++
				}
			case 2:
				own := rapid.IntRange(1, 8).Draw(t, "own bound")
				want := model[k] < own && (model[k] > 0 || len(model) < maxKeys)
				if got := g.EnterWithin(k, own); got != want {
					t.Fatalf("EnterWithin(%d, %d) is %v with %v inside", k, own, got, model)
				} else if got {
					model[k]++
				}
			case 3:
				if g.Leave(k); model[k] > 1 {
					model[k]--
				} else {
					delete(model, k)
				}
			case 4:
				bound = rapid.IntRange(0, 4).Draw(t, "new bound")
				g.SetBound(bound)
			}
			if s := g.Stats(); s.Keys != len(model) || g.Inside(k) != model[k] {
				t.Fatalf("%+v, want %v", s, model)
			}
		}
	})
}

func TestGateOfAddresses(t *testing.T) {
	g := NewAddrGate(2, 100)
	for i, a := range []string{"2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "2001:db8:1:2::1%eth0"} {
		if got := g.Enter(netip.MustParseAddr(a)); got != (i < 2) {
			t.Errorf("%s: %v", a, got)
		}
	}
	for i, a := range []string{"192.0.2.7", "::ffff:192.0.2.7", "192.0.2.7", "192.0.2.8"} {
		if got := g.Enter(netip.MustParseAddr(a)); got != (i != 2) {
			t.Errorf("%s: %v", a, got)
		}
	}
}

func TestLeaveWithoutEnter(t *testing.T) {
	g := NewGate[string](1, 10)
	g.Leave("ann")
	if s := g.Stats(); s.Strays != 1 || s.Keys != 0 || s.Inside != 0 || !g.Enter("ann") || g.Enter("ann") {
		t.Errorf("%+v", s)
	}
}

// TestGateForgetsAMillion: a million keys leave no memory behind.
func TestGateForgetsAMillion(t *testing.T) {
	const keys = million
	g := NewGate[int](5, keys)
	before := heap()
	for i := range keys {
		if !g.Enter(i) {
			t.Fatal("refused below the bound of keys")
		}
	}
	if g.Enter(-1) || g.Stats().Full != 1 {
		t.Fatal("a key beyond the bound came in")
	}
	full := heap()
	for i := range keys {
		g.Leave(i)
	}
	after := heap()
	t.Logf("%d KiB before, %d KiB with a million keys, %d KiB after them", before>>10, full>>10, after>>10)
	if s := g.Stats(); s.Keys != 0 || after > before+1<<20 {
		t.Errorf("%+v, %d bytes more than before", s, after-before)
	}
	runtime.KeepAlive(g)
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestShareRace(t *testing.T) {
	s := NewShare(5)
	for range 200 {
		var in atomic.Int64
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				if s.Enter() {
					in.Add(1)
				}
			})
		}
		all.Wait()
		if in.Load() != 5 || s.Taken() != 5 {
			t.Fatalf("%d came in, %d places are taken", in.Load(), s.Taken())
		}
		for range 5 {
			s.Leave()
		}
	}
	s.SetBound(1)
	var inside atomic.Int64
	var storm sync.WaitGroup
	for range 4 {
		storm.Go(func() {
			for range 20_000 {
				if s.Enter() {
					if n := inside.Add(1); n > 1 {
						t.Errorf("%d inside", n)
					}
					inside.Add(-1)
					s.Leave()
				}
			}
		})
	}
	storm.Wait()
	s.SetBound(0)
	for range 1000 {
		if !s.Enter() {
			t.Fatal("a Share without a bound refused")
		}
	}
	if PartOf(0.2, 1024) != 204 || PartOf(0.2, 3) != 1 {
		t.Error(PartOf(0.2, 1024), PartOf(0.2, 3))
	}
}

func BenchmarkGate(b *testing.B) {
	g := NewGate[string](5, 1000)
	for b.Loop() {
		g.Enter("ann")
		g.Leave("ann")
	}
}

func BenchmarkShare(b *testing.B) {
	s := NewShare(5)
	for b.Loop() {
		s.Enter()
		s.Leave()
	}
}
