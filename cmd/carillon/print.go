package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"carillon/channel"
	"carillon/wire"
)

// shownRecord is a record as a program gets it: as on the wire, whose `time` is in milliseconds.
type shownRecord struct {
	Channel channel.Name    `json:"channel"`
	Offset  uint64          `json:"offset,omitempty"`
	At      string          `json:"at,omitempty"`
	Time    int64           `json:"time"`
	From    string          `json:"user,omitempty"`
	Class   string          `json:"class,omitempty"`
	Key     string          `json:"key,omitempty"`
	Rev     uint64          `json:"rev,omitempty"`
	Data    json.RawMessage `json:"data,omitempty"`
	Data64  []byte          `json:"data64,omitempty"`
}

// appendJSON appends a record as one line.
func appendJSON(dst []byte, r *channel.Record) []byte {
	s := shownRecord{Channel: r.Channel, Offset: r.At.Offset, Time: r.Time.UnixMilli(), From: r.From, Key: r.Key}
	if !r.At.IsZero() {
		s.At = r.At.String()
	}
	switch r.Class {
	case channel.Latest:
		s.Class, s.Rev = "latest", r.Rev
	case channel.Fleeting:
		s.Class = "fleeting"
	}
	if r.Binary {
		s.Data64 = r.Body
	} else {
		s.Data = r.Body
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b) // ends with a line feed, and makes one line of a body that has several
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		// The server promised JSON and sent something else: show it, as what it is.
		s.Data, s.Data64 = nil, r.Body
		b.Reset()
		_ = e.Encode(s) // strings, numbers and bytes
	}
	return append(dst, b.Bytes()...)
}

// appendHuman appends a record as one line for people: time, offset, sender, body; the channel where there are several, and
// the key of a latest value.
func appendHuman(dst []byte, r *channel.Record, s style, named bool) []byte {
	dst = append(dst, s.dim(r.Time.Local().Format("15:04:05.000"))...)
	if named {
		dst = append(append(dst, ' ', ' '), s.blue(string(r.Channel))...)
	}
	at := "-"
	if !r.At.IsZero() {
		at = fmt.Sprint(r.At.Offset)
	}
	dst = fmt.Appendf(dst, "  %s  %s  ", s.bold(fmt.Sprintf("%5s", at)), s.green(printable(shortened(r.From))))
	if r.Class == channel.Latest {
		dst = append(append(dst, s.blue(printable(r.Key))...), " = "...)
	}
	return append(append(dst, body(r)...), '\n')
}

// shownGuest is how much of a guest's id people see, in characters: enough to tell two apart on one screen.
const shownGuest = 12

// shortened is a user as people see him. Ids of guests are made up and long; those that a token names are shown whole.
func shortened(user string) string {
	if strings.HasPrefix(user, wire.GuestPrefix) && len(user) > shownGuest {
		return user[:shownGuest] + "…"
	}
	return user
}

// body is what people see of a body.
func body(r *channel.Record) string {
	switch {
	case len(r.Body) == 0 && r.Class == channel.Latest:
		return "(deleted)"
	case len(r.Body) == 0:
		return "(erased)"
	case r.Binary:
		return fmt.Sprintf("(%d bytes) %s", len(r.Body), base64.StdEncoding.EncodeToString(r.Body))
	}
	var b bytes.Buffer
	if json.Compact(&b, r.Body) != nil {
		return printable(string(r.Body))
	}
	return printable(b.String())
}

// rate is n per second as people read it.
func rate(n int, d time.Duration) string {
	if d <= 0 {
		return "-"
	}
	return grouped(int(float64(n) / d.Seconds()))
}

// grouped is n with commas between thousands.
func grouped(n int) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// plural is "1 line" or "2,000 lines".
func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return grouped(n) + " " + thing + "s"
}
