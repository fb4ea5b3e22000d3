package wire

import (
	"time"

	"carillon/channel"
)

// message takes a message out of its fields.
func (f *fields) message(m *Message) *Error {
	f.err = nil
	f.need(keyType)
	m.Type, m.ID = parseMessageType(f.str(keyType)), f.number(keyID)
	switch m.Type {
	case MsgConnected:
		m.Time, m.Expires = f.moment(keyTime), f.millis(keyExpires)
		f.hello(&m.Hello)
	case MsgReply:
		f.reply(m)
	case MsgError:
		f.need(keyCode)
		m.Code, m.Text = Code(f.str(keyCode)), string(f.str(keyMessage))
		m.Retry, m.RetryAfter = f.boolean(keyRetry, false), f.millis(keyRetryAfter)
	case MsgRecord:
		f.need(keyChannel)
		m.Record.Channel = f.channel()
		f.record(&m.Record)
	case MsgLatest:
		f.need(keyChannel)
		f.need(keyEpoch)
		f.need(keyRecords)
		m.Channel, m.Table.Epoch = f.channel(), f.sized(keyEpoch, maxEpoch)
		m.Table.Records = f.table(m.Channel)
	case MsgGap:
		f.need(keyChannel)
		f.need(keyAt)
		m.Channel, m.At = f.channel(), f.position(keyAt)
		f.gap(&m.Gap)
	case MsgStale:
		m.Channel, m.Stale = f.channel(), f.boolean(keyStale, false)
	case MsgUnsubscribed:
		f.need(keyChannel)
		m.Channel, m.Code, m.Text = f.channel(), Code(f.str(keyCode)), string(f.str(keyMessage))
	case MsgExpiring:
		m.In = f.millis(keyIn)
	case MsgDrain:
		m.After, m.Text = f.millis(keyAfter), string(f.str(keyMessage))
	}
	if f.err != nil {
		f.err.ID = m.ID
	}
	return f.err
}

func (f *fields) reply(m *Message) {
	m.Channel, m.At, m.Time = f.channel(), f.position(keyAt), f.moment(keyTime)
	m.Ack, m.Expires = Ack(f.str(keyAck)), f.millis(keyExpires)
	m.HasRecovered, m.Recovered = f.has(keyRecovered), f.boolean(keyRecovered, false)
	m.Refused = int(f.number(keyCode))
	m.Body, m.Binary = f.body()
	if gap, ok := f.open(keyGap); ok {
		gap.gap(&m.Gap)
		f.inherit(&gap)
	}
	if f.has(keyRecords) {
		f.need(keyHead)
		m.Page.Head, m.Page.Before, m.Page.More = f.position(keyHead), f.position(keyBefore), f.boolean(keyMore, false)
		m.Page.Records = f.records(m.Channel)
	}
	if who, ok := f.open(keyPresence); ok {
		m.Presence = who.presence()
		f.inherit(&who)
	}
}

func (f *fields) hello(h *Hello) {
	h.Conn, h.User, h.Server = string(f.str(keyConn)), string(f.str(keyUser)), string(f.str(keyServer))
	if beat, ok := f.open(keyHeartbeat); ok {
		h.Heartbeat = Heartbeat{Interval: beat.millis(keyInterval), Timeout: beat.millis(keyTimeout)}
		f.inherit(&beat)
	}
	if limits, ok := f.open(keyLimits); ok {
		h.Limits = Limits{
			Body: int(limits.number(keyBody)), Channels: int(limits.number(keyChannels)),
			InFlight: int(limits.number(keyInFlight)), Batch: int(limits.number(keyBatch)), Frame: int(limits.number(keyFrame)),
		}
		f.inherit(&limits)
	}
}

func (f *fields) gap(g *Gap) {
	g.From, g.To = f.number(keyFrom), f.number(keyTo)
	f.need(keyReason)
	reason, ok := channel.ParseGap(string(f.str(keyReason)))
	if !ok || reason == channel.GapNone {
		// A reason of a later version is still a gap: the client must not take the log for whole.
		reason = channel.GapTrimmed
	}
	g.Reason = reason
}

// record takes what a record has beside its channel.
func (f *fields) record(r *Record) {
	r.Class, r.Key = f.class(), string(f.str(keyKey))
	if r.Class == channel.Latest {
		r.Rev = f.number(keyRev) // these have no place in the log
	} else {
		r.At = f.position(keyAt)
	}
	r.Time, r.From = f.moment(keyTime), string(f.str(keyUser))
	r.Body, r.Binary = f.body()
}

// records takes the array of a page.
func (f *fields) records(n channel.Name) (out []Record) {
	f.list(keyRecords, func(count int) { out = make([]Record, count) }, func(i int, sub *fields) {
		out[i].Channel = n
		sub.record(&out[i])
	})
	return out
}

// open goes into a map within a message.
func (f *fields) open(k key) (sub fields, ok bool) {
	if !f.has(k) {
		return sub, false
	}
	sub = fields{json: f.json, n: allKeys}
	if f.v[k].kind != object {
		f.refuse(CodeBadRequest, "%s must be a map.", keyNames[k])
		return sub, false
	}
	r := reader{b: f.raw(&f.v[k]), json: f.json}
	if !r.message(&sub, messageKey) {
		f.refuse(CodeBadRequest, "%s: %s", keyNames[k], r.err().Text)
		return sub, false
	}
	return sub, true
}

// inherit takes over the fault of a map within.
func (f *fields) inherit(sub *fields) {
	if f.err == nil {
		f.err = sub.err
	}
}

// moment is a time in milliseconds since 1970, the zero Time if it is absent.
func (f *fields) moment(k key) time.Time {
	if !f.has(k) {
		return time.Time{}
	}
	return time.UnixMilli(int64(f.number(k))).UTC()
}

func parseMessageType(name []byte) MessageType {
	for i := 1; i < len(messageNames); i++ {
		if string(name) == messageNames[i] {
			return MessageType(i)
		}
	}
	return MsgUnknown
}
