package client

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"carillon/channel"
	"carillon/wire"
)

// TestGapIsFilled: a subscribe reply with a gap; live records are held while two pages are read, and nobody notices.
func TestGapIsFilled(t *testing.T) {
	for _, why := range []channel.Gap{channel.GapTooMany, channel.GapTrimmed, channel.GapSlow} {
		synctest.Test(t, func(t *testing.T) {
			b := newBook(1, 60)
			r, q := subscribed(t, SubscribeOptions{After: b.at(10)})
			if q.At != b.at(10) {
				t.Fatalf("subscribes at %v", q.At)
			}
			r.gapped(q, b.at(50), why)
			r.live(b, 51, 53)
			h := r.expect(r.p, wire.ReqHistory)
			if h.At != b.at(10) || h.Back {
				t.Fatalf("asks for %+v", h)
			}
			r.say(b.page(h.ID, 11, 30, true))
			r.want("first page", "11-30")
			h = r.expect(r.p, wire.ReqHistory)
			r.live(b, 54, 54)
			r.say(b.page(h.ID, 31, 52, true)) // reaches into what is held
			r.want("second page", "31-54")
			r.live(b, 55, 55)
			r.want("live", "55-55")
		})
	}
}

// TestGapThatHistoryLacks: exactly what the log no longer has is said to be missing.
func TestGapThatHistoryLacks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBook(1, 60)
		r, q := subscribed(t, SubscribeOptions{After: b.at(10)})
		r.gapped(q, b.at(50), channel.GapTrimmed)
		r.live(b, 51, 51)
		h := r.expect(r.p, wire.ReqHistory)
		m := b.page(h.ID, 41, 51, false)
		m.Gap = wire.Gap{From: 11, To: 40, Reason: channel.GapTrimmed}
		r.say(m)
		r.want("page", "[11-40 trimmed] 41-51")

		// Nothing at all is left of the next one.
		r.say(wire.Message{Type: wire.MsgGap, Channel: "a:b", Gap: wire.Gap{From: 52, To: 55, Reason: channel.GapSlow}, At: b.at(55)})
		r.live(b, 56, 57)
		h = r.expect(r.p, wire.ReqHistory)
		m = b.page(h.ID, 58, 60, false)
		m.Gap = wire.Gap{From: 52, To: 57, Reason: channel.GapTrimmed}
		r.say(m)
		r.want("page", "[52-55 trimmed] 56-57")
	})
}

// TestGapWithoutHistory: where history may not be read, or is not kept, the gap is said at once.
func TestGapWithoutHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBook(1, 60)
		r, q := subscribed(t, SubscribeOptions{After: b.at(10)})
		r.gapped(q, b.at(50), channel.GapTooMany)
		h := r.expect(r.p, wire.ReqHistory)
		r.live(b, 51, 51)
		r.refuse(r.p, h, wire.CodeForbidden, 0)
		r.want("forbidden", "[11-50 too_many] 51-51")
	})
}

// TestGapIsFilledInTime: history that is refused for the moment is asked again, but not for ever.
func TestGapIsFilledInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBook(1, 60)
		r, q := subscribed(t, SubscribeOptions{After: b.at(10)})
		r.gapped(q, b.at(20), channel.GapTooMany)
		h := r.expect(r.p, wire.ReqHistory)
		r.refuse(r.p, h, wire.CodeBusy, 3*time.Second)
		asked := time.Now()
		h = r.expect(r.p, wire.ReqHistory)
		if d := time.Since(asked); d != 3*time.Second {
			t.Fatalf("asked again after %v", d)
		}
		r.say(b.page(h.ID, 11, 20, true))
		r.want("page", "11-20")
		r.say(wire.Message{Type: wire.MsgGap, Channel: "a:b", Gap: wire.Gap{From: 21, To: 30, Reason: channel.GapSlow}, At: b.at(30)})
		for range maxTries + 1 {
			r.refuse(r.p, r.expect(r.p, wire.ReqHistory), wire.CodeInternal, 0)
		}
		r.live(b, 31, 31)
		r.want("never answered", "[21-30 slow] 31-31")
	})
}

// TestLaterGapExtendsTheFirst: while one gap is filled the server skips again.
func TestLaterGapExtendsTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBook(1, 60)
		r, q := subscribed(t, SubscribeOptions{After: b.at(10)})
		r.gapped(q, b.at(20), channel.GapTooMany)
		r.live(b, 21, 25)
		r.say(wire.Message{Type: wire.MsgGap, Channel: "a:b", Gap: wire.Gap{From: 26, To: 40, Reason: channel.GapSlow}, At: b.at(40)})
		r.live(b, 41, 42)
		h := r.expect(r.p, wire.ReqHistory)
		r.say(b.page(h.ID, 11, 22, true))
		r.want("first page", "11-22")
		h = r.expect(r.p, wire.ReqHistory)
		r.say(b.page(h.ID, 23, 42, false))
		r.want("second page", "23-42")
	})
}

// TestPageCrossesALaterGap: a page that ends where the log ended when it was read says nothing of what came after.
func TestPageCrossesALaterGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBook(1, 60)
		r, q := subscribed(t, SubscribeOptions{After: b.at(10)})
		r.gapped(q, b.at(20), channel.GapTooMany)
		h := r.expect(r.p, wire.ReqHistory)
		r.say(wire.Message{Type: wire.MsgGap, Channel: "a:b", Gap: wire.Gap{From: 21, To: 40, Reason: channel.GapSlow}, At: b.at(40)})
		m := b.page(h.ID, 11, 20, false)
		m.Page.Head = b.at(20)
		r.say(m)
		r.want("the early page", "11-20")
		h = r.expect(r.p, wire.ReqHistory)
		m = b.page(h.ID, 21, 20, false) // and one with nothing at all
		m.Page.Head = b.at(20)
		r.say(m)
		h = r.expect(r.p, wire.ReqHistory)
		r.say(b.page(h.ID, 21, 40, false))
		r.want("the page after it", "21-40")
	})
}

// TestHoldOverflows: more live records than are held: the channel is left, history read to its end, then resumed.
func TestHoldOverflows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBook(1, 1300)
		r, q := subscribed(t, SubscribeOptions{After: b.at(10)})
		r.gapped(q, b.at(100), channel.GapTooMany)
		h := r.expect(r.p, wire.ReqHistory)
		r.live(b, 101, 1100)
		synctest.Wait()
		if n := len(r.c.subs["a:b"].follow.fill.held); n != holdRecords {
			t.Fatalf("%d records are held", n)
		}
		r.live(b, 1101, 1101)
		r.expect(r.p, wire.ReqUnsubscribe)
		r.live(b, 1102, 1103) // were on their way
		r.say(b.page(h.ID, 11, 100, true))
		r.want("up to the gap", "11-100")
		h = r.expect(r.p, wire.ReqHistory)
		r.say(b.page(h.ID, 101, 600, true))
		r.want("beyond it", "101-600")
		h = r.expect(r.p, wire.ReqHistory)
		r.say(b.page(h.ID, 601, 1100, true))
		r.want("beyond it", "601-1100")
		h = r.expect(r.p, wire.ReqHistory)
		r.say(b.page(h.ID, 1101, 1200, false))
		q = r.expect(r.p, wire.ReqSubscribe)
		if q.At != b.at(1200) {
			t.Fatalf("resumes at %v", q.At)
		}
		r.recovered(q)
		r.live(b, 1201, 1201)
		r.want("live again", "1101-1201")
	})
}

// TestEpoch: the log was lost. That is said once, then the new log is read from its start.
func TestEpoch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, after := newBook(1, 10), newBook(2, 30)
		r, q := subscribed(t, SubscribeOptions{After: b.at(10)})
		r.gapped(q, after.at(20), channel.GapEpoch)
		h := r.expect(r.p, wire.ReqHistory)
		if !h.At.IsZero() {
			t.Fatalf("reads the new log from %v", h.At)
		}
		r.p.cut() // before a page came: still the old position
		r.p = r.connected()
		q = r.expect(r.p, wire.ReqSubscribe)
		if q.At != b.at(10) {
			t.Fatalf("resumes at %v", q.At)
		}
		r.gapped(q, after.at(20), channel.GapEpoch)
		h = r.expect(r.p, wire.ReqHistory)
		r.live(after, 21, 21)
		r.say(after.page(h.ID, 6, 15, true))
		h = r.expect(r.p, wire.ReqHistory)
		r.say(after.page(h.ID, 16, 22, true))
		r.want("new log", "[0-0 epoch] [1-5 trimmed] 6-21")

		// The same on a live line, to an empty log.
		empty := newBook(3, 3)
		r.say(wire.Message{Type: wire.MsgGap, Channel: "a:b", Gap: wire.Gap{Reason: channel.GapEpoch}, At: empty.at(0)})
		r.live(empty, 1, 2)
		r.want("empty log", "[0-0 epoch] 1-2")
		if r.sub.Position() != empty.at(2) {
			t.Fatal(r.sub.Position())
		}
	})
}

// TestPageOfAnotherTime: a page asked for before the log was lost is not taken for one of the new log.
func TestPageOfAnotherTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, after := newBook(1, 30), newBook(2, 30)
		r, q := subscribed(t, SubscribeOptions{After: b.at(10)})
		r.gapped(q, b.at(20), channel.GapTooMany)
		early := r.expect(r.p, wire.ReqHistory)
		r.say(wire.Message{Type: wire.MsgGap, Channel: "a:b", Gap: wire.Gap{Reason: channel.GapEpoch}, At: after.at(5)})
		h := r.expect(r.p, wire.ReqHistory)
		r.say(b.page(early.ID, 11, 20, false))
		r.say(after.page(h.ID, 1, 5, false))
		r.live(after, 6, 6)
		r.want("the new log", "[0-0 epoch] 1-6")
	})
}

// TestDiverged: the log has another past. That is said, and nothing is read again.
func TestDiverged(t *testing.T) {
	for _, why := range []channel.Gap{channel.GapDiverged, channel.GapAhead} {
		synctest.Test(t, func(t *testing.T) {
			b := newBook(1, 10)
			other := newBook(2, 30)
			for i := range other.records {
				other.records[i].At.Epoch = 1
			}
			r, q := subscribed(t, SubscribeOptions{After: b.at(10)})
			r.gapped(q, other.at(8), why)
			r.live(other, 9, 11)
			r.want("diverged", fmt.Sprintf("[0-0 %v] 9-11", why))
		})
	}
}

// TestForeignRecordIsDoubted: a record that does not continue the chain is not handed over; the server is asked.
func TestForeignRecordIsDoubted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, foreign := newBook(1, 20), newBook(2, 20)
		r, q := subscribed(t, SubscribeOptions{After: b.at(10)})
		r.recovered(q)
		r.live(b, 11, 12)
		r.live(b, 11, 12) // again
		r.want("once", "11-12")
		for _, bad := range []Record{
			foreign.records[12], // another epoch
			{Channel: b.name, At: b.at(13), Body: []byte("9")},                               // a body that does not belong there
			{Channel: b.name, At: Position{Epoch: 1, Offset: 12, Tag: 5}, Body: []byte("9")}, // another tag
		} {
			r.say(wire.Message{Type: wire.MsgRecord, Record: bad})
			r.expect(r.p, wire.ReqUnsubscribe)
			q = r.expect(r.p, wire.ReqSubscribe)
			if q.At != b.at(12) {
				t.Fatalf("resumes at %v", q.At)
			}
			r.want("doubted", "")
			r.sub.follow.tries, r.sub.follow.doubts = 0, 0
			r.recovered(q)
		}
		r.live(b, 13, 14)
		r.want("and goes on", "13-14")

		// A server that vouches for the position and sends such a record again: the break is in the log, and is said.
		bad := wire.Message{Type: wire.MsgRecord, Record: Record{Channel: b.name, At: b.at(15), Body: []byte("9")}}
		r.say(bad)
		r.expect(r.p, wire.ReqUnsubscribe)
		r.recovered(r.expect(r.p, wire.ReqSubscribe))
		r.say(bad)
		r.live(b, 16, 16)
		r.want("broken", "[0-0 diverged] 15-16")

		// Erased records keep their place in the chain, and holes prove nothing.
		r.say(wire.Message{Type: wire.MsgRecord, Record: Record{Channel: b.name, At: b.at(17)}})
		r.live(b, 19, 20)
		r.want("erased, and one held back", "17-17 19-20")
	})
}
