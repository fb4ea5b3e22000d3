package hub

import (
	"fmt"
	"runtime"
	"sync"
	"testing"

	"carillon/channel"
)

func filled(b testing.TB, h *Hub, n channel.Name) *truth {
	log := newTruth(1, 1)
	if !h.Open(n) {
		b.Fatal("open")
	}
	h.Fill(n, log.base, nil)
	return log
}

// prepared makes records that follow each other without hashing them, so that only the hub is measured.
func prepared(n channel.Name, count int) []channel.Record {
	rs := make([]channel.Record, count)
	body := make([]byte, 100)
	prev := uint64(1)
	for i := range rs {
		rs[i] = channel.Record{Channel: n, At: channel.Position{Epoch: 1, Offset: uint64(i + 1), Tag: prev + 1}, Prev: prev, Body: body}
		prev++
	}
	return rs
}

func BenchmarkAppend(b *testing.B) {
	h := newHub(b, Options{})
	filled(b, h, "a")
	rs := prepared("a", b.N)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range rs {
		if h.Append(rs[i]) != NeedNone {
			b.Fatal("need")
		}
	}
}

// BenchmarkDelivery is one subscriber's share of a record: Ready and Wrote of 5,000 cursors at the same place.
func BenchmarkDelivery(b *testing.B) {
	h := newHub(b, Options{})
	filled(b, h, "a")
	const subscribers = 5000
	cs := make([]*Cursor, subscribers)
	for i := range cs {
		cs[i], _, _ = h.Attach("a", From{}, 0, uint64(i+1), nobody{})
	}
	h.Close() // nobody is woken
	rs := prepared("a", b.N/subscribers+1)
	dst := make([][]byte, 0, 8)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		if i%subscribers == 0 {
			h.Append(rs[i/subscribers])
		}
		bufs, _, _ := cs[i%subscribers].Ready(dst, 64<<10)
		cs[i%subscribers].Wrote(len(bufs[0]))
	}
}

// counting is the cheapest waker: it takes what there is, without a socket.
type counting struct {
	dst  [][]byte
	left *sync.WaitGroup
}

func (w *counting) Wake(c *Cursor) {
	bufs, _, _ := c.Ready(w.dst[:0], 64<<10)
	n := 0
	for _, b := range bufs {
		n += len(b)
	}
	c.Wrote(n)
	w.left.Done()
}

func (w *counting) Resume() {}

// BenchmarkPass is a fan-out pass over 5,000 subscribers, per visit, with Ready and Wrote.
func BenchmarkPass(b *testing.B) {
	h := newHub(b, Options{Workers: 1})
	filled(b, h, "a")
	const subscribers = 5000
	var left sync.WaitGroup
	for range subscribers {
		if _, _, err := h.Attach("a", From{}, 0, 0, &counting{dst: make([][]byte, 0, 4), left: &left}); err != nil {
			b.Fatal(err)
		}
	}
	rs := prepared("a", b.N/subscribers+1)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range rs {
		left.Add(subscribers)
		h.Append(rs[i])
		left.Wait()
	}
}

// BenchmarkWakeUp is an append to a room of one subscriber until that one has taken it, worker asleep before.
func BenchmarkWakeUp(b *testing.B) {
	h := newHub(b, Options{Workers: 1})
	filled(b, h, "a")
	var left sync.WaitGroup
	if _, _, err := h.Attach("a", From{}, 0, 0, &counting{dst: make([][]byte, 0, 4), left: &left}); err != nil {
		b.Fatal(err)
	}
	rs := prepared("a", b.N)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range rs {
		left.Add(1)
		h.Append(rs[i])
		left.Wait()
	}
}

func BenchmarkAttachDetach(b *testing.B) {
	h := newHub(b, Options{})
	filled(b, h, "a")
	for range 1000 {
		mustAttach(b, h, "a", From{})
	}
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		c, _, _ := h.Attach("a", From{}, 0, 0, nobody{})
		c.Detach()
	}
}

// BenchmarkMemory reports bytes of heap: of an idle room, of a room with one subscriber that was given one record of 100
// bytes, and of one more subscriber in a large room.
func BenchmarkMemory(b *testing.B) {
	const many = 10000
	heap := func() float64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	h := newHub(b, Options{})
	names := make([]channel.Name, many)
	for i := range names {
		names[i] = channel.Name(fmt.Sprint("idle:", i))
	}
	body := make([]byte, 100)
	cs := make([]*Cursor, 0, 2*many)
	for range 1 {
		before := heap()
		for _, n := range names {
			filled(b, h, n)
		}
		idle := heap()
		for _, n := range names {
			h.Append(channel.Record{Channel: n, At: channel.Position{Epoch: 1, Offset: 1, Tag: 2}, Prev: 1, Body: body})
		}
		one := heap()
		for _, n := range names {
			cs = append(cs, mustAttach(b, h, n, From{Rewind: 1}))
		}
		for _, c := range cs {
			drain(b, c)
		}
		busy := heap()
		for range many {
			cs = append(cs, mustAttach(b, h, names[0], From{}))
		}
		crowd := heap()
		b.ReportMetric((idle-before)/many, "B/idle-room")
		b.ReportMetric((one-idle)/many, "B/record")
		b.ReportMetric((busy-one)/many, "B/first-cursor")
		b.ReportMetric((crowd-busy)/many, "B/cursor")
	}
	runtime.KeepAlive(cs)
	runtime.KeepAlive(names)
}
