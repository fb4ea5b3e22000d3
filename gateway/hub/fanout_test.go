package hub

import (
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"carillon/channel"
)

// writer takes everything it is offered, from whoever wakes it.
type writer struct {
	woken  atomic.Int64
	onWake func()

	total   *atomic.Int64 // bytes taken by all who share it
	goal    int64         // every so many of them
	reached chan struct{} // something is sent here
}

func (w *writer) Wake(c *Cursor) {
	w.woken.Add(1)
	for more := true; more; {
		var bufs [][]byte
		bufs, more, _ = c.Ready(nil, 64<<10)
		n := 0
		for _, b := range bufs {
			n += len(b)
		}
		c.Wrote(n)
		if w.total != nil && n > 0 && w.total.Add(int64(n))%w.goal == 0 {
			w.reached <- struct{}{}
		}
	}
	if w.onWake != nil {
		w.onWake()
	}
}

func (w *writer) Resume() { w.woken.Add(1) }

func TestBatchWindowGathersRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New([]Encode{frameFormat(0)}, Options{Workers: 1, Policy: func(channel.Name) channel.Policy {
			p := channel.DefaultPolicy()
			p.BatchWindow = 50 * time.Millisecond
			return p
		}})
		defer h.Close()
		log := newTruth(1, 1)
		h.Open("a")
		h.Fill("a", log.base, nil)
		w := &writer{}
		c, _, err := h.Attach("a", From{}, 0, 0, w)
		if err != nil {
			t.Fatal(err)
		}
		for round := range int64(3) {
			h.Append(log.grow("a", bodyOf(1), 0, false))
			time.Sleep(40 * time.Millisecond)
			h.Append(log.grow("a", bodyOf(2), 0, false))
			synctest.Wait()
			if n := w.woken.Load(); n != round {
				t.Fatalf("woken %d times before the window of round %d was over", n, round)
			}
			time.Sleep(10 * time.Millisecond)
			synctest.Wait()
			if n := w.woken.Load(); n != round+1 || c.At() != log.head() {
				t.Fatalf("after the window: woken %d times, at %d of %d", n, c.At().Offset, log.head().Offset)
			}
			time.Sleep(time.Second)
		}
		h.Append(log.grow("a", bodyOf(3), 0, false)) // armed, then nobody is left
		c.Detach()
		time.Sleep(time.Second)
		if n := w.woken.Load(); n != 3 {
			t.Fatalf("woken %d times", n)
		}
	})
}

func TestWithoutWindowNoTimeGoesBy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, Options{Workers: 1})
		log := newTruth(1, 1)
		h.Open("a")
		h.Fill("a", log.base, nil)
		w := &writer{}
		if _, _, err := h.Attach("a", From{}, 0, 0, w); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		h.Append(log.grow("a", bodyOf(1), 0, false))
		synctest.Wait()
		if w.woken.Load() != 1 || time.Since(began) != 0 {
			t.Fatalf("woken %d times after %v", w.woken.Load(), time.Since(began))
		}
		h.Close()
	})
}

func TestFleetingIsNeverOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, Options{Workers: 1})
		log := newTruth(1, 1)
		h.Open("a")
		h.Fill("a", log.base, nil)
		c := mustAttach(t, h, "a", From{})
		typing := func(i int) {
			h.Append(channel.Record{Channel: "a", Class: channel.Fleeting, Body: bodyOf(i)})
		}
		typing(1)
		time.Sleep(time.Second)
		typing(2)
		time.Sleep(time.Second + time.Millisecond)
		fs, _ := drain(t, c)
		if len(fs) != 1 || fs[0].body != string(bodyOf(2)) || h.Stats().Fleeting != 1 {
			t.Fatalf("given %v, skipped %d", fs, h.Stats().Fleeting)
		}
		for i := range 100 {
			typing(i)
		}
		fs, _ = drain(t, c)
		if len(fs) != sideRecords || fs[0].body != string(bodyOf(36)) || h.Stats().Fleeting != 1+36 {
			t.Fatalf("given %d, skipped %d", len(fs), h.Stats().Fleeting)
		}
		h.Append(log.grow("a", make([]byte, 100), 0, false))
		h.Append(log.grow("a", make([]byte, 100), 0, false))
		typing(7)
		if bufs, more, _ := c.Ready(nil, 1); len(bufs) != 1 || !more {
			t.Fatal("not one record of a small budget")
		}
		if h.Stats().Fleeting != 1+36+1 {
			t.Fatal("a cursor that lags on its turn keeps its fleeting records")
		}
		h.Close()
	})
}

// A flooded room of many does not starve rooms of few: between a small room's record and its subscriber's turn lie at most
// the quanta of the large room's stripes.
func TestFloodedRoomStarvesNobody(t *testing.T) {
	h := newHub(t, Options{Workers: 1, Policy: ringPolicy(100, 1<<20)}, frameFormat(0))
	big := newTruth(1, 1)
	h.Open("big")
	h.Fill("big", big.base, nil)
	const few, rounds = 100, 50
	var logs [few]*truth
	var small [few]*writer
	var visits, rest atomic.Int64
	var asked [few]atomic.Int64
	worst, turns := int64(0), 0
	done := make(chan struct{})
	tell := func(i int) {
		asked[i].Store(visits.Load())
		h.Append(logs[i].grow(channel.Name(fmt.Sprint("small:", i)), bodyOf(1), 0, false))
	}
	for i := range few {
		n := channel.Name(fmt.Sprint("small:", i))
		logs[i], small[i] = newTruth(1, uint64(i)), &writer{}
		small[i].onWake = func() {
			worst = max(worst, visits.Load()-asked[i].Load())
			if turns++; turns == few*rounds {
				close(done)
			}
		}
		h.Open(n)
		h.Fill(n, logs[i].base, nil)
		if _, _, err := h.Attach(n, From{}, 0, 0, small[i]); err != nil {
			t.Fatal(err)
		}
	}
	flood := &writer{}
	flood.onWake = func() { // runs on the only worker
		v := visits.Add(1)
		if turns < few*rounds {
			h.Append(big.grow("big", bodyOf(2), 0, false))
		}
		if v%1000 == 0 && rest.Add(1) <= rounds {
			for i := range few {
				tell(i)
			}
		}
	}
	for range 5000 {
		if _, _, err := h.Attach("big", From{}, 0, 0, flood); err != nil {
			t.Fatal(err)
		}
	}
	h.Append(big.grow("big", bodyOf(2), 0, false))
	<-done
	h.Close()
	if most := int64(2*quantum + quantum); worst > most {
		t.Fatalf("%d visits of the flooded room before a small room's turn, more than %d", worst, most)
	}
	t.Logf("at most %d visits between, %d in all", worst, visits.Load())
}

func TestEncodedOncePerFormat(t *testing.T) {
	var calls [2]atomic.Int64
	counted := func(i int) Encode {
		enc := frameFormat(byte(i))
		return func(dst []byte, r *channel.Record) []byte {
			calls[i].Add(1)
			return enc(dst, r)
		}
	}
	h := newHub(t, Options{Workers: 2, Policy: ringPolicy(50, 1<<20)}, counted(0), counted(1))
	log := newTruth(1, 1)
	h.Open("a")
	h.Fill("a", log.base, nil)
	const subscribers, records, burst, frameBytes = 1000, 400, 25, frameHead + 7
	var sent atomic.Int64
	caughtUp := make(chan struct{})
	for i := range subscribers {
		w := &writer{total: &sent, goal: subscribers * burst * frameBytes, reached: caughtUp}
		if _, _, err := h.Attach("a", From{}, i%2, 0, w); err != nil {
			t.Fatal(err)
		}
	}
	var lagging []*Cursor // read by the test, now and then, and so from the middle of the ring
	for range 10 {
		lagging = append(lagging, mustAttach(t, h, "a", From{}))
	}
	for i := range records {
		h.Append(log.grow("a", []byte("1234567"), 0, false))
		drain(t, lagging[i%len(lagging)])
		if i%burst == burst-1 {
			<-caughtUp
		}
	}
	h.Close()
	for i := range calls {
		if n := calls[i].Load(); n != records {
			t.Errorf("format %d: %d encodings of %d records", i, n, records)
		}
	}
	if s := h.Stats(); s.Losses != 0 || s.Encoded != uint64(calls[0].Load()+calls[1].Load()) {
		t.Errorf("%+v", s)
	}
}

// Cursors that begin in the middle, before and behind what is encoded: still once each, at most 64 KiB a call.
func TestEncodedOnceFromTheMiddle(t *testing.T) {
	calls := 0
	enc := frameFormat(0)
	h := newHub(t, Options{}, func(dst []byte, r *channel.Record) []byte {
		calls++
		return enc(dst, r)
	})
	log := newTruth(1, 1)
	h.Open("a")
	h.Fill("a", log.base, nil)
	const records, body = 500, 1000
	for range records {
		h.Append(log.grow("a", make([]byte, body), 0, false))
	}
	if calls != 0 {
		t.Fatal("somebody encoded before anybody read")
	}
	for _, rewind := range []int{5, 300, 100, 200, 500, 1, 400} {
		c := mustAttach(t, h, "a", From{Rewind: rewind})
		before := calls
		if _, more, _ := c.Ready(nil, 1<<30); calls-before > maxEncode/body+1 || !more && rewind > maxEncode/body+1 && calls-before > rewind {
			t.Fatalf("%d records encoded in one call", calls-before)
		}
		if fs, losses := drain(t, c); len(fs) != rewind || len(losses) != 0 {
			t.Fatalf("%d records and %d losses of %d", len(fs), len(losses), rewind)
		}
	}
	if calls != records {
		t.Fatalf("%d encodings of %d records", calls, records)
	}
}

func TestAllStripesOfALargeRoomAreServed(t *testing.T) {
	h := newHub(t, Options{Workers: 2})
	log := newTruth(1, 1)
	h.Open("a")
	h.Fill("a", log.base, nil)
	const subscribers = 2*maxStripe + 100
	var sent atomic.Int64
	all := make(chan struct{})
	w := &writer{total: &sent, goal: subscribers * (frameHead + 7), reached: all}
	for range subscribers {
		if _, _, err := h.Attach("a", From{}, 0, 0, w); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		h.Append(log.grow("a", []byte("1234567"), 0, false))
		<-all
	}
	h.Close()
	if n := w.woken.Load(); n != 3*subscribers {
		t.Errorf("%d visits for 3 records to %d", n, subscribers)
	}
}

func TestAgainResumes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, Options{Workers: 1})
		var ws [200]writer
		for i := range ws {
			h.Again(&ws[i])
		}
		synctest.Wait()
		for i := range ws {
			if ws[i].woken.Load() != 1 {
				t.Fatalf("%d is resumed %d times", i, ws[i].woken.Load())
			}
		}
		h.Close()
		h.Again(&ws[0])
		h.Close()
	})
}

func TestFillWakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, Options{Workers: 1})
		log := newTruth(1, 1)
		h.Open("a")
		h.Fill("a", log.base, nil)
		w := &writer{}
		c, _, err := h.Attach("a", From{}, 0, 0, w)
		if err != nil {
			t.Fatal(err)
		}
		log.grow("a", bodyOf(1), 0, false)
		other := newTruth(2, 2)
		for i, l := range []*truth{log, log, other} {
			want := []int64{1, 1, 2}[i] // nothing new is no reason to wake anybody
			h.Fill("a", l.base, l.rs)
			synctest.Wait()
			if w.woken.Load() != want || c.At() != l.head() {
				t.Fatalf("fill %d: woken %d times, at %d", i, w.woken.Load(), c.At().Offset)
			}
		}
		h.Close()
	})
}
