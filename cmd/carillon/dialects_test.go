package main

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/coder/websocket"
)

// dialect is one of the two encodings, written here anew so that the test does not believe the code under test.
type dialect struct {
	protocol string
	frame    websocket.MessageType
	encode   func(map[string]any) []byte
	decode   func([]byte) (any, error)
	text     func(data any) (string, error) // of a record whose data is a JSON string
}

var jsonDialect = dialect{
	protocol: "carillon.v1.json", frame: websocket.MessageText,
	encode: func(m map[string]any) []byte { b, _ := json.Marshal(m); return b },
	decode: func(b []byte) (v any, err error) { err = json.Unmarshal(b, &v); return v, err },
	text: func(data any) (string, error) {
		if s, ok := data.(string); ok {
			return s, nil
		}
		return "", fmt.Errorf("data is %v", data)
	},
}

var packDialect = dialect{
	protocol: "carillon.v1.msgpack", frame: websocket.MessageBinary,
	encode: func(m map[string]any) []byte { return appendPack(nil, m) },
	decode: func(b []byte) (any, error) {
		v, rest, err := readPack(b)
		if err == nil && len(rest) > 0 {
			err = errors.New("bytes behind the message")
		}
		return v, err
	},
	text: func(data any) (s string, err error) { // the JSON text of the body
		text, ok := data.(string)
		if !ok {
			return "", fmt.Errorf("data is %v", data)
		}
		return s, json.Unmarshal([]byte(text), &s)
	},
}

// appendPack writes what requests need: maps of strings, small numbers and strings.
func appendPack(dst []byte, v any) []byte {
	switch v := v.(type) {
	case map[string]any:
		dst = append(dst, 0x80|byte(len(v)))
		keys := make([]string, 0, len(v))
		for k := range v {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		for _, k := range keys {
			dst = appendPack(appendPack(dst, k), v[k])
		}
		return dst
	case string:
		return append(append(dst, 0xd9, byte(len(v))), v...)
	case int:
		return binary.BigEndian.AppendUint32(append(dst, 0xce), uint32(v))
	}
	panic(fmt.Sprintf("no encoding for %T", v))
}

var errPack = errors.New("not MessagePack")

// readPack reads one value; numbers become float64, as encoding/json has them.
func readPack(b []byte) (v any, rest []byte, err error) {
	if len(b) == 0 {
		return nil, nil, errPack
	}
	c, b := b[0], b[1:]
	number := func(n int) (x uint64) { // big-endian, of n bytes
		if len(b) < n {
			err = errPack
			return 0
		}
		for _, d := range b[:n] {
			x = x<<8 | uint64(d)
		}
		b = b[n:]
		return x
	}
	switch {
	case c < 0x80:
		return float64(c), b, nil
	case c < 0x90:
		return readPackMap(b, int(c&0x0f))
	case c < 0xa0:
		return readPackArray(b, int(c&0x0f))
	case c < 0xc0:
		return readPackText(b, uint64(c&0x1f), nil)
	case c >= 0xe0:
		return float64(int8(c)), b, nil
	}
	switch c {
	case 0xc0:
		return nil, b, nil
	case 0xc2, 0xc3:
		return c == 0xc3, b, nil
	case 0xc4, 0xd9:
		n := number(1)
		return readPackText(b, n, err)
	case 0xc5, 0xda:
		n := number(2)
		return readPackText(b, n, err)
	case 0xc6, 0xdb:
		n := number(4)
		return readPackText(b, n, err)
	case 0xcb:
		return math.Float64frombits(number(8)), b, err
	case 0xcc, 0xcd, 0xce, 0xcf:
		return float64(number(1 << (c - 0xcc))), b, err
	case 0xd0:
		return float64(int8(number(1))), b, err
	case 0xd1:
		return float64(int16(number(2))), b, err
	case 0xd2:
		return float64(int32(number(4))), b, err
	case 0xd3:
		return float64(int64(number(8))), b, err
	case 0xdc:
		n := int(number(2))
		return readPackArray(b, n)
	case 0xdd:
		n := int(number(4))
		return readPackArray(b, n)
	case 0xde:
		n := int(number(2))
		return readPackMap(b, n)
	}
	return nil, nil, fmt.Errorf("%w: type %x", errPack, c)
}

func readPackText(b []byte, n uint64, err error) (any, []byte, error) {
	if err != nil || uint64(len(b)) < n {
		return nil, nil, errPack
	}
	return string(b[:n]), b[n:], nil
}

func readPackArray(b []byte, n int) (any, []byte, error) {
	var all []any
	for range n {
		v, rest, err := readPack(b)
		if err != nil {
			return nil, nil, err
		}
		all, b = append(all, v), rest
	}
	return all, b, nil
}

func readPackMap(b []byte, n int) (any, []byte, error) {
	m := map[string]any{}
	for range n {
		k, rest, err := readPack(b)
		if err != nil {
			return nil, nil, err
		}
		key, ok := k.(string)
		if !ok {
			return nil, nil, errPack
		}
		if m[key], b, err = readPack(rest); err != nil {
			return nil, nil, err
		}
	}
	return m, b, nil
}
