package session

import (
	"errors"
	"net"
	"strings"
	"time"

	"carillon/channel"
	"carillon/gateway/transport"
	"carillon/observe"
	"carillon/wire"
)

// requestTypes is how many types of requests there are, the unknown one included.
const requestTypes = int(wire.ReqPong) + 1

// Counts are what happened in all conversations of a Server since its start, by labels with closed lists of values.
// They are read only.
type Counts struct {
	Errors  *observe.Counters // told to clients, by code
	Ended   *observe.Counters // lines, by how
	Gaps    *observe.Counters // told, by reason
	Resumes *observe.Counters // by outcome
	Limited *observe.Counters // by limit

	requests [requestTypes]observe.Counter
	acks     map[wire.Ack]*observe.Histogram
	gaps     [channel.GapAhead + 1]observe.Value
}

func newCounts() *Counts {
	c := &Counts{
		Errors: observe.NewCounters(observe.Errors), Ended: observe.NewCounters(observe.ConnectionsEnded),
		Gaps: observe.NewCounters(observe.Gaps), Resumes: observe.NewCounters(observe.Resumes),
		Limited: observe.NewCounters(observe.Limited),
		acks: map[wire.Ack]*observe.Histogram{
			wire.AckMemory: observe.NewHistogram(), wire.AckDurable: observe.NewHistogram(),
		},
	}
	for g := channel.GapTrimmed; g <= channel.GapAhead; g++ {
		c.gaps[g] = observe.LabelGap.Value(g.String())
	}
	return c
}

// Requests counts the requests of a type; 0 stands for those of none that is known.
func (c *Counts) Requests(t wire.RequestType) uint64 { return c.requests[t].Load() }

// Acks is the time from reading a publish to queueing its final reply, of those answered as durable, or at any other level
// of a log: a server has one of those at most.
func (c *Counts) Acks(level wire.Ack) *observe.Histogram {
	if level != wire.AckDurable && strings.HasPrefix(string(level), appended) {
		level = wire.AckMemory
	}
	return c.acks[level]
}

// appended begins the levels of logs that promise less than a disk.
const appended = "appended:"

// asked counts the requests of a frame.
func (c *Counts) asked(rs []wire.Request) {
	for i := 0; i < len(rs); {
		t, first := rs[i].Type, i
		for i < len(rs) && rs[i].Type == t {
			i++
		}
		if int(t) >= requestTypes {
			t = 0
		}
		c.requests[t].Add(uint64(i - first))
	}
}

func (c *Counts) gap(g channel.Gap) {
	if g != channel.GapNone && int(g) < len(c.gaps) {
		c.Gaps.Add(1, c.gaps[g])
	}
}

func (c *Counts) limited(limit string) { c.Limited.Add(1, observe.LabelLimit.Value(limit)) }

// Outcomes of a subscribe that named a position, as the label has them.
const (
	resumeContinued = "continued"
	resumeGap       = "gap"
	resumeFailed    = "failed"
)

func (c *Counts) resumed(w *want, outcome string) {
	if !w.sub.own && !w.from.After.IsZero() {
		c.Resumes.Add(1, observe.LabelResume.Value(outcome))
	}
}

// acked notes how long a publish took that came at a moment; zero: it is none of those measured.
func (c *Counts) acked(level wire.Ack, came time.Time) {
	if !came.IsZero() {
		c.Acks(level).Since(came)
	}
}

// RFC 6455 close numbers that tell how a line ended.
const (
	closeProtocolFirst = 1002
	closeProtocolLast  = 1010
	closeInternal      = 1011
)

// endedBy is the word for the end of a line: the code it was ended with, or what the transport says.
func endedBy(code wire.Code, err error) string {
	var told *transport.CloseError
	switch {
	case code != "":
		return string(code)
	case err == nil:
		return "client"
	case errors.As(err, &told):
		switch {
		case told.Code == closeInternal:
			return "panic"
		case told.Code >= closeProtocolFirst && told.Code <= closeProtocolLast:
			return "protocol"
		}
		return "client"
	case errors.Is(err, net.ErrClosed):
		return "shutdown"
	}
	return "broken"
}
