package wire

import "carillon/channel"

var classNames = [...]string{channel.Logged: "logged", channel.Latest: "latest", channel.Fleeting: "fleeting"}

func (w *writer) class(c channel.Class) {
	if c != channel.Logged && int(c) < len(classNames) {
		w.str(keyClass, classNames[c])
	}
}

func (w *writer) id(id uint64) {
	if id != 0 {
		w.number(keyID, id)
	}
}

func appendRequest(dst []byte, q *Request, json bool) []byte {
	w := writer{dst: dst, json: json}
	outer := w.open()
	w.str(keyType, q.Type.String())
	w.id(q.ID)
	w.filled(keyToken, q.Token)
	w.filled(keyName, q.Name)
	w.filled(keyChannel, string(q.Channel))
	switch q.Type {
	case ReqSubscribe:
		w.place(keyAt, q.At)
		if q.Rewind > 0 {
			w.count(keyRewind, q.Rewind)
		}
	case ReqHistory:
		w.place(keyAt, q.At)
		if q.Limit > 0 && q.Limit != PageLimit {
			w.count(keyLimit, q.Limit)
		}
		if q.Back {
			w.boolean(keyBack, true)
		}
	case ReqPresence:
		w.filled(keyAfter, q.After)
		if q.Limit > 0 && q.Limit != PageLimit {
			w.count(keyLimit, q.Limit)
		}
		if len(q.Users) > 0 {
			w.texts(keyUsers, q.Users)
		}
	case ReqPublish, ReqCommand:
		w.sent(q)
	}
	w.close(outer)
	return w.dst
}

// sent writes what publish and command have in common, and what publish has alone.
func (w *writer) sent(q *Request) {
	if q.Type == ReqPublish {
		w.class(q.Class)
		w.filled(keyKey, q.Key)
		if q.NoEcho {
			w.boolean(keyEcho, false)
		}
	}
	w.filled(keyIdem, q.Idem)
	w.wait(keyAge, q.Age)
	w.body(q.Body, q.Binary)
}

func appendRecord(dst []byte, r *Record, json bool) []byte {
	w := writer{dst: dst, json: json}
	outer := w.open()
	w.str(keyType, "record")
	w.str(keyChannel, string(r.Channel))
	w.record(r)
	w.close(outer)
	return w.dst
}

// record writes what a record has beside its channel.
func (w *writer) record(r *Record) {
	if r.Class != channel.Latest {
		w.at(r.At) // Latest has no place in the log
	}
	w.moment(keyTime, r.Time)
	w.filled(keyUser, r.From)
	w.class(r.Class)
	w.filled(keyKey, r.Key)
	if r.Class == channel.Latest {
		w.number(keyRev, min(r.Rev, MaxInteger))
	}
	w.body(r.Body, r.Binary)
}

// entry writes what a record of a table has.
func (w *writer) entry(r *Record) {
	w.filled(keyKey, r.Key)
	w.number(keyRev, min(r.Rev, MaxInteger))
	w.moment(keyTime, r.Time)
	w.filled(keyUser, r.From)
	w.body(r.Body, r.Binary)
}

func appendMessage(dst []byte, m *Message, json bool) []byte {
	if m.Type == MsgRecord {
		return appendRecord(dst, &m.Record, json)
	}
	w := writer{dst: dst, json: json}
	outer := w.open()
	w.str(keyType, m.Type.String())
	w.id(m.ID)
	switch m.Type {
	case MsgConnected:
		w.hello(m)
	case MsgReply:
		w.reply(m)
	case MsgError:
		w.str(keyCode, string(m.Code))
		w.str(keyMessage, m.Text)
		w.boolean(keyRetry, m.Retry)
		w.wait(keyRetryAfter, m.RetryAfter)
	case MsgLatest:
		w.str(keyChannel, string(m.Channel))
		w.str(keyEpoch, m.Table.Epoch)
		w.list(keyRecords, len(m.Table.Records), func(i int) { w.entry(&m.Table.Records[i]) })
	case MsgGap:
		w.str(keyChannel, string(m.Channel))
		w.gap(&m.Gap)
		w.at(m.At)
	case MsgStale:
		w.filled(keyChannel, string(m.Channel))
		w.boolean(keyStale, m.Stale)
	case MsgUnsubscribed:
		w.str(keyChannel, string(m.Channel))
		w.str(keyCode, string(m.Code))
		w.str(keyMessage, m.Text)
	case MsgExpiring:
		w.millis(keyIn, m.In)
	case MsgDrain:
		w.millis(keyAfter, m.After)
		w.str(keyMessage, m.Text)
	}
	w.close(outer)
	return w.dst
}

func (w *writer) hello(m *Message) {
	h := &m.Hello
	w.str(keyConn, h.Conn)
	w.str(keyUser, h.User)
	w.moment(keyTime, m.Time)
	w.key(keyHeartbeat)
	outer := w.open()
	w.millis(keyInterval, h.Heartbeat.Interval)
	w.millis(keyTimeout, h.Heartbeat.Timeout)
	w.close(outer)
	w.key(keyLimits)
	outer = w.open()
	w.count(keyBody, h.Limits.Body)
	w.count(keyChannels, h.Limits.Channels)
	w.count(keyInFlight, h.Limits.InFlight)
	w.count(keyBatch, h.Limits.Batch)
	w.count(keyFrame, h.Limits.Frame)
	w.close(outer)
	w.wait(keyExpires, m.Expires)
	w.str(keyServer, h.Server)
}

func (w *writer) reply(m *Message) {
	w.filled(keyChannel, string(m.Channel))
	w.filled(keyAck, string(m.Ack))
	if !m.Page.Head.IsZero() {
		w.page(&m.Page)
	}
	w.at(m.At)
	if m.HasRecovered {
		w.boolean(keyRecovered, m.Recovered)
	}
	if m.Gap.Reason != channel.GapNone {
		w.key(keyGap)
		outer := w.open()
		w.gap(&m.Gap)
		w.close(outer)
	}
	w.moment(keyTime, m.Time)
	w.wait(keyExpires, m.Expires)
	if m.Presence != nil {
		w.presence(m.Presence)
	}
	if m.Refused > 0 {
		w.count(keyCode, m.Refused)
	}
	w.body(m.Body, m.Binary)
}

func (w *writer) gap(g *Gap) {
	w.number(keyFrom, min(g.From, MaxInteger))
	w.number(keyTo, min(g.To, MaxInteger))
	w.str(keyReason, g.Reason.String())
}

func (w *writer) page(p *Page) {
	w.list(keyRecords, len(p.Records), func(i int) { w.record(&p.Records[i]) })
	w.boolean(keyMore, p.More)
	w.place(keyBefore, p.Before)
	w.place(keyHead, p.Head)
}

func (w *writer) presence(p *Presence) {
	w.key(keyPresence)
	outer := w.open()
	if len(p.Seen) > 0 {
		w.list(keySeen, len(p.Seen), func(i int) {
			w.str(keyUser, p.Seen[i].User)
			w.boolean(keyOnline, p.Seen[i].Online)
			w.moment(keyLast, p.Seen[i].Last)
		})
	} else {
		w.count(keyCount, p.Count)
		w.list(keyMembers, len(p.Members), func(i int) {
			w.str(keyUser, p.Members[i].User)
			w.moment(keySince, p.Members[i].Since)
		})
		w.boolean(keyMore, p.More)
	}
	w.close(outer)
}
