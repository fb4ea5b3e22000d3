package redis

import (
	"encoding/binary"
	"errors"
	"strconv"
	"strings"
	"time"

	"carillon/bus"
	"carillon/channel"
)

// The form of a command on a desk, numbers big-endian:
//
//	version  1  askForm
//	flags    1  askBinary
//	ask      8  its number among those of the asking desk
//	origin, age, waited   8 each; times in ns
//	inbox, name   1 for the length, then the bytes
//	id, user      2 for the length, then the bytes
//	body     the rest
//
// Time, Head, Lost and Seed do not travel: the worker stamps them. Trip travels beside the form, see formBeside. The form of
// an answer:
//
//	length   4  of everything behind it
//	version  1  answerForm
//	ask      8
//	epoch, offset, tag, code   8 each
//	fault    1 for the length, then the bytes: name of an error, see faultNames; "" for none
//	id       2 for the length, then the bytes
//	body     the rest
//
// A message to an inbox is one byte that says what it is, then answers one behind the other, or the name of a service.
const (
	askForm    = 1
	askBinary  = 1 << 0
	leastAsk   = 1 + 1 + 8 + 3*8 + 1 + 1 + 2 + 2
	answerForm = 1
	leastReply = 1 + 8 + 4*8 + 1 + 2

	maxShort = 1<<8 - 1
	maxText  = 1<<16 - 1
	maxBody  = 16 << 20 // bytes of a command or a reply

	mailAnswers = 'a' // what a message to an inbox holds
	mailLook    = 'l' // look who should have which shard of a service
)

// errForm says that a message is none of ours; it is passed over.
var errForm = errors.New("not a message of this version; do all nodes run the same build?")

// asked is a command as it lies in a stream.
type asked struct {
	inbox   string // of the desk that asks
	ask     uint64
	command channel.Command
}

func appendAsk(dst []byte, a *asked) []byte {
	c := &a.command
	flags := byte(0)
	if c.Binary {
		flags |= askBinary
	}
	dst = append(dst, askForm, flags)
	dst = binary.BigEndian.AppendUint64(dst, a.ask)
	dst = binary.BigEndian.AppendUint64(dst, c.Origin)
	dst = binary.BigEndian.AppendUint64(dst, uint64(c.Age))
	dst = binary.BigEndian.AppendUint64(dst, uint64(c.Waited))
	dst = appendShort(dst, a.inbox)
	dst = appendShort(dst, string(c.Channel))
	dst = appendText(dst, c.ID)
	dst = appendText(dst, c.User)
	return append(dst, c.Body...)
}

// formBeside is what lies beside the form of a command: its trip in whole ms, and how often it was handed out before it came into
// the stream. Of a trip that is not known, and of no attempts, nothing is said.
func formBeside(trip time.Duration, tries int) (s string) {
	if trip >= time.Millisecond {
		s = decimal(trip.Milliseconds())
	}
	if tries > 0 {
		s += " " + decimal(tries)
	}
	return s
}

// parseBeside reads it; what cannot be read is not known.
func parseBeside(s string) (trip time.Duration, tries int) {
	ms, attempts, _ := strings.Cut(s, " ")
	if n, err := strconv.ParseUint(ms, 10, 32); err == nil {
		trip = time.Duration(n) * time.Millisecond
	}
	if n, err := strconv.ParseUint(attempts, 10, 16); err == nil {
		tries = int(n)
	}
	return trip, tries
}

// fits tells whether a command has a form: its parts are not longer than their lengths can say.
func fits(c *channel.Command) bool {
	return len(c.Channel) <= maxShort && len(c.ID) <= maxText && len(c.User) <= maxText && len(c.Body) <= maxBody
}

func parseAsk(b string) (a asked, err error) {
	if len(b) < leastAsk || len(b) > leastAsk+2*maxShort+2*maxText+maxBody || b[0] != askForm || b[1]&^askBinary != 0 {
		return a, errForm
	}
	c := &a.command
	p := parser{b: b[2:]}
	a.ask, c.Origin = p.number(), p.number()
	c.Age, c.Waited = time.Duration(p.number()), time.Duration(p.number())
	a.inbox = p.short()
	n, err := channel.ParseName(p.short())
	if err != nil {
		return asked{}, errForm
	}
	c.Channel, c.ID, c.User = n, p.text(), p.text()
	c.Binary = b[1]&askBinary != 0
	if p.bad || len(a.inbox) == 0 || c.Age < 0 || c.Waited < 0 {
		return asked{}, errForm
	}
	c.Body = []byte(p.b)
	return a, nil
}

// answer is what comes back.
type answer struct {
	ask   uint64
	fault string // name of an error
	reply channel.Reply
}

func appendAnswer(dst []byte, a *answer) []byte {
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0, answerForm)
	dst = binary.BigEndian.AppendUint64(dst, a.ask)
	dst = binary.BigEndian.AppendUint64(dst, a.reply.At.Epoch)
	dst = binary.BigEndian.AppendUint64(dst, a.reply.At.Offset)
	dst = binary.BigEndian.AppendUint64(dst, a.reply.At.Tag)
	dst = binary.BigEndian.AppendUint64(dst, uint64(a.reply.Code))
	dst = appendShort(dst, a.fault)
	dst = appendText(dst, a.reply.ID)
	dst = append(dst, a.reply.Body...)
	binary.BigEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
	return dst
}

// parseAnswers reads answers one behind the other and hands on each; what is broken ends it.
func parseAnswers(b string, each func(answer)) error {
	for len(b) > 0 {
		if len(b) < 4+leastReply {
			return errForm
		}
		p := parser{b: b}
		n := p.length()
		if n < leastReply || n > leastReply+maxShort+maxText+maxBody || n > len(p.b) {
			return errForm
		}
		rest := p.b[n:]
		p.b = p.b[:n]
		if p.b[0] != answerForm {
			return errForm
		}
		p.b = p.b[1:]
		a := answer{ask: p.number()}
		a.reply.At = channel.Position{Epoch: p.number(), Offset: p.number(), Tag: p.number()}
		a.reply.Code = int(int64(p.number()))
		a.fault, a.reply.ID = p.short(), p.text()
		if p.bad {
			return errForm
		}
		if len(p.b) > 0 {
			a.reply.Body = []byte(p.b)
		}
		each(a)
		b = rest
	}
	return nil
}

func appendShort(dst []byte, s string) []byte {
	s = s[:min(len(s), maxShort)]
	return append(append(dst, byte(len(s))), s...)
}

func appendText(dst []byte, s string) []byte {
	s = s[:min(len(s), maxText)]
	return append(binary.BigEndian.AppendUint16(dst, uint16(len(s))), s...)
}

// parser takes parts off the front. What is not there is empty, and bad.
type parser struct {
	b   string
	bad bool
}

func (p *parser) take(n int) string {
	if n > len(p.b) {
		p.bad, p.b = true, ""
		return ""
	}
	s := p.b[:n]
	p.b = p.b[n:]
	return s
}

func (p *parser) number() (n uint64) {
	for _, c := range []byte(p.take(8)) {
		n = n<<8 | uint64(c)
	}
	return n
}

func (p *parser) length() (n int) {
	for _, c := range []byte(p.take(4)) {
		n = n<<8 | int(c)
	}
	return n
}

func (p *parser) short() string {
	n := p.take(1)
	if n == "" {
		return ""
	}
	return p.take(int(n[0]))
}

func (p *parser) text() string {
	n := p.take(2)
	if n == "" {
		return ""
	}
	return p.take(int(n[0])<<8 | int(n[1]))
}

// unnamed begins the name of an error that has none: its text follows.
const unnamed = "?"

// busFaults are the errors of the contract by the names under which they cross the line.
func busFaults() map[string]error {
	return map[string]error{
		"no_service": bus.ErrNoService, "busy": bus.ErrBusy, "unanswered": bus.ErrUnanswered, "closed": bus.ErrClosed,
		"stopped": bus.ErrStopped, "failed": bus.ErrFailed, "unavailable": bus.ErrUnavailable,
	}
}

// faultOf names an error for the line.
func (d *Desk) faultOf(err error) string {
	if err == nil {
		return ""
	}
	for name, known := range d.faults {
		if errors.Is(err, known) {
			return name
		}
	}
	return unnamed + err.Error()
}

// errorOf is the error of a name; one that this build does not know is an error all the same.
func (d *Desk) errorOf(fault string) error {
	if fault == "" {
		return nil
	}
	if err, known := d.faults[fault]; known {
		return err
	}
	return errors.New("the owner of the channel answered: " + fault)
}
