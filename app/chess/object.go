package chess

import "strconv"

// object is a JSON object that is being written. Its methods are called in the order of the fields, end comes last.
type object []byte

func newObject(size int) object { return append(make(object, 0, size), '{') }

func (o object) key(key string) object {
	if o[len(o)-1] != '{' {
		o = append(o, ',')
	}
	return append(append(append(o, '"'), key...), '"', ':')
}

func (o object) text(key, val string) object { return appendString(o.key(key), val) }

// plain writes what needs no escape.
func (o object) plain(key string, val []byte) object {
	return append(append(append(o.key(key), '"'), val...), '"')
}

func (o object) number(key string, val int64) object { return strconv.AppendInt(o.key(key), val, 10) }

func (o object) flag(key string, val bool) object { return strconv.AppendBool(o.key(key), val) }

// raw writes a value that is JSON already.
func (o object) raw(key string, val []byte) object { return append(o.key(key), val...) }

// open begins an object within, list an array; close ends either.
func (o object) open(key string) object { return append(o.key(key), '{') }

func (o object) list(key string) object { return append(o.key(key), '[') }

// next begins an object of an array, item any other element of one.
func (o object) next() object { return append(o.item(), '{') }

func (o object) item() object {
	if o[len(o)-1] != '[' {
		o = append(o, ',')
	}
	return o
}

func (o object) close(b byte) object { return append(o, b) }

func (o object) end() []byte { return append(o, '}') }

const hexDigits = "0123456789abcdef"

// appendString writes valid UTF-8 as a JSON string.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[from:i]...)
		from = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return append(append(dst, s[from:]...), '"')
}
