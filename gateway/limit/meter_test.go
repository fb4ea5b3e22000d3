package limit

import (
	"encoding/binary"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestMeterAgainstBuckets: within its bound of keys, a Meter is a Bucket for each of them.
func TestMeterAgainstBuckets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := Pace{PerSecond: 10, Burst: 5}
		m, rate, now := NewMeter[int](p, 64*100), NewRate(p), time.Now()
		buckets := map[int]*Bucket{}
		for range rapid.IntRange(1, 800).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 300).Draw(t, "ms")) * time.Millisecond)
			k, n := rapid.IntRange(0, 999).Draw(t, "key"), rapid.IntRange(1, 7).Draw(t, "n")
			if buckets[k] == nil {
				buckets[k] = new(Bucket)
				buckets[k].Use(rate)
			}
			if rapid.IntRange(0, 9).Draw(t, "step") == 0 {
				m.GiveBack(k, n)
				buckets[k].GiveBack(n)
				continue
			}
			ok, wait := m.Take(k, now, n)
			if wantOK, wantWait := buckets[k].Take(now, n); ok != wantOK || wait != wantWait {
				t.Fatalf("key %d: %v, %v, want %v, %v", k, ok, wait, wantOK, wantWait)
			}
		}
		if s := m.Stats(); s.Evicted > 0 {
			t.Fatalf("%+v", s)
		}
	})
}

// TestA09GuessingIsLimited: a thousand bad tokens at once from one address are no more than the burst, those of a whole
// /64 too, and somebody else's good token passes.
func TestA09GuessingIsLimited(t *testing.T) {
	m, now := NewAddrMeter(Pace{PerSecond: 0.1, Burst: 20}, 10000), time.Now()
	var checked atomic.Int64
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			for j := range 20 {
				a := netip.MustParseAddr("2001:db8::").As16()
				binary.BigEndian.PutUint64(a[8:], uint64(i*100+j))
				if ok, wait := m.Take(netip.AddrFrom16(a), now, 1); ok {
					checked.Add(1)
				} else if wait <= 0 {
					t.Error("refused without a time to wait")
				}
			}
		})
	}
	all.Wait()
	if checked.Load() != 20 {
		t.Errorf("%d guesses were checked, 20 may be", checked.Load())
	}
	other := netip.MustParseAddr("2001:db8:0:1::1")
	for range 1000 {
		if ok, _ := m.Take(other, now, 1); !ok {
			t.Fatal("a good token was refused")
		}
		m.GiveBack(other, 1)
	}
	if s := m.Stats(); s.Keys != 2 || s.Refused != 980 {
		t.Errorf("%+v", s)
	}
}

// TestMeterForgetsIdleKeys: keys whose bucket is full again go as others come.
func TestMeterForgetsIdleKeys(t *testing.T) {
	m, now := NewMeter[int](Pace{PerSecond: 10, Burst: 10}, 64*1000), time.Now()
	for i := range 10000 {
		m.Take(i, now, 1)
	}
	now = now.Add(time.Second)
	for i := range 20000 {
		m.Take(100000+i, now, 1)
		now = now.Add(time.Second)
	}
	if s := m.Stats(); s.Keys > 300 || s.Evicted > 0 {
		t.Errorf("%+v", s)
	}
}

// TestMeterFloodOfAMillionKeys: memory stays flat, and who misbehaves stays known.
func TestMeterFloodOfAMillionKeys(t *testing.T) {
	const most = 20000
	before := heap()
	m, now := NewAddrMeter(Pace{PerSecond: 0.01, Burst: 100}, most), time.Now()
	culprit := netip.MustParseAddr("192.0.2.1")
	for range 100 {
		m.Take(culprit, now, 1)
	}
	fresh := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}) }
	for i := range million {
		if ok, _ := m.Take(fresh(i), now, 1); !ok {
			t.Fatal("a fresh address was refused")
		}
		if i%1000 == 0 {
			if ok, _ := m.Take(culprit, now, 1); ok {
				t.Fatalf("the flood washed the culprit away after %d keys", i)
			}
		}
	}
	after := heap()
	s := m.Stats()
	t.Logf("%d KiB before, %d KiB after a million keys, %+v", before>>10, after>>10, s)
	if s.Keys > most || after > before+400*most {
		t.Errorf("%+v, %d bytes before, %d after", s, before, after)
	}
	m.SetMaxKeys(64)
	for i := range 30_000 {
		m.Take(fresh(i), now, 1)
	}
	if s := m.Stats(); s.Keys > 64 {
		t.Errorf("%d keys after the bound was lowered to 64", s.Keys)
	}
	runtime.KeepAlive(m)
}

func BenchmarkMeterKnown(b *testing.B) {
	m, a, now := NewAddrMeter(Pace{PerSecond: 1e9, Burst: 100}, 10000), netip.MustParseAddr("192.0.2.1"), time.Now()
	for b.Loop() {
		m.Take(a, now, 1)
	}
}

func BenchmarkMeterFlood(b *testing.B) {
	m, now := NewAddrMeter(Pace{PerSecond: 1, Burst: 100}, 10000), time.Now()
	i := 0
	for b.Loop() {
		i++
		m.Take(netip.AddrFrom4([4]byte{byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)}), now, 1)
	}
}
