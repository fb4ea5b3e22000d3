package bench

import (
	"bytes"
	"fmt"

	"carillon/channel"
	"carillon/wire"
)

// Services that groups may talk through, by the names of their namespaces.
const (
	chatService    = "chat"
	counterService = "counter"
)

// What a chat answers to somebody who wants to enter a room.
const (
	chatNoRoom = 6
	chatExists = 7
)

// sequel is one message of a crowd.
type sequel struct {
	channel, publisher int
	seq                uint32
}

// Commands that let somebody in.
const (
	joinRoom   = `{"do":"join"}`
	createRoom = `{"do":"create","title":"Bench","public":true}`
	addOne     = `{"do":"add","by":1}`
)

// entrances are what services want first of who will subscribe. A counter can be read once something was added.
var entrances = map[string]string{chatService: joinRoom, counterService: addOne}

// enter has a line do what lets it in.
func (e *engine) enter(l *line, body string) {
	l.state = entering
	now := e.now()
	e.ask(&question{line: l, to: l.crowd.names[l.channel], body: []byte(body), purpose: toEnter, due: now})
}

// entered goes on with a line that has its answer: the first of a room creates it, and whoever is too late with that joins.
func (e *engine) entered(l *line, q *question, m *wire.Message) error {
	if l.state != entering {
		return nil
	}
	if q.then != nil {
		return q.then(m)
	}
	switch m.Refused {
	case 0:
		if v, _, ok := numberAfter(m.Body, counterValue); ok {
			l.newest, l.marked = v, v
		}
		e.subscribe(l)
	case chatNoRoom:
		e.enter(l, createRoom)
	case chatExists:
		e.enter(l, joinRoom)
	default:
		return fmt.Errorf("%s refuses %s: %s", q.to, q.body, m.Body)
	}
	return nil
}

// service handles a data frame of a line that talks to a service.
func (e *engine) service(l *line, b []byte, now int64) (isRecord bool, err error) {
	d := e.d.(commander)
	if r, ok := d.record(b); ok {
		e.noticed(l, &r, now)
		return true, nil
	}
	ms, err := d.messages(b)
	if err != nil {
		return false, fmt.Errorf("cannot read a message of the server: %w", err)
	}
	for i := range ms {
		m := &ms[i]
		if m.Type == wire.MsgConnected {
			l.user = m.Hello.User
		}
		switch {
		case m.ID > firstCommandID:
			err = e.answer(l, m, now)
		case m.Type == wire.MsgUnsubscribed:
			err = fmt.Errorf("the server ended the subscription of %s: %s", m.Channel, m.Text)
		default:
			h := understand(m)
			if h.kind == kindPing {
				h.answer = d.pong()
			}
			_, err = e.understood(l, h, now)
		}
		if err != nil || l.fd < 0 {
			return false, err
		}
	}
	return false, nil
}

// noticed judges a record of a service.
func (e *engine) noticed(l *line, r *serviceRecord, now int64) {
	c := &e.mark.Count
	switch {
	case r.class == channel.Latest:
		c.Latest++
		e.summary(l, r.body, c)
	case r.class == channel.Fleeting:
		e.receipt(l, r.body, now)
	case l.crowd.Service == counterService:
		e.counted(l, r.body, c, now)
	case l.crowd.Service == chessService:
		e.moved(l, r.body, c, now)
	default:
		e.chatted(l, r.body, c, now)
	}
}

// summary judges what a room says of its newest message: some may be left out, but none comes after a newer one.
func (e *engine) summary(l *line, body []byte, c *Count) {
	n, _, ok := numberAfter(body, chatSummary)
	if !ok {
		return // settings, or of another service
	}
	if n <= l.summed {
		c.Twice++
	}
	l.summed = max(l.summed, n)
}

// Beginnings of the records that are judged.
var (
	chatMessage  = []byte(`{"type":"message","n":`)
	chatText     = []byte(`,"text":`)
	chatSummary  = []byte(`{"n":`)
	counterBy    = []byte(`{"by":1,"value":`)
	counterValue = []byte(`{"value":`)
)

// chatted judges a record of a room; messages have a stamp as their text, of the others there are few.
func (e *engine) chatted(l *line, body []byte, c *Count, now int64) {
	n, rest, ok := numberAfter(body, chatMessage)
	if !ok {
		e.mark.Others++
		return
	}
	if !bytes.HasPrefix(rest, chatText) || len(rest) < len(chatText)+e.setup.Payload {
		c.Foreign++
		return
	}
	s, err := readStamp(rest[len(chatText) : len(chatText)+e.setup.Payload])
	if err != nil {
		c.Foreign++
		return
	}
	if n <= l.newest { // the room numbers its messages
		c.Twice++
	}
	l.newest = max(l.newest, n)
	g := l.crowd
	l.ledger.receipt(&s, c)
	record(e.hist, now-s.Due)
	if s.Channel != l.channel || !g.whole[s.Channel] {
		return
	}
	k := sequel{s.Channel, s.Publisher, s.Seq}
	if g.seen[k]++; g.seen[k] == g.Members {
		delete(g.seen, k)
		record(e.asks.whole, now-s.Due)
	}
}

// counted judges a record of a counter: each is one more than the one before.
func (e *engine) counted(l *line, body []byte, c *Count, now int64) {
	v, _, ok := numberAfter(body, counterBy)
	switch {
	case !ok:
		c.Foreign++
	case v == l.newest+1:
		c.Delivered++
	case v <= l.newest:
		c.Twice++
	default:
		c.Lost += v - l.newest - 1
		c.Delivered++
	}
	l.newest = max(l.newest, v)
}

// numberAfter reads a number that follows a beginning.
func numberAfter(b, lead []byte) (n uint64, rest []byte, ok bool) {
	rest, ok = bytes.CutPrefix(b, lead)
	if !ok {
		return 0, nil, false
	}
	digits := 0
	for digits < len(rest) && rest[digits] >= '0' && rest[digits] <= '9' {
		n = 10*n + uint64(rest[digits]-'0')
		digits++
	}
	return n, rest[digits:], digits > 0
}

// What a schedule does.
const (
	actPublish = ""     // plain records
	actSend    = "send" // messages of a chat
	actMark    = "mark" // say how far was read
	actAdd     = "add"  // one to a counter
	actMove    = "move" // in a game
)

// act does what a schedule of commands says, for one publisher.
func (e *engine) act(t *talk, c, p int, l *line, due int64) {
	g := t.g
	switch t.act {
	case actSend:
		s := stamp{Group: g.index, Channel: c, Publisher: p, Seq: g.sent[c][p], Due: due}
		g.sent[c][p]++
		e.mark.Published++
		body := s.append([]byte(`{"do":"send","text":`), e.setup.Payload)
		e.ask(&question{line: l, to: g.names[c], body: append(body, '}'), purpose: toSend, seq: s.Seq, due: due})
	case actMark:
		if l.newest == l.marked {
			return // nothing new to him
		}
		l.marked = l.newest
		body := fmt.Appendf(nil, `{"do":"read","room":"%s","n":%d}`, g.names[c], l.marked)
		e.ask(&question{line: l, to: listOf(l.user), body: body, purpose: toMark, due: due})
	case actAdd:
		e.add(g, c, l, due, nil)
	case actMove:
		e.move(g.matches[c], due)
	}
}

// add adds one to a counter.
func (e *engine) add(g *crowd, c int, l *line, due int64, p *pump) {
	g.sent[c][l.place]++
	e.mark.Published++
	e.ask(&question{line: l, to: g.names[c], body: []byte(addOne), purpose: toAdd, due: due, pump: p})
}

// listOf is the channel of a user's own list. Users of the generator have plain names, which stand there as they are.
func listOf(user string) channel.Name { return channel.Name("chat:me:" + user) }

// owes is how many records a line of a service lacks of what its channel's publishers sent.
func (l *line) owes(sent []uint32) uint64 {
	switch l.crowd.Service {
	case "":
		return l.ledger.owed(sent)
	case chatService:
		if l.summed != l.newest {
			return l.ledger.owed(sent) + 1
		}
		return l.ledger.owed(sent)
	case chessService:
		return uint64(l.crowd.matches[l.channel].sent) - l.newest
	}
	all := uint64(0)
	for _, n := range sent {
		all += uint64(n)
	}
	return all - min(all, l.newest-l.marked)
}
