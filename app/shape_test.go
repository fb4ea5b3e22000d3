package app

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// inner and form are shaped as requests of services are, and have what a Shape must leave alone.
type inner struct {
	Base  int64  `json:"base"`
	Rated bool   `json:"rated,omitempty"`
	Twice string `json:"twice"`
}

type form struct {
	Type   string         `json:"type"`
	Ply    *int64         `json:"ply"`
	Lag    int64          `json:"lag"`
	Of     uint64         `json:"of"`
	Limit  *uint64        `json:"limit"`
	Names  []string       `json:"names"`
	Quoted int64          `json:"quoted,string"`
	Deep   map[string]any `json:"deep"`
	Plain  string
	Hidden string `json:"-"`
	Small  int32  `json:"small"`
	Twice  string `json:"twice"`
	inner
}

var formShape = ShapeOf[form]()

// alike demands that a body is read as encoding/json reads it, refusals included.
func alike(t interface{ Fatalf(string, ...any) }, body []byte) {
	var want, got form
	before := bytes.Clone(body)
	wantErr := json.Unmarshal(body, &want)
	gotErr := formShape.Read(body, &got)
	switch {
	case !bytes.Equal(before, body):
		t.Fatalf("%q was changed to %q", before, body)
	case fmt.Sprint(wantErr) != fmt.Sprint(gotErr):
		t.Fatalf("%q: %v, encoding/json says %v", body, gotErr, wantErr)
	case wantErr == nil && !reflect.DeepEqual(want, got):
		t.Fatalf("%q is read as %+v, encoding/json reads %+v", body, got, want)
	}
}

// oddBodies are what a reader of its own gets wrong.
var oddBodies = []string{
	``, ` `, `{}`, ` { } `, `{} x`, `{`, `null`, `[]`, `"a"`, `{"type":"move","ply":12,"lag":30,"rated":true,"base":180}`, "\t{ \"type\" :\r\n\"x\" , \"lag\" : 1 }\n",
	`{"lag":-0}`, `{"of":-0}`, `{"lag":01}`, `{"lag":-}`, `{"lag":1.0}`, `{"lag":1e2}`, `{"lag":1 2}`, `{"lag":- 1}`, `{"lag":+1}`, `{"lag":}`, `{"lag":"1"}`, `{"lag":null}`,
	`{"lag":999999999999999999}`, `{"lag":9223372036854775807}`, `{"lag":-9223372036854775808}`, `{"lag":9223372036854775808}`, `{"of":18446744073709551615}`,
	`{"ply":null}`, `{"ply":3,"ply":null}`, `{"ply":3,"ply":4}`, `{"type":"a","Type":"b"}`, `{"TYPE":"a"}`, `{"\u0074ype":"a"}`, `{"plain":"a"}`, `{"Plain":"a"}`,
	`{"type":"a\n\"\\\/\b\f\r\t"}`, `{"type":"\u00e9\ud83d\ude00"}`, `{"type":"\ud83d"}`, `{"type":"\x"}`, `{"type":"a\"}`, `{"type":"a\`, "{\"type\":\"\xff\"}", "{\"type\":\"a\nb\"}",
	"{\"\xff\":1}", `{"type":"é😀"}`, "{\"type\":\"\x7f\"}", `{"names":[]}`, `{"names":["a","b"]}`, `{"names":["a",null]}`, `{"names":["a",]}`, `{"names":[1]}`, `{"names":["a"],"names":["b"]}`, `{"names":null}`,
	`{"quoted":1}`, `{"quoted":"1"}`, `{"deep":{"a":[1]}}`, `{"x":1}`, `{"x":{"type":"a"},"type":"b"}`, `{"Hidden":"a"}`, `{"-":"a"}`, `{"other":"a"}`, `{"small":4294967296}`, `{"small":1}`, `{"twice":"a"}`,
	`{"rated":true}`, `{"rated":false,}`, `{"rated":truex}`, `{"rated":tru`, `{"type":"a",}`, `{"type":"a""lag":1}`, `{"type" "a"}`, `{,}`, `{"limit":0}`, `{"limit":-1}`, `{"inner":{}}`, `{"type":true}`,
}

func TestShape(t *testing.T) {
	for _, body := range oddBodies {
		alike(t, []byte(body))
	}
	for _, s := range []Shape[Outer]{ShapeOf[Outer](), {}} {
		var v Outer
		if err := s.Read([]byte(`{"base":1}`), &v); err != nil || v.Inner == nil || v.Base != 1 {
			t.Errorf("a struct that is left to encoding/json is read as %+v: %v", v, err)
		}
	}
	var s Own
	if err := ShapeOf[Own]().Read([]byte(`{"base":1}`), &s); err != nil || s.Base != 2 {
		t.Errorf("a struct that reads itself is read as %+v: %v", s, err)
	}
	defer func() {
		if recover() == nil {
			t.Error("a number has a shape")
		}
	}()
	ShapeOf[int]()
}

// Structs that encoding/json must read.
type (
	Outer struct{ *Inner }
	Inner struct{ Base int64 }
	Own   struct{ Base int64 }
)

func (o *Own) UnmarshalJSON([]byte) error {
	o.Base = 2
	return nil
}

// TestShapeProperty puts bodies together out of what goes right and what goes wrong.
func TestShapeProperty(t *testing.T) {
	names := []string{"type", "ply", "lag", "of", "limit", "names", "base", "rated", "twice", "plain", "Plain", "small", "quoted", "x", "TYPE", `t\u0079pe`}
	values := []string{`"move"`, `"a\nb"`, `"é"`, `"\u00e9"`, `0`, `7`, `-7`, `-0`, `1.5`, `01`, `99999999999999999999`, `true`, `false`, `null`, `[]`, `["a"]`, `["a","b"]`, `[1]`, `{}`, `"`, ``}
	spaces := []string{"", "", "", "", " ", "\n\t", "\x00", ","}
	rapid.Check(t, func(t *rapid.T) {
		space := func() string { return rapid.SampledFrom(spaces).Draw(t, "space") }
		var members []string
		for range rapid.IntRange(0, 5).Draw(t, "members") {
			name, value := rapid.SampledFrom(names).Draw(t, "name"), rapid.SampledFrom(values).Draw(t, "value")
			members = append(members, space()+`"`+name+`"`+space()+":"+space()+value+space())
		}
		alike(t, []byte(space()+"{"+strings.Join(members, ",")+"}"+space()))
	})
}

func FuzzShape(f *testing.F) {
	for _, body := range oddBodies {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) { alike(t, body) })
}

// TestShapeCost: a body as programs write them is read without encoding/json, which takes more than its values.
func TestShapeCost(t *testing.T) {
	body := []byte(`{"type":"move","ply":12,"lag":30}`)
	v := new(form)
	if n := testing.AllocsPerRun(100, func() {
		*v = form{}
		if err := formShape.Read(body, v); err != nil {
			t.Error(err)
		}
	}); n > 2 { // the text and the number that is pointed at
		t.Errorf("%s takes %v allocations", body, n)
	}
}

func BenchmarkShape(b *testing.B) {
	body := []byte(`{"type":"move","ply":12,"Plain":"e2e4","lag":30}`)
	v := new(form)
	b.Run("Shape", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			*v = form{}
			if err := formShape.Read(body, v); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("encoding/json", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			*v = form{}
			if err := json.Unmarshal(body, v); err != nil {
				b.Fatal(err)
			}
		}
	})
}
