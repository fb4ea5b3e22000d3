package client

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"carillon/channel"
	"carillon/wire"
)

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
