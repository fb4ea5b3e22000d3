package gateway

import (
	"context"
	"errors"
	"sync"
	"time"

	"carillon/bus"
	"carillon/channel"
	"carillon/gateway/session"
	"carillon/journal"
	"carillon/wire"
)

// Publish sends a record on its way by its class. Logged and Latest: done after it is true, with the tier of its journal.
// Fleeting: told to whoever listens now, and done at once. done only enqueues.
func (g *Gateway) Publish(r channel.Record, done func(session.Ack, error)) {
	switch r.Class {
	case channel.Logged, channel.Latest:
		j := g.o.Journal(r.Channel)
		tier := wire.Ack(j.Tier())
		j.Append(r, func(at channel.Position, err error) {
			if err != nil {
				done(session.Ack{}, publicError(err))
				return
			}
			done(session.Ack{Level: tier, At: at}, nil)
		})
	case channel.Fleeting:
		r.Time = g.o.Clock().Truncate(time.Millisecond)
		g.o.Feed.Carry([]channel.Record{r})
		done(session.Ack{Level: wire.AckAccepted}, nil)
	}
}

// page is what distinct readers can share an answer of.
type page struct {
	channel channel.Name
	query   journal.Query
}

// flights are the pages that wait to be read, and who waits for each.
type flights struct {
	mu      sync.Mutex
	waiting map[page][]func(session.Page, error)
}

// Read answers with a page of history from another goroutine. Equal questions that wait for their turn share one read;
// none shares a read that began before it was asked, so everybody finds what was acknowledged to him.
func (g *Gateway) Read(n channel.Name, q session.Query, done func(session.Page, error)) {
	key := page{channel: n, query: journal.Query{After: q.After, Back: q.Back, Limit: q.Limit}}
	g.flights.mu.Lock()
	others, queued := g.flights.waiting[key]
	g.flights.waiting[key] = append(others, done)
	g.flights.mu.Unlock()
	if !queued && !g.crew.do(func() { g.land(key) }) {
		for _, done := range g.flights.take(key) {
			done(session.Page{}, publicError(journal.ErrClosed))
		}
	}
}

func (g *Gateway) land(key page) {
	waiting := g.flights.take(key)
	ctx, cancel := g.readContext()
	defer cancel()
	p, err := g.o.Journal(key.channel).Read(ctx, key.channel, key.query)
	if err != nil {
		err = publicError(err)
	}
	for _, done := range waiting {
		done(session.Page{Records: p.Records, Base: p.Base, Head: p.Head, More: p.More, Gap: p.Gap}, err)
	}
}

func (f *flights) take(key page) []func(session.Page, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	waiting := f.waiting[key]
	delete(f.waiting, key)
	return waiting
}

// publicError gives an error of a journal its code; one that has none is told to clients as "internal".
func publicError(err error) error {
	for _, known := range []struct {
		err  error
		code wire.Code
	}{
		{journal.ErrReuse, wire.CodeIDReuse},
		{journal.ErrUnknown, wire.CodeUnknown},
		{journal.ErrUnconfirmed, wire.CodeUnconfirmed},
		{journal.ErrFull, wire.CodeStorageFull},
		{journal.ErrBusy, wire.CodeBusy},
		{journal.ErrClosed, wire.CodeUnavailable},
		{journal.ErrUnavailable, wire.CodeUnavailable},
		{journal.ErrClass, wire.CodeUnsupported},
		{journal.ErrEmpty, wire.CodeBadRequest},
		{journal.ErrOwned, wire.CodeForbidden},
		{context.DeadlineExceeded, wire.CodeUnavailable},
		{bus.ErrNoService, wire.CodeNoService},
		{bus.ErrBusy, wire.CodeBusy},
		{bus.ErrUnanswered, wire.CodeUnconfirmed},
		{bus.ErrClosed, wire.CodeUnavailable},
		{bus.ErrUnavailable, wire.CodeUnavailable},
		{bus.ErrStopped, wire.CodeStopped},
		{bus.ErrFailed, wire.CodeFailed},
	} {
		if errors.Is(err, known.err) {
			return &wire.Error{Code: known.code}
		}
	}
	return err
}
