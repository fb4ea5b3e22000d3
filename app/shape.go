package app

import (
	"encoding"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"
)

// Shape reads bodies of commands into values of the struct type T. What comes of it is what json.Unmarshal would make, tags,
// refusals and all; a body as programs write them, flat and without anything unusual, takes a fraction of the time.
// Make one of each type with ShapeOf, in a declaration: it never changes.
type Shape[T any] struct {
	places map[string][]int // by name; what is not here is left to encoding/json
}

// ShapeOf takes the fields of T as encoding/json knows them. It panics where T is no struct.
func ShapeOf[T any]() Shape[T] {
	t := reflect.TypeFor[T]()
	if t.Kind() != reflect.Struct {
		panic("app: a shape is that of a struct, and " + t.String() + " is none")
	}
	s := Shape[T]{places: map[string][]int{}}
	p := reflect.PointerTo(t)
	if p.Implements(reflect.TypeFor[json.Unmarshaler]()) || p.Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) || !walk(t, nil, s.places) {
		return Shape[T]{}
	}
	return s
}

// walk notes where the fields of a struct are. A name that stands twice gets no place, so that which of them counts is for
// encoding/json to say. It is false for a struct that cannot be read here at all.
func walk(t reflect.Type, path []int, places map[string][]int) bool {
	for i := range t.NumField() {
		f := t.Field(i)
		at := append(slices.Clone(path), i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-" || !f.IsExported() && !f.Anonymous:
			continue
		case f.Anonymous && name == "" && f.Type.Kind() == reflect.Struct:
			if !walk(f.Type, at, places) {
				return false
			}
			continue
		case f.Anonymous:
			return false
		case name == "":
			name = f.Name
		}
		if _, twice := places[name]; twice || options != "" && options != "omitempty" {
			at = nil
		}
		places[name] = at
	}
	return true
}

// Read reads a body into v, which must be zero. After an error what it holds means nothing. The body is not kept.
func (s Shape[T]) Read(body []byte, v *T) error {
	r := plainReader{b: body}
	if s.places != nil && r.object(s.places, reflect.ValueOf(v).Elem()) {
		return nil
	}
	*v = *new(T)
	return json.Unmarshal(body, v)
}

// plainReader reads JSON that has nothing unusual about it: known names, strings, whole numbers, booleans and lists of
// strings, each where it belongs. Its methods pass over white space first and are false at all else, which is no judgement.
type plainReader struct {
	b []byte
	i int
}

func (r *plainReader) object(places map[string][]int, v reflect.Value) bool {
	if !r.next('{') {
		return false
	}
	for more := !r.next('}'); more; {
		name, escaped, ok := r.quoted()
		at := places[string(name)]
		if !ok || escaped || at == nil || !r.next(':') || !r.value(v.FieldByIndex(at).Addr().Interface()) {
			return false
		}
		if more = r.next(','); !more && !r.next('}') {
			return false
		}
	}
	r.space()
	return r.i == len(r.b)
}

// value reads what belongs where p points.
func (r *plainReader) value(p any) (ok bool) {
	switch p := p.(type) {
	case *string:
		*p, ok = r.text()
	case *int64:
		*p, ok = r.number()
	case **int64:
		n := new(int64)
		*n, ok = r.number()
		*p = n
	case *uint64:
		ok = r.count(p)
	case **uint64:
		n := new(uint64)
		ok = r.count(n)
		*p = n
	case *bool:
		*p = r.word("true")
		ok = *p || r.word("false")
	case *[]string:
		*p, ok = r.texts()
	}
	return ok
}

func (r *plainReader) space() {
	for r.i < len(r.b) {
		switch r.b[r.i] {
		case ' ', '\n', '\r', '\t':
			r.i++
		default:
			return
		}
	}
}

// next passes over this byte, if it is the next.
func (r *plainReader) next(c byte) bool {
	r.space()
	if r.i < len(r.b) && r.b[r.i] == c {
		r.i++
		return true
	}
	return false
}

func (r *plainReader) word(s string) bool {
	r.space()
	if len(r.b)-r.i < len(s) || string(r.b[r.i:r.i+len(s)]) != s {
		return false
	}
	r.i += len(s)
	return true
}

// maxDigits is how many always fit into an int64.
const maxDigits = 18

func (r *plainReader) number() (n int64, ok bool) {
	minus := r.next('-')
	from := r.i
	for ; r.i < len(r.b) && r.b[r.i]-'0' <= 9; r.i++ {
		if r.i-from == maxDigits {
			return 0, false
		}
		n = 10*n + int64(r.b[r.i]-'0')
	}
	if minus {
		n = -n
	}
	digits := r.i - from
	return n, digits == 1 || digits > 1 && r.b[from] != '0'
}

// count reads a number from 0 on, without a sign.
func (r *plainReader) count(p *uint64) bool {
	r.space()
	if r.i < len(r.b) && r.b[r.i] == '-' {
		return false
	}
	n, ok := r.number()
	*p = uint64(n)
	return ok
}

// quoted passes over a string and gives what stands between the quotes.
func (r *plainReader) quoted() (s []byte, escaped, ok bool) {
	if !r.next('"') {
		return nil, false, false
	}
	from, ascii := r.i, true
	for ; r.i < len(r.b); r.i++ {
		switch c := r.b[r.i]; {
		case c == '"':
			s = r.b[from:r.i]
			r.i++
			return s, escaped, ascii || utf8.Valid(s)
		case c == '\\':
			escaped = true
			r.i++ // what is escaped ends nothing
		case c < ' ':
			return nil, false, false
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	return nil, false, false
}

func (r *plainReader) text() (string, bool) {
	s, escaped, ok := r.quoted()
	if ok && escaped {
		s, ok = unescape(s)
	}
	return string(s), ok
}

// unescape is what a string with escapes of two characters means. Those of six are rare, and half of some of them is nothing.
func unescape(s []byte) ([]byte, bool) {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '\\' {
			i++
			switch s[i] {
			case '"', '\\', '/':
				c = s[i]
			case 'b':
				c = '\b'
			case 'f':
				c = '\f'
			case 'n':
				c = '\n'
			case 'r':
				c = '\r'
			case 't':
				c = '\t'
			default:
				return nil, false
			}
		}
		out = append(out, c)
	}
	return out, true
}

func (r *plainReader) texts() ([]string, bool) {
	if !r.next('[') {
		return nil, false
	}
	all := []string{}
	for more := !r.next(']'); more; {
		s, ok := r.text()
		if !ok {
			return nil, false
		}
		all = append(all, s)
		if more = r.next(','); !more && !r.next(']') {
			return nil, false
		}
	}
	return all, true
}
