package client

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"carillon/channel"
	"carillon/wire"
)

// book is a log of a channel, written in advance.
type book struct {
	name    channel.Name
	start   Position
	records []Record
}

func newBook(epoch uint64, n int) *book {
	b := &book{name: "a:b", start: Position{Epoch: epoch, Tag: epoch * 77}}
	at := b.start
	for i := 1; i <= n; i++ {
		body := fmt.Appendf(nil, "%d", epoch*100_000+uint64(i))
		at = at.Next(body)
		b.records = append(b.records, Record{Channel: b.name, At: at, Time: time.UnixMilli(1), From: "ann", Body: body})
	}
	return b
}

// at is the position behind the record with this offset.
func (b *book) at(offset int) Position {
	if offset == 0 {
		return b.start
	}
	return b.records[offset-1].At
}

// page is the history reply with the records from..to.
func (b *book) page(id uint64, from, to int, more bool) wire.Message {
	return wire.Message{Type: wire.MsgReply, ID: id, Channel: b.name, At: b.at(to), Page: wire.Page{
		Records: b.records[from-1 : to], More: more, Before: b.at(from - 1), Head: b.at(len(b.records)),
	}}
}

// reader is a subscription with all that it handed over, in words.
type reader struct {
	*script
	p   *peer
	sub *Subscription
}

// subscribed starts a client with a subscription after a position, up to the subscribe request.
func subscribed(t *testing.T, o SubscribeOptions) (*reader, wire.Request) {
	r := &reader{script: play(t, Options{})}
	r.p = r.connected()
	go func() {
		sub, err := r.c.Subscribe(t.Context(), "a:b", o)
		r.must(err)
		r.sub = sub
	}()
	return r, r.expect(r.p, wire.ReqSubscribe)
}

func (r *reader) say(ms ...wire.Message) {
	r.Helper()
	for _, m := range ms {
		r.must(r.p.send(m))
	}
}

func (r *reader) live(b *book, from, to int) {
	r.Helper()
	for i := from; i <= to; i++ {
		r.say(wire.Message{Type: wire.MsgRecord, Record: b.records[i-1]})
	}
}

// recovered answers a subscribe: continuity was proved.
func (r *reader) recovered(q wire.Request) {
	r.Helper()
	r.say(wire.Message{Type: wire.MsgReply, ID: q.ID, Channel: "a:b", At: q.At, HasRecovered: true, Recovered: true})
}

// gapped answers a subscribe: records go on after at.
func (r *reader) gapped(q wire.Request, at Position, why channel.Gap) {
	r.Helper()
	g := wire.Gap{From: q.At.Offset + 1, To: at.Offset, Reason: why}
	if voids(why) {
		g = wire.Gap{Reason: why}
	}
	r.say(wire.Message{Type: wire.MsgReply, ID: q.ID, Channel: "a:b", At: at, HasRecovered: true, Gap: g})
}

// events is what waits for the reader: offsets in runs, gaps in brackets.
func (r *reader) events() string {
	synctest.Wait()
	var out []string
	var first, last Position
	flush := func() {
		if first.Offset != 0 {
			out = append(out, fmt.Sprintf("%d-%d", first.Offset, last.Offset))
		}
		first, last = Position{}, Position{}
	}
	for {
		e, ok, err := r.sub.pop()
		switch {
		case !ok && err != nil:
			flush()
			return strings.Join(append(out, err.Error()), " ")
		case !ok:
			flush()
			return strings.Join(out, " ")
		case e.Gap != nil:
			flush()
			out = append(out, fmt.Sprintf("[%d-%d %v]", e.Gap.From, e.Gap.To, e.Gap.Reason))
		case e.Record.At.IsZero():
			flush()
			out = append(out, "~"+string(e.Record.Body))
		default:
			if last.Offset != 0 && e.Record.At.Offset != last.Offset+1 {
				flush()
			}
			if first.Offset == 0 {
				first = e.Record.At
			}
			last = e.Record.At
		}
	}
}

func (r *reader) want(what, events string) {
	r.Helper()
	if got := r.events(); got != events {
		r.Fatalf("%s: handed over %q, want %q", what, got, events)
	}
}

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

// TestSlowReader: at its bound the client leaves the channel, and resumes where the reader stands.
func TestSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBook(1, 60)
		r, q := subscribed(t, SubscribeOptions{After: b.at(10), BufferRecords: 8})
		r.recovered(q)
		r.live(b, 11, 25)
		r.say(wire.Message{Type: wire.MsgRecord, Record: Record{Channel: b.name, Class: channel.Fleeting, Body: []byte("1")}})
		r.expect(r.p, wire.ReqUnsubscribe)
		r.say(wire.Message{Type: wire.MsgPing})
		r.expect(r.p, wire.ReqPong) // the line lives
		synctest.Wait()
		for i := range 6 {
			e, err := r.sub.Next(t.Context())
			r.must(err)
			if e.Record.At != b.at(11+i) {
				t.Fatalf("%+v", e)
			}
		}
		q = r.expect(r.p, wire.ReqSubscribe)
		if q.At != b.at(18) || r.sub.Position() != b.at(16) {
			t.Fatalf("resumes at %v, reader at %v", q.At, r.sub.Position())
		}
		r.gapped(q, b.at(40), channel.GapTooMany)
		h := r.expect(r.p, wire.ReqHistory)
		if h.Limit > 8 {
			t.Fatalf("asks for %d records", h.Limit)
		}
		r.say(b.page(h.ID, 19, 26, true))
		r.live(b, 41, 42)
		synctest.Wait()
		if n := r.sub.queue.len(); n != 10 {
			t.Fatalf("%d events wait", n)
		}
		if n := r.p.unread(); n > 0 {
			t.Fatalf("asks for more than the reader has room for: %d bytes", n)
		}
		r.want("up to here", "17-26")
		for from := 27; from <= 40; from += 7 {
			h = r.expect(r.p, wire.ReqHistory)
			r.say(b.page(h.ID, from, from+6, true))
			if from == 27 {
				r.want("page", "27-33")
			}
		}
		r.say(wire.Message{Type: wire.MsgRecord, Record: Record{Channel: b.name, Class: channel.Fleeting, Body: []byte("2")}})
		r.want("as far as there is room", "34-41")
		r.expect(r.p, wire.ReqUnsubscribe)
		q = r.expect(r.p, wire.ReqSubscribe)
		r.recovered(q)
		r.live(b, 42, 42)
		r.say(wire.Message{Type: wire.MsgRecord, Record: Record{Channel: b.name, Class: channel.Fleeting, Body: []byte("3")}})
		r.want("to the end", "42-42 ~3")
	})
}

// TestSubscriptionEnds: refusals, and what the server takes away.
func TestSubscriptionEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, Options{})
		p := s.connected()
		go func() {
			s.refuse(p, s.expect(p, wire.ReqSubscribe), wire.CodeBusy, 0)
			s.refuse(p, s.expect(p, wire.ReqSubscribe), wire.CodeForbidden, 0)
		}()
		if _, err := s.c.Subscribe(t.Context(), "a:b", SubscribeOptions{}); !errors.Is(err, &Error{Code: wire.CodeForbidden}) {
			t.Fatal(err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		b := newBook(1, 20)
		r, q := subscribed(t, SubscribeOptions{After: b.at(10)})
		r.recovered(q)
		r.live(b, 11, 12)
		synctest.Wait()
		if _, err := r.c.Subscribe(t.Context(), "a:b", SubscribeOptions{}); err != ErrSubscribed {
			t.Fatal(err)
		}
		r.say(wire.Message{Type: wire.MsgUnsubscribed, Channel: "a:b", Code: wire.CodeStateLost})
		q = r.expect(r.p, wire.ReqSubscribe)
		if q.At != b.at(12) {
			t.Fatalf("%+v", q)
		}
		r.recovered(q)
		r.live(b, 13, 13)
		r.say(wire.Message{Type: wire.MsgUnsubscribed, Channel: "a:b", Code: wire.CodeForbidden, Text: "Banned."})
		r.live(b, 14, 14)
		r.want("what came, then the reason", "11-13 "+(&Error{Code: wire.CodeForbidden, Text: "Banned."}).Error())

		// The name is free again.
		go func() {
			r.recovered(r.expect(r.p, wire.ReqSubscribe))
			r.expect(r.p, wire.ReqUnsubscribe)
		}()
		sub, err := r.c.Subscribe(t.Context(), "a:b", SubscribeOptions{After: b.at(13)})
		r.must(err)
		r.must(sub.Close())
		synctest.Wait()
		for range sub.Events(t.Context()) {
			t.Fatal("an event after Close")
		}
		if sub.Err() != ErrClosed {
			t.Fatal(sub.Err())
		}
	})
}

// TestSubscribeIsGivenUp: the answer to a subscribe that nobody waits for any more changes nothing.
func TestSubscribeIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBook(1, 20)
		s := play(t, Options{})
		p := s.connected()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.c.Subscribe(ctx, "a:b", SubscribeOptions{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		late := s.expect(p, wire.ReqSubscribe)
		s.expect(p, wire.ReqUnsubscribe)
		got := make(chan *Subscription)
		go func() {
			sub, err := s.c.Subscribe(t.Context(), "a:b", SubscribeOptions{})
			s.must(err)
			got <- sub
		}()
		q := s.expect(p, wire.ReqSubscribe)
		s.must(p.send(wire.Message{Type: wire.MsgReply, ID: late.ID, Channel: "a:b", At: b.at(3)}))
		s.must(p.send(wire.Message{Type: wire.MsgRecord, Record: b.records[3]}))
		synctest.Wait()
		select {
		case <-got:
			t.Fatal("the answer to another subscribe was taken")
		default:
		}
		s.must(p.send(wire.Message{Type: wire.MsgReply, ID: q.ID, Channel: "a:b", At: b.at(5)}))
		s.must(p.send(wire.Message{Type: wire.MsgRecord, Record: b.records[5]}))
		e, err := (<-got).Next(t.Context())
		s.must(err)
		if e.At() != b.at(6) {
			t.Fatalf("%+v", e)
		}
	})
}

// TestFreshSubscriptionKeepsItsPlace: a subscription without a record of its own resumes where it began.
func TestFreshSubscriptionKeepsItsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBook(1, 20)
		r, q := subscribed(t, SubscribeOptions{Rewind: 5})
		if q.Rewind != 5 || !q.At.IsZero() {
			t.Fatalf("%+v", q)
		}
		r.say(wire.Message{Type: wire.MsgReply, ID: q.ID, Channel: "a:b", At: b.at(7)})
		synctest.Wait()
		r.p.cut()
		r.p = r.connected()
		q = r.expect(r.p, wire.ReqSubscribe)
		if q.At != b.at(7) || q.Rewind != 0 {
			t.Fatalf("%+v", q)
		}
	})
}

func TestHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, Options{})
		b := newBook(1, 20)
		go func() {
			p := s.connected()
			s.expect(p, wire.ReqHistory)
			p.cut()
			p = s.connected()
			s.refuse(p, s.expect(p, wire.ReqHistory), wire.CodeUnavailable, 0)
			h := s.expect(p, wire.ReqHistory)
			if !h.Back || h.Limit != 3 || h.At != b.at(10) {
				t.Errorf("%+v", h)
			}
			s.must(p.send(b.page(h.ID, 8, 10, true)))
			h = s.expect(p, wire.ReqHistory)
			if h.Back || h.Limit != 3 || h.At != b.at(10) {
				t.Errorf("next: %+v", h)
			}
			s.must(p.send(b.page(h.ID, 11, 13, true)))
			h = s.expect(p, wire.ReqHistory)
			if !h.Back || h.At != b.at(7) {
				t.Errorf("previous: %+v", h)
			}
			s.must(p.send(b.page(h.ID, 5, 7, true)))
			s.refuse(p, s.expect(p, wire.ReqHistory), wire.CodeForbidden, 0)
		}()
		page, err := s.c.History(t.Context(), "a:b", HistoryQuery{At: b.at(10), Back: true, Limit: 3})
		s.must(err)
		if len(page.Records) != 3 || page.Records[0].At != b.at(8) || !page.More || page.Head != b.at(20) || page.Gap != nil {
			t.Fatalf("%+v", page)
		}
		next, err := page.Next(t.Context())
		s.must(err)
		prev, err := page.Prev(t.Context())
		s.must(err)
		if next.Records[0].At != b.at(11) || prev.Records[2].At != b.at(7) {
			t.Fatalf("next %+v, previous %+v", next, prev)
		}
		if _, err := page.Next(t.Context()); !errors.Is(err, &Error{Code: wire.CodeForbidden}) {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := page.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
	})
}
