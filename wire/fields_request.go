package wire

import "carillon/channel"

// request takes a request out of its fields. An error carries the id where there is one.
func (f *fields) request(q *Request) *Error {
	f.err = nil
	q.Type = parseRequestType(f.str(keyType))
	if q.Type != ReqPong {
		if q.ID = f.peekID(); q.ID == 0 {
			f.refuse(CodeBadRequest, "id must be an integer from 1 to 2^53-1.")
		}
	}
	switch q.Type {
	case 0:
		f.need(keyType)
		f.refuse(CodeBadRequest, "type names no request of this version.")
	case ReqConnect:
		q.Token, q.Name = string(f.str(keyToken)), f.printable(keyName, MaxClient)
	case ReqRefresh:
		f.need(keyToken)
		q.Token = string(f.str(keyToken))
	case ReqLeave, ReqPing, ReqPong:
	case ReqPresence:
		f.presenceOf(q)
	default:
		f.need(keyChannel)
		q.Channel = f.channel()
		f.about(q)
	}
	if f.err != nil {
		f.err.ID = q.ID
	}
	return f.err
}

// about takes what the requests about a channel have beside its name.
func (f *fields) about(q *Request) {
	switch q.Type {
	case ReqSubscribe:
		q.At, q.Rewind, q.Token = f.position(keyAt), f.clamped(keyRewind, 0, 0), string(f.str(keyToken))
	case ReqHistory:
		q.At, q.Limit, q.Back = f.position(keyAt), f.clamped(keyLimit, 1, PageLimit), f.boolean(keyBack, false)
	case ReqPublish:
		q.Class, q.Key = f.class(), f.printable(keyKey, MaxKey)
		q.NoEcho = !f.boolean(keyEcho, true)
		if q.Key != "" && q.Class == channel.Logged {
			f.refuse(CodeBadRequest, `key goes with class "latest" or "fleeting" only.`)
		}
		if q.Class == channel.Latest {
			f.need(keyKey)
		}
		f.sent(q)
	case ReqCommand:
		f.sent(q)
	}
}

// sent takes what publish and command have in common.
func (f *fields) sent(q *Request) {
	q.Idem, q.Age = f.printable(keyIdem, MaxIdem), f.millis(keyAge)
	q.Body, q.Binary = f.body()
	if len(q.Body) == 0 && q.Class == channel.Logged {
		f.refuse(CodeBadRequest, "data is missing or empty; what is kept must have a body.")
	}
}

// presenceOf takes a question for the members of a channel, or for some users.
func (f *fields) presenceOf(q *Request) {
	if !f.has(keyUsers) {
		f.need(keyChannel)
		q.Channel, q.Limit = f.channel(), f.clamped(keyLimit, 1, PageLimit)
		q.After = f.sized(keyAfter, MaxUser)
		return
	}
	if f.has(keyChannel) {
		f.refuse(CodeBadRequest, "channel and users exclude each other: ask for the members of a channel, or for users.")
		return
	}
	q.Users = f.texts(keyUsers, MaxUsers, MaxUser)
}

func parseRequestType(name []byte) RequestType {
	for i := 1; i < len(requestNames); i++ {
		if string(name) == requestNames[i] {
			return RequestType(i)
		}
	}
	return 0
}
