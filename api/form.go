package api

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"carillon/channel"
	"carillon/wire"
)

// maxFields bounds the fields of one object of a request.
const maxFields = 32

func refuse(code wire.Code, format string, args ...any) *wire.Error {
	return &wire.Error{Code: code, Text: fmt.Sprintf(format, args...)}
}

func bad(format string, args ...any) *wire.Error { return refuse(wire.CodeBadRequest, format, args...) }

// form is an object of a request, taken apart by its exact names: no two spellings mean the same field, none stands
// twice, and each value is the text that was sent. The first fault met while taking fields stays in err; what is
// taken after it is zero. A null is as good as absent, but for data.
type form struct {
	fields map[string][]byte
	where  string // what precedes a field's name in messages, such as "items[3]."
	err    *wire.Error
}

// newForm takes an object apart. What its values hold is checked when they are taken; finish refuses what nobody took.
func newForm(text []byte, where string) *form {
	f := &form{where: where}
	f.fields, f.err = object(text)
	if f.err != nil && where != "" {
		f.err.Text = strings.TrimSuffix(where, ".") + ": " + f.err.Text
	}
	return f
}

func (f *form) refuse(code wire.Code, format string, args ...any) {
	if f.err == nil {
		f.err = refuse(code, f.where+format, args...)
	}
}

// raw takes a field as it stands, strictly checked; nil if it is absent.
func (f *form) raw(name string) []byte {
	text, is := f.fields[name]
	delete(f.fields, name)
	if !is || f.err != nil {
		return nil
	}
	value, err := wire.CheckBody(text)
	if err != nil {
		f.refuse(wire.CodeBadRequest, "%s: %s", name, wire.AsError(err).Text)
		return nil
	}
	return value
}

// value is raw, with null as good as absent.
func (f *form) value(name string) []byte {
	if v := f.raw(name); string(v) != "null" {
		return v
	}
	return nil
}

// has tells of a field that was not taken yet.
func (f *form) has(name string) bool {
	text, is := f.fields[name]
	return is && string(bytes.TrimSpace(text)) != "null"
}

// text is a string, "" if it is absent.
func (f *form) text(name string) string {
	v := f.value(name)
	if v == nil {
		return ""
	}
	var s string
	if json.Unmarshal(v, &s) != nil {
		f.refuse(wire.CodeBadRequest, "%s must be a string.", name)
	}
	return s
}

// printable is a string of 1 to most printable ASCII bytes, "" only if it is absent.
func (f *form) printable(name string, most int) string {
	given := f.has(name)
	s := f.text(name)
	switch {
	case !given || f.err != nil:
		return s
	case len(s) == 0 || len(s) > most:
		f.refuse(wire.CodeBadRequest, "%s must have 1 to %d bytes.", name, most)
	default:
		f.ascii(name, s)
	}
	return s
}

func (f *form) ascii(name, s string) {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			f.refuse(wire.CodeBadRequest, "%s must be printable ASCII.", name)
			return
		}
	}
}

// user is a user id, "" if it is absent.
func (f *form) user(name string) string {
	given := f.has(name)
	s := f.text(name)
	if f.err == nil && given && !validUser(s) {
		f.refuse(wire.CodeBadRequest, "%s: %s", name, userRule)
	}
	return s
}

// millis is a duration or a moment in whole milliseconds, 0 if it is absent.
func (f *form) millis(name string) int64 {
	v := f.value(name)
	if v == nil {
		return 0
	}
	n, err := strconv.ParseInt(string(v), 10, 64)
	if err != nil || n < 0 || n > wire.MaxInteger {
		f.refuse(wire.CodeBadRequest, "%s must be an integer from 0 to 2^53-1.", name)
		return 0
	}
	return n
}

// duration is millis as a duration, bounded by what one can hold.
func (f *form) duration(name string) time.Duration {
	return time.Duration(min(f.millis(name), math.MaxInt64/int64(time.Millisecond))) * time.Millisecond
}

// channel is a channel name, needed.
func (f *form) channel(name string) channel.Name {
	given := f.has(name)
	s := f.text(name)
	if !given {
		f.refuse(wire.CodeBadRequest, "%s is missing.", name)
		return ""
	}
	n, err := channel.ParseName(s)
	if err != nil {
		f.refuse(wire.CodeBadChannel, "%s must have 1 to %d of the characters A-Z a-z 0-9 _ . : @ -", name, channel.MaxName)
	}
	return n
}

// class is the class of a record, Logged if it is absent.
func (f *form) class() channel.Class {
	given := f.has("class")
	switch s := f.text("class"); {
	case !given || s == "logged":
		return channel.Logged
	case s == "latest":
		return channel.Latest
	case s == "fleeting":
		return channel.Fleeting
	}
	f.refuse(wire.CodeBadRequest, `class must be "logged", "latest" or "fleeting".`)
	return channel.Logged
}

// body is the body of a record, nil if it is empty or absent. It is a copy: a record outlives its request.
func (f *form) body() (body []byte, binary bool) {
	if f.has("data64") {
		if _, both := f.fields["data"]; both {
			f.refuse(wire.CodeBadRequest, "data and data64 exclude each other.")
			return nil, false
		}
		s := f.text("data64")
		body, err := base64.StdEncoding.Strict().DecodeString(s)
		if err != nil || bytes.ContainsAny([]byte(s), "\r\n") { // which it passes over
			f.refuse(wire.CodeBadRequest, "data64 must be standard base64 with padding.")
			return nil, false
		}
		return body, len(body) > 0
	}
	delete(f.fields, "data64")
	return bytes.Clone(f.raw("data")), false
}

// list takes an array apart, absent as good as empty.
func (f *form) list(name string, most int) [][]byte {
	text, is := f.fields[name]
	delete(f.fields, name)
	if !is || f.err != nil || string(bytes.TrimSpace(text)) == "null" {
		return nil
	}
	items, err := array(text, most)
	if err != nil {
		f.refuse(wire.CodeBadRequest, "%s: %s", name, err.Text)
	}
	return items
}

// texts is an array of strings.
func (f *form) texts(name string, most int) []string {
	var all []string
	for _, item := range f.list(name, most) {
		value, err := wire.CheckBody(item)
		var s string
		if err != nil || json.Unmarshal(value, &s) != nil || string(value) == "null" {
			f.refuse(wire.CodeBadRequest, "%s must hold strings.", name)
			return nil
		}
		all = append(all, s)
	}
	return all
}

// finish refuses what nobody took: a name that is misspelt must not pass in silence. It returns the first fault.
func (f *form) finish() *wire.Error {
	if f.err != nil {
		return f.err
	}
	for name := range f.fields {
		if len(name) > wire.MaxIdem {
			name = name[:wire.MaxIdem] + "…"
		}
		f.refuse(wire.CodeBadRequest, "there is no field %+q here.", name)
		break
	}
	return f.err
}
