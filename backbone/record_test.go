package backbone_test

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"carillon/backbone"
	"carillon/channel"

	"pgregory.net/rapid"
)

func anyRecord(t *rapid.T) channel.Record {
	r := channel.Record{
		Channel: channel.Name(rapid.StringMatching(`[A-Za-z0-9_.:@-]{1,128}`).Draw(t, "name")),
		At:      channel.Position{Epoch: rapid.Uint64().Draw(t, "epoch"), Offset: rapid.Uint64().Draw(t, "offset"), Tag: rapid.Uint64().Draw(t, "tag")},
		Prev:    rapid.Uint64().Draw(t, "prev"), Rev: rapid.Uint64().Draw(t, "rev"), Origin: rapid.Uint64().Draw(t, "origin"),
		Class: channel.Class(rapid.IntRange(0, 2).Draw(t, "class")), Key: rapid.String().Draw(t, "key"), From: rapid.String().Draw(t, "from"),
		Time:   time.UnixMilli(rapid.Int64Range(-1<<50, 1<<50).Draw(t, "time")).UTC(),
		NoEcho: rapid.Bool().Draw(t, "noecho"), Binary: rapid.Bool().Draw(t, "binary"), Body: rapid.SliceOf(rapid.Byte()).Draw(t, "body"),
	}
	if len(r.Body) == 0 {
		r.Body = nil
	}
	return r
}

func TestRecords(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rs := rapid.SliceOfN(rapid.Custom(anyRecord), 1, 4).Draw(t, "records")
		var form []byte
		for i := range rs {
			form = backbone.AppendRecord(form, &rs[i])
		}
		got, err := backbone.ParseRecords(string(form), rs[0].Channel)
		if err != nil || !reflect.DeepEqual(got, rs) {
			t.Fatalf("%v\n%+v\n%+v", err, got, rs)
		}
		end := rapid.IntRange(1, len(form)-1).Draw(t, "end")
		if got, err := backbone.ParseRecords(string(form[:end]), ""); err == nil && len(got) == len(rs) || err != nil && !errors.Is(err, backbone.ErrForm) {
			t.Fatalf("%d of %d bytes: %d records, %v", end, len(form), len(got), err)
		}
	})
}

func TestRecordRefused(t *testing.T) {
	good := backbone.AppendRecord(nil, &channel.Record{Channel: "a:b", Body: []byte("1")})
	for name, spoil := range map[string]func([]byte) []byte{
		"version":      func(b []byte) []byte { b[4] = 9; return b },
		"class":        func(b []byte) []byte { b[5] = 3; return b },
		"flags":        func(b []byte) []byte { b[5] |= 0x80; return b },
		"longer":       func(b []byte) []byte { b[3]++; return b },
		"huge":         func(b []byte) []byte { b[0] = 0xff; return b },
		"within":       func(b []byte) []byte { b[3] = 30; return b[:34] },
		"name":         func(b []byte) []byte { return bytes.Replace(b, []byte("a:b"), []byte("a*b"), 1) },
		"rest":         func(b []byte) []byte { return append(b, 0, 0) },
		"second wrong": func(b []byte) []byte { return append(b, b[:10]...) },
		"text":         func([]byte) []byte { return []byte(strings.Repeat("PING\r\n", 10)) },
	} {
		if rs, err := backbone.ParseRecords(string(spoil(bytes.Clone(good))), ""); !errors.Is(err, backbone.ErrForm) || rs != nil {
			t.Errorf("%s: %v, %v", name, rs, err)
		}
	}
	if rs, err := backbone.ParseRecords("", ""); err != nil || rs != nil {
		t.Errorf("nothing: %v, %v", rs, err)
	}
}

func FuzzParseRecords(f *testing.F) {
	r := channel.Record{Channel: "chat:lobby", From: "ann", Key: "k", Body: []byte(`{"a":1}`), Class: channel.Latest, NoEcho: true, Origin: 7}
	one := backbone.AppendRecord(nil, &r)
	f.Add(one)
	f.Add(append(bytes.Clone(one), one...))
	f.Add(one[:len(one)-3])
	f.Fuzz(func(t *testing.T, b []byte) {
		rs, err := backbone.ParseRecords(string(b), "chat:lobby")
		if err != nil {
			return
		}
		var again []byte
		for i := range rs {
			again = backbone.AppendRecord(again, &rs[i])
		}
		if !bytes.Equal(again, b) {
			t.Fatalf("%x was read as %x", b, again)
		}
	})
}
