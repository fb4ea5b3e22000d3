package hub

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"unsafe"

	"carillon/channel"
)

// Away for one record less than the ring holds, for as many, and for one more: an exact suffix, an exact suffix, a Miss.
// The ring has wrapped round many times; it is bounded by count, or by bytes.
func TestWindowEdges(t *testing.T) {
	const window = 100
	for i, policy := range []func(channel.Name) channel.Policy{ringPolicy(window, 1<<20), ringPolicy(10*window, window*7)} {
		for _, away := range []int{window - 1, window, window + 1} {
			t.Run([]string{"records", "bytes"}[i]+fmt.Sprint(away), func(t *testing.T) {
				h := newHub(t, Options{Policy: policy})
				log := newTruth(3, 9)
				h.Open("a")
				h.Fill("a", log.base, nil)
				tell := func(n int) {
					for range n {
						h.Append(log.grow("a", []byte("1234567"), 0, false))
					}
				}
				tell(1234)
				left := log.head()
				slow := mustAttach(t, h, "a", From{})
				tell(away)
				c, start, err := h.Attach("a", From{After: left}, 0, 0, nobody{})
				var miss *Miss
				if away > window {
					if !errors.As(err, &miss) || miss.Gap != channel.GapTrimmed || miss.Head != log.head() || miss.Base != log.at(log.head().Offset-window) {
						t.Fatalf("attach: %+v, %v", miss, err)
					}
					fs, losses := drain(t, slow)
					want := Loss{From: left.Offset + 1, To: log.head().Offset, At: log.head(), Reason: channel.GapSlow}
					if len(fs) != 0 || len(losses) != 1 || losses[0] != want {
						t.Fatalf("%d records, losses %+v", len(fs), losses)
					}
					return
				}
				if err != nil || start.At != left || start.Head != log.head() {
					t.Fatalf("attach: %+v, %v", start, err)
				}
				for _, c := range []*Cursor{c, slow} {
					fs, losses := drain(t, c)
					if len(fs) != away || len(losses) != 0 || fs[0].offset != left.Offset+1 || c.At() != log.head() {
						t.Fatalf("%d records, losses %+v", len(fs), losses)
					}
				}
			})
		}
	}
}

func TestWaitingRoomKeepsRecordsAside(t *testing.T) {
	h := newHub(t, Options{Policy: ringPolicy(10, 1<<20)})
	log := newTruth(1, 1)
	for i := range 20 {
		log.grow("a", bodyOf(i), 0, false)
	}
	if h.Append(log.record(1)) != NeedNone || h.Expect("a", log.head()) != NeedNone {
		t.Fatal("something is needed of a channel nobody knows")
	}
	if !h.Open("a") || h.Open("a") {
		t.Fatal("a room opens once")
	}
	if _, _, err := h.Attach("a", From{}, 0, 0, nobody{}); !errors.Is(err, ErrPending) {
		t.Fatalf("attach to a waiting room: %v", err)
	}
	for o := uint64(6); o <= 20; o++ {
		if h.Append(log.record(o)) != NeedNone {
			t.Fatal("a waiting room is read anyway")
		}
	}
	// Of 6 to 20 the ring's bound kept 11 to 20: with a read up to 8, 9 and 10 are missing.
	if need := h.Fill("a", log.at(0), log.rs[:8]); need != NeedHole {
		t.Fatalf("need %d", need)
	}
	if h.Stats().Aside != 5 {
		t.Fatalf("%d dropped", h.Stats().Aside)
	}
	if need := h.Append(log.record(9)); need != NeedHole {
		t.Fatalf("need %d", need)
	}
	if need := h.Append(log.record(10)); need != NeedNone {
		t.Fatalf("need %d", need)
	}
	if base, head, ok := h.Head("a"); !ok || base != log.at(10) || head != log.head() {
		t.Fatalf("%v..%v", base.Offset, head.Offset)
	}
}

func TestAnotherPastReplacesTheRing(t *testing.T) {
	for _, test := range []struct {
		name  string
		epoch uint64
		want  channel.Gap
	}{{"epoch", 2, channel.GapEpoch}, {"diverged", 1, channel.GapDiverged}} {
		t.Run(test.name, func(t *testing.T) {
			h := newHub(t, Options{})
			log := newTruth(1, 1)
			h.Open("a")
			h.Fill("a", log.base, nil)
			c := mustAttach(t, h, "a", From{})
			for i := range 10 {
				h.Append(log.grow("a", bodyOf(i), 0, false))
			}
			bufs, _, _ := c.Ready(nil, 1<<20) // under way while the ring is replaced
			other := newTruth(test.epoch, 2)
			for i := range 12 {
				other.grow("a", bodyOf(100+i), 0, false)
			}
			if need := h.Append(other.record(5)); need != NeedDiverged {
				t.Fatalf("need %d", need)
			}
			if need := h.Fill("a", other.base, other.rs); need != NeedNone {
				t.Fatalf("need %d", need)
			}
			if cut := c.Wrote(len(bufs[0]) - 3); string(cut) != string(bufs[0][len(bufs[0])-3:]) {
				t.Fatalf("cut %q", cut)
			}
			if at := c.At(); at != log.head() {
				t.Fatalf("at %+v of a log that is gone", at)
			}
			fs, losses := drain(t, c)
			want := Loss{From: 1, To: 12, At: other.head(), Reason: test.want}
			if len(fs) != 0 || len(losses) != 1 || losses[0] != want {
				t.Fatalf("%d records, losses %+v", len(fs), losses)
			}
		})
	}
}

// The journal went back behind everything the ring holds: only after a divergence was seen is that believed.
func TestStretchBelowTheRing(t *testing.T) {
	h := newHub(t, Options{Policy: ringPolicy(5, 1<<20)})
	log := newTruth(1, 1)
	for i := range 30 {
		log.grow("a", bodyOf(i), 0, false)
	}
	h.Open("a")
	h.Fill("a", log.base, log.rs)
	if need := h.Fill("a", log.base, log.rs[:10]); need != NeedNone {
		t.Fatalf("need %d", need)
	}
	if _, head, _ := h.Head("a"); head != log.head() {
		t.Fatal("an old read replaced the ring")
	}
	if need := h.Expect("a", log.at(10)); need != NeedDiverged {
		t.Fatalf("need %d", need)
	}
	h.Fill("a", log.base, log.rs[:10])
	if _, head, _ := h.Head("a"); head != log.at(10) {
		t.Fatal("the ring did not go back with the journal")
	}
}

func TestBudgetIsKeptAndReturned(t *testing.T) {
	const budget = 1 << 20
	h := newHub(t, Options{Workers: 1, Budget: budget})
	var logs [20]*truth
	var cs [20]*Cursor
	names := [20]channel.Name{}
	for i := range logs {
		names[i], logs[i] = channel.Name(fmt.Sprint("b:", i)), newTruth(1, 1)
		h.Open(names[i])
		h.Fill(names[i], logs[i].base, nil)
		cs[i] = mustAttach(t, h, names[i], From{})
	}
	for round := range 400 {
		for i := range logs {
			if i > 0 && round > 50 {
				break // one room goes on alone, the others hold what they have
			}
			h.Append(logs[i].grow(names[i], []byte(strings.Repeat("x", 1000)), 0, false))
			h.Append(channel.Record{Channel: names[i], Class: channel.Fleeting, Body: []byte("typing")})
			drain(t, cs[i])
			if used := h.Stats().Bytes; used > budget+budget/8+2*maxSegment {
				t.Fatalf("%d bytes of a budget of %d", used, budget)
			}
		}
	}
	h.Append(logs[3].grow(names[3], nil, 0, false))
	logs[3].grow(names[3], nil, 0, false)
	h.Append(logs[3].grow(names[3], nil, 0, false)) // stays aside
	h.relieve()
	if s := h.Stats(); s.Cut == 0 || s.Bytes > budget {
		t.Fatalf("%+v", s)
	}
	for i := range logs {
		if h.Drop(names[i]) {
			t.Fatal("a room with a cursor was dropped")
		}
		cs[i].Detach()
		if !h.Drop(names[i]) || h.Drop(names[i]) {
			t.Fatal("an empty room is dropped once")
		}
	}
	if s := h.Stats(); s.Bytes != 0 || s.Rooms != 0 || s.Cursors != 0 {
		t.Fatalf("%+v", s)
	}
}

func TestSizes(t *testing.T) {
	if n := unsafe.Sizeof(Cursor{}); n > 128 {
		t.Errorf("a cursor takes %d bytes", n)
	}
	if n := unsafe.Sizeof(room{}); n > 192 {
		t.Errorf("a room takes %d bytes", n)
	}
}

func TestDeliveryAllocatesNothing(t *testing.T) {
	h := newHub(t, Options{})
	log := newTruth(1, 1)
	h.Open("a")
	h.Fill("a", log.base, nil)
	const subscribers = 64
	var cs [subscribers]*Cursor
	for i := range cs {
		c, _, err := h.Attach("a", From{}, 0, uint64(i), nobody{})
		if err != nil {
			t.Fatal(err)
		}
		cs[i] = c
	}
	for i := range 10 {
		h.Append(log.grow("a", bodyOf(i), 3, i%2 == 0))
	}
	dst := make([][]byte, 0, 16)
	drain(t, cs[0]) // encodes
	i := 1
	if n := testing.AllocsPerRun(subscribers-2, func() {
		bufs, _, _ := cs[i].Ready(dst, 64<<10)
		size := 0
		for _, b := range bufs {
			size += len(b)
		}
		cs[i].Wrote(size)
		i++
	}); n != 0 {
		t.Errorf("%v allocations a delivery", n)
	}
	for i, c := range cs {
		if c.At() != log.head() {
			t.Errorf("cursor %d was given nothing", i)
		}
	}
}

// What a quiet room hoards is cut to its share when another one brings the node over its budget.
func TestHoardIsCutToItsShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New([]Encode{frameFormat(0)}, Options{Workers: 1, Budget: 1 << 20})
		defer h.Close()
		fill := func(n channel.Name, records int) {
			log := newTruth(1, 1)
			h.Open(n)
			h.Fill(n, log.base, nil)
			for range records {
				h.Append(log.grow(n, make([]byte, 1000), 0, false))
				synctest.Wait()
			}
		}
		fill("hoard", 950)
		fill("b", 200)
		fill("c", 200)
		for _, n := range []channel.Name{"b", "c"} {
			if base, head, _ := h.Head(n); head.Offset-base.Offset != 200 {
				t.Errorf("%s was cut to %d records while another room hoards", n, head.Offset-base.Offset)
			}
		}
		if s := h.Stats(); s.Bytes > 1<<20 {
			t.Errorf("%+v", s)
		}
	})
}
