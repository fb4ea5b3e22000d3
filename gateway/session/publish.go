package session

import (
	"bytes"
	"fmt"

	"carillon/channel"
	"carillon/gateway/auth"
	"carillon/observe"
	"carillon/wire"
)

// publish hands a record on; the reply says what its acknowledgement is worth.
func (s *Session) publish(r *wire.Request) {
	if !s.may(auth.Publish, r) || !s.writes(r) || !s.fits(r) || !s.begin(r) {
		return
	}
	id := r.ID
	if !s.sv.o.Pressure.Allow(r.Class) {
		s.answer(id, &wire.Message{Type: wire.MsgReply, Ack: wire.AckAccepted}, nil)
		return
	}
	came := observe.Moment()
	s.sv.o.Backend.Publish(channel.Record{
		ID: r.Idem, Age: r.Age, Channel: r.Channel, Class: r.Class, Key: r.Key,
		From: s.user(), Origin: s.origin(), NoEcho: r.NoEcho, Binary: r.Binary, Body: bytes.Clone(r.Body),
		Came: came,
	}, func(ack Ack, err error) {
		s.sv.counts.acked(ack.Level, came)
		s.answer(id, &wire.Message{Type: wire.MsgReply, Ack: ack.Level, At: ack.At}, err)
	})
}

// fits checks a body against the policy of its channel and the token, and answers the request if it is too large.
func (s *Session) fits(r *wire.Request) bool {
	s.mu.Lock()
	token := s.who.Limits.Body
	s.mu.Unlock()
	bound := least(s.sv.o.Backend.Policy(r.Channel).MaxBody, token)
	if bound == 0 || len(r.Body) <= bound {
		return true
	}
	s.sv.counts.limited("body")
	s.fail(r.ID, &wire.Error{Code: wire.CodeTooLarge, Text: fmt.Sprintf("The body has %d bytes; channel %s takes %d from this connection.", len(r.Body), r.Channel, bound)})
	return false
}

// command asks a service.
func (s *Session) command(r *wire.Request) {
	if !s.may(auth.Command, r) || !s.fits(r) || !s.begin(r) {
		return
	}
	id, trip := r.ID, s.measured()
	s.promise(id)
	s.sv.o.Backend.Command(channel.Command{
		ID: r.Idem, Age: r.Age, Channel: r.Channel, User: s.user(), Origin: s.origin(), Trip: trip, Binary: r.Binary, Body: bytes.Clone(r.Body),
	}, func(reply channel.Reply, level wire.Ack, err error) {
		s.answer(id, &wire.Message{Type: wire.MsgReply, Ack: level, At: reply.At, Refused: reply.Code, Body: reply.Body}, err)
	})
}

// keeps asks the policy of a channel whether clients may look back, and answers the request if they may not.
func (s *Session) keeps(r *wire.Request) bool {
	if !s.sv.o.Backend.Policy(r.Channel).NoHistory {
		return true
	}
	s.fail(r.ID, &wire.Error{Code: wire.CodeForbidden, Text: "Channel " + string(r.Channel) + " has no history for clients."})
	return false
}

// history reads a page.
func (s *Session) history(r *wire.Request) {
	if !s.may(auth.History, r) || !s.keeps(r) || !s.begin(r) {
		return
	}
	id, n, q := r.ID, r.Channel, Query{After: r.At, Back: r.Back, Limit: r.Limit}
	s.granted(n, id, func() {
		s.sv.o.Backend.Read(n, q, func(p Page, err error) {
			s.answer(id, pageMessage(n, q, p), err)
		})
	})
}

// pageMessage puts a page on the wire. At is where forward paging goes on, Before where backward paging does.
func pageMessage(n channel.Name, q Query, p Page) *wire.Message {
	m := &wire.Message{
		Type: wire.MsgReply, Channel: n, At: p.Base,
		Page: wire.Page{Records: p.Records, More: p.More, Before: p.Base, Head: p.Head},
	}
	if len(p.Records) > 0 {
		m.At = p.Records[len(p.Records)-1].At
	}
	if p.Gap != channel.GapNone {
		m.Gap = wire.Gap{Reason: p.Gap}
		if p.Gap == channel.GapTrimmed && !q.Back {
			m.Gap.From, m.Gap.To = q.After.Offset+1, p.Base.Offset
		}
	}
	return m
}
