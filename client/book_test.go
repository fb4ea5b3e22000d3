package client

import (
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
