package wire

import (
	"bytes"
	"encoding/base64"
	"math"
	"time"

	"carillon/channel"
)

// kind is what a value is, in both formats.
type kind uint8

const (
	absent    kind = iota
	null           //
	boolean        // value.neg is true for false
	integer        // value.num, value.neg
	fraction       // a number with a fraction or an exponent
	quoted         // JSON string without escapes
	escaped        // JSON string with escapes
	text           // MessagePack str
	octets         // MessagePack bin
	array          //
	object         //
	extension      // MessagePack ext
)

// value is one field as the reader passed over it.
type value struct {
	num        uint64
	start, end uint32 // JSON: the exact text, with quotes; MessagePack: the contents of str and bin, array and map whole
	kind       kind
	neg        bool
}

// key is a field name that this version knows.
type key uint8

// Keys of requests come first, so that a request needs room for them alone.
const (
	keyType key = iota
	keyID
	keyToken
	keyName
	keyChannel
	keyAt
	keyRewind
	keyData
	keyData64
	keyClass
	keyKey
	keyIdem
	keyAge
	keyEcho
	keyLimit
	keyBack
	keyAfter
	keyUsers
	requestKeys
)

const (
	keyOffset key = iota + requestKeys
	keyTime
	keyFrom
	keyTo
	keyReason
	keyConn
	keyUser
	keyServer
	keyHeartbeat
	keyInterval
	keyTimeout
	keyLimits
	keyBody
	keyChannels
	keyInFlight
	keyBatch
	keyFrame
	keyExpires
	keyRecovered
	keyGap
	keyAck
	keyRecords
	keyMore
	keyBefore
	keyHead
	keyCode
	keyMessage
	keyRetry
	keyRetryAfter
	keyStale
	keyIn
	keyRev
	keyEpoch
	keyPresence
	keyCount
	keyMembers
	keySince
	keySeen
	keyOnline
	keyLast
	allKeys
)

const noKey key = 255

var keyNames = [allKeys]string{
	"type", "id", "token", "name", "channel", "at", "rewind", "data", "data64", "class", "key", "idem", "age", "echo", "limit", "back",
	"after", "users",
	"offset", "time", "from", "to", "reason", "conn", "user", "server", "heartbeat", "interval", "timeout", "limits", "body", "channels",
	"in_flight", "batch", "frame", "expires", "recovered", "gap", "ack", "records", "more", "before", "head", "code", "message", "retry",
	"retry_after", "stale", "in", "rev", "epoch", "presence", "count", "members", "since", "seen", "online", "last",
}

var keyIndex = func() map[string]key {
	index := make(map[string]key, allKeys)
	for k, name := range keyNames {
		index[name] = key(k)
	}
	return index
}()

// requestKey finds a key that a request may have. A switch, since here it takes half the time of a map.
func requestKey(name []byte) key {
	switch string(name) {
	case "type":
		return keyType
	case "id":
		return keyID
	case "token":
		return keyToken
	case "name":
		return keyName
	case "channel":
		return keyChannel
	case "at":
		return keyAt
	case "rewind":
		return keyRewind
	case "data":
		return keyData
	case "data64":
		return keyData64
	case "class":
		return keyClass
	case "key":
		return keyKey
	case "idem":
		return keyIdem
	case "age":
		return keyAge
	case "echo":
		return keyEcho
	case "limit":
		return keyLimit
	case "back":
		return keyBack
	case "after":
		return keyAfter
	case "users":
		return keyUsers
	}
	return noKey
}

// messageKey finds a key that a message, or a map inside one, may have.
func messageKey(name []byte) key {
	if k, ok := keyIndex[string(name)]; ok {
		return k
	}
	return noKey
}

// fields are the known fields of one map. The first fault met while taking them stays in err; what is taken after it
// is zero, so that a whole message can be taken before err is looked at. A null is as good as absent, but for data.
type fields struct {
	b    []byte // the frame
	err  *Error
	json bool
	n    key // how many of v are in use
	v    [allKeys]value
}

// raw is what stands in the frame for a value; see value.start.
func (f *fields) raw(v *value) []byte { return f.b[v.start:v.end:v.end] }

func (f *fields) refuse(code Code, format string, args ...any) {
	if f.err == nil {
		f.err = bad(format, args...)
		f.err.Code = code
	}
}

func (f *fields) has(k key) bool { return f.v[k].kind > null }

// str is the text of a string field, "" if it is absent. The bytes may be those of the frame.
func (f *fields) str(k key) []byte {
	switch v := &f.v[k]; v.kind {
	case absent, null:
	case quoted:
		return f.b[v.start+1 : v.end-1]
	case escaped:
		return unescape(f.b[v.start+1 : v.end-1])
	case text:
		return f.raw(v)
	default:
		f.refuse(CodeBadRequest, "%s must be a string.", keyNames[k])
	}
	return nil
}

// printable is a string of at most most printable ASCII bytes; "" only if it is absent.
func (f *fields) printable(k key, most int) string {
	s := f.sized(k, most)
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			f.refuse(CodeBadRequest, "%s must be printable ASCII.", keyNames[k])
			return ""
		}
	}
	return s
}

// sized is a string of at most most bytes; "" only if it is absent.
func (f *fields) sized(k key, most int) string {
	s := f.str(k)
	if f.has(k) && (len(s) == 0 || len(s) > most) {
		f.refuse(CodeBadRequest, "%s must have 1 to %d bytes.", keyNames[k], most)
		return ""
	}
	return string(s)
}

// need refuses a message that lacks a field.
func (f *fields) need(k key) {
	if !f.has(k) {
		f.refuse(CodeBadRequest, "%s is missing.", keyNames[k])
	}
}

// number is an integer from 0 to MaxInteger, 0 if it is absent.
func (f *fields) number(k key) uint64 {
	switch v := &f.v[k]; {
	case v.kind <= null:
	case v.kind != integer || v.num > MaxInteger || v.neg && v.num != 0:
		f.refuse(CodeBadRequest, "%s must be an integer from 0 to 2^53-1.", keyNames[k])
	default:
		return v.num
	}
	return 0
}

// clamped is an integer forced between least and MaxPage, absent if there is none.
func (f *fields) clamped(k key, least, absent int) int {
	switch v := &f.v[k]; {
	case v.kind <= null:
		return absent
	case v.kind != integer:
		f.refuse(CodeBadRequest, "%s must be an integer.", keyNames[k])
		return absent
	case v.neg || v.num < uint64(least):
		return least
	default:
		return int(min(v.num, MaxPage))
	}
}

func (f *fields) boolean(k key, absent bool) bool {
	switch v := &f.v[k]; {
	case v.kind <= null:
		return absent
	case v.kind != boolean:
		f.refuse(CodeBadRequest, "%s must be true or false.", keyNames[k])
		return absent
	default:
		return !v.neg
	}
}

// longest is the longest duration in whole milliseconds.
const longest = time.Duration(math.MaxInt64) / time.Millisecond * time.Millisecond

// millis is a duration of whole milliseconds.
func (f *fields) millis(k key) time.Duration {
	n := f.number(k)
	if n > uint64(longest/time.Millisecond) {
		return longest
	}
	return time.Duration(n) * time.Millisecond
}

func (f *fields) channel() channel.Name {
	name, err := channel.ParseName(string(f.str(keyChannel)))
	if err != nil && f.has(keyChannel) {
		f.refuse(CodeBadChannel, "channel must have 1 to %d of the characters A-Z a-z 0-9 _ . : @ -", channel.MaxName)
	}
	return name
}

func (f *fields) position(k key) channel.Position {
	if !f.has(k) {
		return channel.Position{}
	}
	at, err := channel.ParsePosition(string(f.str(k)))
	if err != nil || at.IsZero() {
		f.refuse(CodeBadRequest, "%s must be a position as the server gave it.", keyNames[k])
	}
	return at
}

// class is the class of a record, Logged if it is absent.
func (f *fields) class() channel.Class {
	switch s := f.str(keyClass); string(s) {
	case "latest":
		return channel.Latest
	case "fleeting":
		return channel.Fleeting
	default:
		if f.has(keyClass) && string(s) != "logged" {
			f.refuse(CodeBadRequest, `class must be "logged", "latest" or "fleeting".`)
		}
		return channel.Logged
	}
}

// body is the body of a record, command or reply, nil if it is empty or absent.
func (f *fields) body() (body []byte, binary bool) {
	if f.json {
		return f.jsonBody()
	}
	if f.has(keyData64) {
		f.refuse(CodeBadRequest, "data64 belongs to JSON; in MessagePack send bytes as bin under data.")
		return nil, false
	}
	switch v := &f.v[keyData]; v.kind {
	case absent:
	case octets:
		if v.start < v.end {
			return f.raw(v), true
		}
	case text:
		body, e := checkBody(f.raw(v))
		if e != nil {
			f.refuse(CodeBadRequest, "data: %s", e.Text)
		}
		return body, false
	default:
		f.refuse(CodeBadRequest, "data must be a str that holds JSON text, or a bin.")
	}
	return nil, false
}

func (f *fields) jsonBody() (body []byte, binary bool) {
	data := &f.v[keyData]
	if !f.has(keyData64) {
		if data.kind == absent {
			return nil, false
		}
		return f.raw(data), false
	}
	if data.kind != absent {
		f.refuse(CodeBadRequest, "data and data64 exclude each other.")
		return nil, false
	}
	s := f.str(keyData64)
	if len(s) == 0 {
		return nil, false
	}
	body = make([]byte, base64.StdEncoding.DecodedLen(len(s)))
	n, err := base64.StdEncoding.Strict().Decode(body, s)
	if err != nil || bytes.ContainsAny(s, "\r\n") { // which Decode passes over
		f.refuse(CodeBadRequest, "data64 must be standard base64 with padding.")
		return nil, false
	}
	return body[:n], true
}

// peekID is the id of a request if it can be told at all: not if the frame ends right behind it, since more digits may
// have followed.
func (f *fields) peekID() uint64 {
	v := &f.v[keyID]
	if v.kind != integer || v.neg || v.num > MaxInteger || f.json && int(v.end) == len(f.b) {
		return 0
	}
	return v.num
}
