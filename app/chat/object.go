package chat

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

func (o object) text(key, val string) object {
	return appendString(o.key(key), val)
}

func (o object) number(key string, val uint64) object {
	return strconv.AppendUint(o.key(key), val, 10)
}

func (o object) flag(key string, val bool) object {
	return strconv.AppendBool(o.key(key), val)
}

func (o object) users(key string, vals []string) object {
	o = append(o.key(key), '[')
	for i, v := range vals {
		if i > 0 {
			o = append(o, ',')
		}
		o = appendString(o, v)
	}
	return append(o, ']')
}

func (o object) end() []byte { return append(o, '}') }

// list begins an array of objects; each is opened by next and closed by an ordinary brace.
func (o object) list(key string) object { return append(o.key(key), '[') }

func (o object) next() object {
	if o[len(o)-1] != '[' {
		o = append(o, ',')
	}
	return append(o, '{')
}

func (o object) close(b byte) object { return append(o, b) }

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
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return append(append(dst, s[from:]...), '"')
}
