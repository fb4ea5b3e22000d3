package api

import (
	"encoding/json"
	"math"

	"carillon/wire"
)

// splitter takes JSON text apart into the values it is made of, without looking into them: that is left to
// wire.CheckBody, value by value. So the bound on nesting counts from a record's body, as it does on the socket, and
// not from what the API wraps around it.
type splitter struct {
	b []byte
	i int
}

var errNoObject = &wire.Error{Code: wire.CodeBadRequest, Text: "This must be one JSON object."}

// object gives the fields of an object with their text, which may be malformed.
func object(text []byte) (map[string][]byte, *wire.Error) {
	s := splitter{b: text}
	if len(text) > math.MaxInt32 || !s.take('{') {
		e := *errNoObject
		return nil, &e
	}
	fields := make(map[string][]byte, 8)
	for first := true; ; first = false {
		if s.take('}') {
			break
		}
		if !first && !s.take(',') {
			return nil, bad("a comma is missing between two fields.")
		}
		if len(fields) == maxFields {
			return nil, bad("an object here has at most %d fields.", maxFields)
		}
		name, err := s.field()
		if err != nil {
			return nil, err
		}
		if _, twice := fields[name]; twice {
			return nil, bad("the field %+q stands twice.", name[:min(len(name), wire.MaxIdem)])
		}
		if fields[name] = s.value(); fields[name] == nil {
			return nil, bad("a field has no value.")
		}
	}
	if s.space(); s.i < len(s.b) {
		return nil, bad("something follows the end of the object.")
	}
	return fields, nil
}

// field reads a name and the colon behind it.
func (s *splitter) field() (string, *wire.Error) {
	s.space()
	text := s.value()
	if len(text) == 0 || text[0] != '"' {
		return "", bad("the name of a field is missing.")
	}
	checked, err := wire.CheckBody(text)
	if err != nil {
		return "", wire.AsError(err)
	}
	var name string
	if json.Unmarshal(checked, &name) != nil || !s.take(':') {
		return "", bad("a field has no value.")
	}
	return name, nil
}

// array gives the items of an array with their text, which may be malformed.
func array(text []byte, most int) ([][]byte, *wire.Error) {
	s := splitter{b: text}
	if !s.take('[') {
		return nil, bad("this must be an array.")
	}
	var items [][]byte
	for first := true; ; first = false {
		if s.take(']') {
			break
		}
		if !first && !s.take(',') {
			return nil, bad("a comma is missing between two items.")
		}
		if len(items) == most {
			return nil, bad("at most %d items go into it.", most)
		}
		item := s.value()
		if item == nil {
			return nil, bad("an item is missing.")
		}
		items = append(items, item)
	}
	if s.space(); s.i < len(s.b) {
		return nil, bad("something follows the end of the array.")
	}
	return items, nil
}

func (s *splitter) space() {
	for s.i < len(s.b) && (s.b[s.i] == ' ' || s.b[s.i] == '\t' || s.b[s.i] == '\r' || s.b[s.i] == '\n') {
		s.i++
	}
}

// take passes over white space and one character, if that is the next.
func (s *splitter) take(c byte) bool {
	s.space()
	if s.i == len(s.b) || s.b[s.i] != c {
		return false
	}
	s.i++
	return true
}

// value passes over one value and returns its text, nil if there is none.
func (s *splitter) value() []byte {
	s.space()
	start, depth := s.i, 0
	for s.i < len(s.b) {
		switch c := s.b[s.i]; c {
		case '"':
			s.quoted()
		case '{', '[':
			depth++
			s.i++
		case '}', ']':
			if depth == 0 {
				return s.since(start)
			}
			depth--
			s.i++
		case ',', ':', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return s.since(start)
			}
			s.i++
			continue
		default:
			s.i++
			continue
		}
		if depth == 0 {
			return s.since(start)
		}
	}
	return s.since(start)
}

func (s *splitter) since(start int) []byte {
	if start == s.i {
		return nil
	}
	return s.b[start:s.i:s.i]
}

// quoted passes over a string, or to the end of the text if it has none.
func (s *splitter) quoted() {
	for s.i++; s.i < len(s.b); s.i++ {
		switch s.b[s.i] {
		case '\\':
			s.i++
		case '"':
			s.i++
			return
		}
	}
	s.i = len(s.b)
}
