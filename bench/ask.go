package bench

import (
	"bytes"
	"fmt"
	"time"

	"carillon/channel"
	"carillon/wire"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Commands is what was asked of a service, and how it was answered. Counts are since the connections were opened.
type Commands struct {
	Asked     uint64 `json:"asked"`     // each once, however often it was sent
	Answered  uint64 `json:"answered"`  // finally
	Resent    uint64 `json:"resent"`    // sent once more on purpose, under the same id
	Identical uint64 `json:"identical"` // of those, answered with the first reply
	Differing uint64 `json:"differing"` // of those, answered with another one
	Retried   uint64 `json:"retried"`   // sent again because the server asked for it
	Refused   uint64 `json:"refused"`   // by the service or the server
	Open      uint64 `json:"open"`      // still without an answer
	Refusal   string `json:"refusal,omitempty"`
}

func (c *Commands) add(d *Commands) {
	c.Asked += d.Asked
	c.Answered += d.Answered
	c.Resent += d.Resent
	c.Identical += d.Identical
	c.Differing += d.Differing
	c.Retried += d.Retried
	c.Refused += d.Refused
	c.Open += d.Open
	if d.Refusal != "" {
		c.Refusal = d.Refusal
	}
}

// Err is nil where every command was answered, and every resend like the first time.
func (c *Commands) Err() error {
	if c.Differing == 0 && c.Open == 0 && c.Refused == 0 {
		return nil
	}
	return fmt.Errorf("commands went wrong: %d resends were answered differently, %d commands never, %d refused %s", c.Differing, c.Open, c.Refused, c.Refusal)
}

// commander is a dialect in which services can be asked.
type commander interface {
	command(dst []byte, id uint64, n channel.Name, idem string, age time.Duration, body []byte) []byte
	// record takes a record apart; not ok for all other frames.
	record(b []byte) (r serviceRecord, ok bool)
	messages(b []byte) ([]wire.Message, error)
	pong() []byte
}

// serviceRecord is a record as far as the generator looks at it. The body is valid as long as the frame.
type serviceRecord struct {
	class channel.Class
	body  []byte
}

// purpose is what a question is about.
type purpose uint8

const (
	toEnter purpose = iota // a room, before the line counts as open
	toSend                 // a message
	toMark                 // how far was read
	toAdd                  // to a counter
	toMove                 // in a game
)

// question is a command under way, with all its copies.
type question struct {
	line    *line
	to      channel.Name
	idem    string
	body    []byte
	purpose purpose
	seq     uint32 // of its publisher, toSend alone
	due     int64
	first   int64                     // when it was sent first
	at      int64                     // when it is to be sent again, while it waits for that
	again   bool                      // to be sent once more after its answer
	pump    *pump                     // what asks the next one, or nil
	then    func(*wire.Message) error // hears the answer of one to enter; nil: entered does
	fresh   bool                      // when its time has come, it is asked for the first time
	reply   []byte
}

// Bounds of asking.
const (
	firstCommandID = 1 << 40 // ids of publishes lie below
	resendEvery    = 10      // one command in so many is sent twice
	maxWait        = time.Second
)

// asker keeps the questions of a worker.
type asker struct {
	last    uint64
	open    map[uint64]*question // by request id
	later   []*question          // to be sent again
	count   Commands
	replies *hdrhistogram.Histogram // from due to the final answer
	whole   *hdrhistogram.Histogram // from due until the last member of a room has it
}

func newAsker() asker {
	return asker{open: map[uint64]*question{}, replies: newHistogram(), whole: newHistogram()}
}

// ask sends a command. One in resendEvery goes out twice: at once, or a second time after its answer.
func (e *engine) ask(q *question) {
	a := &e.asks
	if q.purpose != toEnter {
		a.count.Asked++
	}
	q.idem = fmt.Sprintf("%d-%d-%d", e.setup.Worker, q.line.number, a.last+1)
	q.first = e.now()
	twice := q.purpose != toEnter && a.count.Asked%resendEvery == 0
	e.put(q)
	if twice {
		a.count.Resent++
		if q.again = a.count.Asked%(2*resendEvery) == 0; !q.again {
			e.put(q)
		}
	}
}

// put sends a copy of a question.
func (e *engine) put(q *question) {
	a := &e.asks
	a.last++
	id := firstCommandID + a.last
	a.open[id] = q
	age := time.Duration(0)
	if q.reply != nil || q.at != 0 {
		age = max(time.Duration(e.now()-q.first).Truncate(time.Millisecond), time.Millisecond)
	}
	e.scratch = e.d.(commander).command(e.scratch[:0], id, q.to, q.idem, age, q.body)
	e.send(q.line, e.facts.op, e.scratch)
}

// repeat sends what was to be sent again and returns when the next is due; 0 means never.
func (e *engine) repeat(now int64) (next int64) {
	a := &e.asks
	waiting := a.later
	a.later = nil
	for _, q := range waiting {
		if q.at > now {
			a.later = append(a.later, q)
			next = earlier(next, q.at)
		} else if q.line.fd >= 0 {
			if q.fresh {
				q.fresh, q.at = false, 0
				e.ask(q)
				continue
			}
			e.put(q)
		}
	}
	return next
}

// answer books what the server says to a command. Its errors end the line.
func (e *engine) answer(l *line, m *wire.Message, now int64) error {
	a := &e.asks
	if m.Type == wire.MsgAccepted {
		return nil // the answer follows, or has just overtaken it
	}
	q := a.open[m.ID]
	if q == nil || q.line != l {
		return fmt.Errorf("the server answers request %d, which nobody asked, or twice", m.ID)
	}
	delete(a.open, m.ID)
	if m.Type == wire.MsgError {
		return e.fault(q, m, now)
	}
	if q.purpose == toEnter {
		return e.entered(l, q, m)
	}
	said := digest(m)
	if q.reply != nil {
		if bytes.Equal(said, q.reply) {
			a.count.Identical++
		} else {
			a.count.Differing++
		}
		return nil
	}
	q.reply = said
	a.count.Answered++
	record(a.replies, now-q.due)
	if m.Refused != 0 {
		a.count.Refused++
		a.count.Refusal = string(m.Body)
	}
	if q.again && l.fd >= 0 {
		e.put(q)
	}
	if q.pump != nil {
		e.pumped(q, now)
	}
	return nil
}

// fault has a command sent again where that may help.
func (e *engine) fault(q *question, m *wire.Message, now int64) error {
	a := &e.asks
	if m.Retry {
		a.count.Retried++
		q.at = now + int64(min(max(m.RetryAfter, retryAfter), maxWait))
		if q.purpose == toSend {
			q.line.crowd.retried[sequel{q.line.channel, q.line.place, q.seq}] = true
		}
		a.later = append(a.later, q)
		return nil
	}
	err := fmt.Errorf("%s: %s", m.Code, m.Text)
	if q.purpose == toEnter {
		return err
	}
	a.count.Refused++
	a.count.Refusal = err.Error()
	if q.reply == nil {
		q.reply = []byte(m.Code)
	}
	return nil
}

// digest is all of a reply that must be the same for the same id.
func digest(m *wire.Message) []byte {
	return fmt.Appendf(nil, "%v %s %d %t %s", m.At, m.Ack, m.Refused, m.Binary, m.Body)
}

// pump is a closed loop: every publisher of a group keeps so many commands under way until the time is up. It finds out
// how much a server can do; latencies of it say nothing of a server under another load.
type pump struct {
	g     *crowd
	depth int
	until int64 // ns since the epoch
}

// start has every publisher ask.
func (e *engine) start(p *pump, now int64) {
	if p.g.Service == chessService {
		e.race(p, now)
		return
	}
	for i, l := range p.g.who {
		if l == nil || l.state != open {
			continue
		}
		for range p.depth {
			e.add(p.g, i/p.g.publishers(), l, now, p)
		}
	}
}

// pumped asks the next question.
func (e *engine) pumped(q *question, now int64) {
	if now < q.pump.until && q.line.state == open {
		e.add(q.line.crowd, q.line.channel, q.line, now, q.pump)
	}
}
