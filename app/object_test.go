package app

import (
	"bytes"
	"encoding/json"
	"testing"

	"pgregory.net/rapid"
)

// text is a string as encoding/json writes it where it does not escape for HTML.
func text(t interface{ Fatalf(string, ...any) }, s any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		t.Fatalf("%v", err)
	}
	return string(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
}

// TestObject: an object is written as encoding/json writes the struct with those fields.
func TestObject(t *testing.T) {
	type item struct {
		Name string `json:"name"`
	}
	type fields struct {
		Text    string          `json:"text"`
		Plain   string          `json:"plain"`
		Number  int64           `json:"number"`
		Count   uint64          `json:"count"`
		Flag    bool            `json:"flag"`
		Texts   []string        `json:"texts"`
		Raw     json.RawMessage `json:"raw"`
		Inside  item            `json:"inside"`
		Items   []item          `json:"items"`
		Numbers []int           `json:"numbers"`
	}
	rapid.Check(t, func(t *rapid.T) {
		f := fields{
			Text: rapid.String().Draw(t, "text"), Plain: "Qxe8+", Number: rapid.Int64().Draw(t, "number"), Count: rapid.Uint64().Draw(t, "count"),
			Flag: rapid.Bool().Draw(t, "flag"), Texts: rapid.SliceOf(rapid.String()).Draw(t, "texts"), Raw: json.RawMessage(`[null]`),
			Inside: item{rapid.String().Draw(t, "inside")}, Items: []item{{"a"}, {"b"}}, Numbers: []int{},
		}
		o := NewObject(0).Text("text", f.Text).Plain("plain", []byte(f.Plain)).Number("number", f.Number).Count("count", f.Count)
		o = o.Flag("flag", f.Flag).Texts("texts", f.Texts).Raw("raw", f.Raw).Open("inside").Text("name", f.Inside.Name).Close('}').List("items")
		for _, i := range f.Items {
			o = o.Next().Text("name", i.Name).Close('}')
		}
		if got, want := string(o.Close(']').List("numbers").Close(']').End()), text(t, f); got != want {
			t.Fatalf("%s, encoding/json writes %s", got, want)
		}
	})
	if got := string(NewObject(0).End()); got != "{}" {
		t.Errorf("an object without fields is %s", got)
	}
}

// FuzzString: whatever the bytes, they become the JSON string that encoding/json makes of them.
func FuzzString(f *testing.F) {
	for _, s := range []string{"", "ann", `"\/`, "\x00\x01\b\t\n\v\f\r\x1f\x7f", "é😀\u2028\u2029\ufffd", "<&>", "\xff", "a\xc3", "\xed\xa0\x80", "\xe2\x80"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got, want := string(AppendString([]byte("x"), s)), "x"+text(t, s); got != want {
			t.Fatalf("%q is written as %s, encoding/json writes %s", s, got, want)
		}
	})
}
