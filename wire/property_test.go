package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"reflect"
	"strconv"
	"testing"
	"time"

	"carillon/channel"

	"pgregory.net/rapid"
)

func printableText(most int) *rapid.Generator[string] {
	return rapid.StringOfN(rapid.RuneFrom([]rune(asciiPrintable)), 1, most, -1)
}

func optional(g *rapid.Generator[string]) *rapid.Generator[string] {
	return rapid.OneOf(rapid.Just(""), g)
}

var (
	names = rapid.Custom(func(t *rapid.T) channel.Name {
		return channel.Name(rapid.StringMatching(`[A-Za-z0-9_.:@-]{1,128}`).Draw(t, "name"))
	})
	identities = rapid.Uint64Range(1, MaxInteger)
	classes    = rapid.SampledFrom([]channel.Class{channel.Logged, channel.Latest, channel.Fleeting})
	millis     = rapid.Custom(func(t *rapid.T) time.Duration {
		return time.Duration(rapid.Int64Range(0, int64(longest/time.Millisecond)).Draw(t, "ms")) * time.Millisecond
	})
	moments = rapid.Custom(func(t *rapid.T) time.Time {
		return time.UnixMilli(rapid.Int64Range(0, MaxInteger).Draw(t, "time")).UTC()
	})
	positions = rapid.Custom(func(t *rapid.T) channel.Position {
		return channel.Position{
			Epoch:  rapid.Uint64Min(1).Draw(t, "epoch"),
			Offset: rapid.Uint64Max(MaxInteger).Draw(t, "offset"),
			Tag:    rapid.Uint64().Draw(t, "tag"),
		}
	})
	places = rapid.OneOf(rapid.Just(channel.Position{}), positions)
)

// bodies are JSON texts, made by the standard library and indented at random, or bytes.
func drawBody(t *rapid.T) (body []byte, binary bool) {
	if rapid.Bool().Draw(t, "binary") {
		return rapid.SliceOfN(rapid.Byte(), 1, 300).Draw(t, "bytes"), true
	}
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(rapid.Bool().Draw(t, "html"))
	e.SetIndent("", rapid.SampledFrom([]string{"", " ", "\t"}).Draw(t, "indent"))
	if err := e.Encode(drawValue(t, 0)); err != nil {
		t.Fatal(err)
	}
	return bytes.TrimSpace(text.Bytes()), false
}

func drawValue(t *rapid.T, depth int) any {
	most := 6
	if depth > 4 {
		most = 4
	}
	switch rapid.IntRange(0, most).Draw(t, "kind") {
	case 0:
		return nil
	case 1:
		return rapid.Bool().Draw(t, "bool")
	case 2:
		return rapid.Float64().Filter(func(f float64) bool { _, err := json.Marshal(f); return err == nil }).Draw(t, "number")
	case 3:
		return rapid.Int64().Draw(t, "integer")
	case 4:
		return rapid.String().Draw(t, "string")
	case 5:
		n := rapid.IntRange(0, 4).Draw(t, "elements")
		out := make([]any, n)
		for i := range out {
			out[i] = drawValue(t, depth+1)
		}
		return out
	}
	out := map[string]any{}
	for range rapid.SampledFrom([]int{0, 1, 3, 20}).Draw(t, "pairs") {
		out[rapid.String().Draw(t, "key")] = drawValue(t, depth+2)
	}
	return out
}

var requests = rapid.Custom(func(t *rapid.T) Request {
	q := Request{Type: RequestType(rapid.IntRange(1, int(ReqPong)).Draw(t, "type"))}
	if q.Type == ReqPong {
		return q
	}
	q.ID = identities.Draw(t, "id")
	switch q.Type {
	case ReqConnect:
		q.Token, q.Name = rapid.String().Draw(t, "token"), optional(printableText(MaxClient)).Draw(t, "software")
		return q
	case ReqRefresh:
		q.Token = "x" + rapid.String().Draw(t, "token")
		return q
	case ReqLeave, ReqPing:
		return q
	}
	users := rapid.StringOfN(rapid.Rune(), 1, MaxUser/4, MaxUser)
	if q.Type == ReqPresence && rapid.Bool().Draw(t, "of users") {
		q.Users = rapid.SliceOfN(users, 1, 20).Draw(t, "users")
		return q
	}
	q.Channel = names.Draw(t, "channel")
	switch q.Type {
	case ReqPresence:
		q.After, q.Limit = optional(users).Draw(t, "after"), rapid.IntRange(1, MaxPage).Draw(t, "limit")
	case ReqSubscribe:
		q.Token = rapid.SampledFrom([]string{"", "a.b.c"}).Draw(t, "token")
		q.At, q.Rewind = places.Draw(t, "at"), rapid.IntRange(0, MaxPage).Draw(t, "rewind")
	case ReqHistory:
		q.At, q.Limit, q.Back = places.Draw(t, "at"), rapid.IntRange(1, MaxPage).Draw(t, "limit"), rapid.Bool().Draw(t, "back")
	case ReqPublish:
		q.NoEcho = rapid.Bool().Draw(t, "noecho")
		switch q.Class = classes.Draw(t, "class"); q.Class {
		case channel.Latest:
			q.Key = printableText(MaxKey).Draw(t, "key")
		case channel.Fleeting:
			q.Key = optional(printableText(MaxKey)).Draw(t, "key")
		}
	}
	if q.Type == ReqPublish || q.Type == ReqCommand {
		q.Idem, q.Age = optional(printableText(MaxIdem)).Draw(t, "idem"), millis.Draw(t, "age")
		q.Body, q.Binary = drawBody(t)
	}
	return q
})

func drawRecord(t *rapid.T, n channel.Name) Record {
	r := Record{Channel: n, Class: classes.Draw(t, "class"), Key: rapid.String().Draw(t, "key"), From: rapid.String().Draw(t, "from")}
	if r.Class == channel.Latest {
		r.Rev = rapid.Uint64Max(MaxInteger).Draw(t, "rev")
	} else {
		r.At = places.Draw(t, "at")
	}
	r.Time = moments.Draw(t, "time")
	if rapid.Bool().Draw(t, "whole") {
		r.Body, r.Binary = drawBody(t)
	}
	return r
}

var gaps = rapid.Custom(func(t *rapid.T) Gap {
	return Gap{
		From: rapid.Uint64Max(MaxInteger).Draw(t, "from"), To: rapid.Uint64Max(MaxInteger).Draw(t, "to"),
		Reason: rapid.SampledFrom([]channel.Gap{channel.GapTrimmed, channel.GapTooMany, channel.GapSlow, channel.GapEpoch, channel.GapDiverged, channel.GapAhead}).Draw(t, "reason"),
	}
})

var messages = rapid.Custom(func(t *rapid.T) Message {
	m := Message{Type: MessageType(rapid.IntRange(1, int(MsgPing)).Draw(t, "type"))}
	switch m.Type {
	case MsgRecord:
		m.Record = drawRecord(t, names.Draw(t, "channel"))
		return m
	case MsgConnected:
		m.Time, m.Expires = moments.Draw(t, "time"), millis.Draw(t, "expires")
		m.Hello = Hello{
			Conn: rapid.String().Draw(t, "conn"), User: rapid.String().Draw(t, "user"), Server: rapid.String().Draw(t, "server"),
			Heartbeat: Heartbeat{millis.Draw(t, "interval"), millis.Draw(t, "timeout")},
			Limits:    Limits{rapid.IntRange(0, MaxInteger).Draw(t, "body"), 1, 2, 3, 3},
		}
	case MsgReply:
		drawReply(t, &m)
	case MsgError:
		m.Code, m.Text = Code(rapid.String().Draw(t, "code")), rapid.String().Draw(t, "text")
		m.Retry, m.RetryAfter = rapid.Bool().Draw(t, "retry"), millis.Draw(t, "after")
	case MsgLatest:
		m.Channel, m.Table.Epoch = names.Draw(t, "channel"), printableText(maxEpoch).Draw(t, "epoch")
		for range rapid.IntRange(0, 20).Draw(t, "records") {
			r := drawRecord(t, m.Channel)
			r.Class, r.At, r.Rev = channel.Latest, channel.Position{}, rapid.Uint64Max(MaxInteger).Draw(t, "order")
			m.Table.Records = append(m.Table.Records, r)
		}
	case MsgGap:
		m.Channel, m.At, m.Gap = names.Draw(t, "channel"), positions.Draw(t, "at"), gaps.Draw(t, "gap")
	case MsgStale:
		m.Stale = rapid.Bool().Draw(t, "stale")
	case MsgUnsubscribed:
		m.Channel, m.Code, m.Text = names.Draw(t, "channel"), CodeForbidden, rapid.String().Draw(t, "text")
	case MsgExpiring:
		m.In = millis.Draw(t, "in")
	case MsgDrain:
		m.After, m.Text = millis.Draw(t, "after"), rapid.String().Draw(t, "text")
	}
	m.ID = rapid.Uint64Max(MaxInteger).Draw(t, "id")
	return m
})

func drawReply(t *rapid.T, m *Message) {
	m.At, m.Ack = places.Draw(t, "at"), Ack(rapid.String().Draw(t, "ack"))
	m.Channel = names.Draw(t, "channel")
	if rapid.Bool().Draw(t, "resumed") {
		m.HasRecovered, m.Recovered = true, rapid.Bool().Draw(t, "recovered")
	}
	if rapid.Bool().Draw(t, "gap") {
		m.Gap = gaps.Draw(t, "gap")
	}
	if rapid.Bool().Draw(t, "page") {
		m.Page = Page{More: rapid.Bool().Draw(t, "more"), Before: places.Draw(t, "before"), Head: positions.Draw(t, "head")}
		for range rapid.IntRange(0, 20).Draw(t, "records") {
			m.Page.Records = append(m.Page.Records, drawRecord(t, m.Channel))
		}
	}
	if rapid.Bool().Draw(t, "presence") {
		m.Presence = drawPresence(t)
	}
	m.Refused = rapid.IntRange(0, MaxInteger).Draw(t, "refused")
	if rapid.Bool().Draw(t, "answer") {
		m.Body, m.Binary = drawBody(t)
	}
}

func drawPresence(t *rapid.T) *Presence {
	p := new(Presence)
	for range rapid.IntRange(0, 5).Draw(t, "seen") {
		s := Seen{User: rapid.String().Draw(t, "user"), Online: rapid.Bool().Draw(t, "online")}
		if rapid.Bool().Draw(t, "heard of") {
			s.Last = moments.Draw(t, "last")
		}
		p.Seen = append(p.Seen, s)
	}
	if p.Seen != nil {
		return p
	}
	p.Count, p.More = rapid.IntRange(0, MaxInteger).Draw(t, "count"), rapid.Bool().Draw(t, "more")
	for range rapid.IntRange(0, 5).Draw(t, "members") {
		p.Members = append(p.Members, Member{User: rapid.String().Draw(t, "user"), Since: moments.Draw(t, "since")})
	}
	return p
}

// TestRequestsRoundTrip: what is written is read back the same, in both formats.
func TestRequestsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rs := rapid.SliceOfN(requests, 1, 5).Draw(t, "requests")
		for _, p := range Protocols() {
			frame := p.AppendRequests(nil, rs)
			got, err := p.Codec.DecodeRequests(frame, nil)
			if err != nil {
				t.Fatalf("%s: %q: %v", p.Name, frame, err)
			}
			if !reflect.DeepEqual(got, rs) {
				t.Fatalf("%s: %+v became %+v", p.Name, rs, got)
			}
		}
	})
}

// TestMessagesRoundTrip is the same for messages; the JSON must satisfy the standard library too.
func TestMessagesRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ms := rapid.SliceOfN(messages, 1, 3).Draw(t, "messages")
		for _, p := range Protocols() {
			frame := p.AppendMessages(nil, ms)
			if !p.Binary && !json.Valid(frame) {
				t.Fatalf("no JSON: %q", frame)
			}
			got, err := p.Codec.DecodeMessages(frame, nil)
			if err != nil {
				t.Fatalf("%s: %q: %v", p.Name, frame, err)
			}
			if !reflect.DeepEqual(got, ms) {
				t.Fatalf("%s: %+v became %+v", p.Name, ms, got)
			}
		}
	})
}

// TestBodiesAgreeWithStandardLibrary: over texts that are nearly JSON, we accept only what the standard library accepts,
// and refuse beyond that only for a reason of our own.
func TestBodiesAgreeWithStandardLibrary(t *testing.T) {
	pieces := []string{"{", "}", "[", "]", ",", ":", `"a"`, `"b"`, `"\u0061"`, `"\ud83d\ude00"`, `"\ud83d"`, "1", "-0", "1e400", "1.5e-3", "01", "null", "true", " ", "\n", "\x00", "é"}
	rapid.Check(t, func(t *rapid.T) {
		var text []byte
		for _, p := range rapid.SliceOfN(rapid.SampledFrom(pieces), 1, 12).Draw(t, "pieces") {
			text = append(text, p...)
		}
		_, err := CheckBody(text)
		if valid := json.Valid(text); err == nil && !valid {
			t.Fatalf("%q was accepted", text)
		} else if err != nil && valid && !ourReason(text) {
			t.Fatalf("%q: %v", text, err)
		}
	})
}

// ourReason tells if a JSON text holds what only we refuse: a lone surrogate, a number beyond float64, a key twice.
func ourReason(text []byte) bool {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var open []map[string]bool // nil for an array
	wantKey := false
	for {
		token, err := d.Token()
		if err != nil {
			return false
		}
		switch v := token.(type) {
		case json.Delim:
			switch v {
			case '{':
				open, wantKey = append(open, map[string]bool{}), true
				continue
			case '[':
				open = append(open, nil)
			default:
				open = open[:len(open)-1]
			}
		case string:
			if bytes.ContainsRune([]byte(v), 0xFFFD) {
				return true
			}
			if wantKey {
				if open[len(open)-1][v] {
					return true
				}
				open[len(open)-1][v], wantKey = true, false
				continue
			}
		case json.Number:
			if _, err := strconv.ParseFloat(string(v), 64); err != nil {
				return true
			}
		}
		wantKey = len(open) > 0 && open[len(open)-1] != nil
	}
}

// TestBase64AgreesWithStandardLibrary: data64 is exactly standard base64 with padding and nothing around it.
func TestBase64AgreesWithStandardLibrary(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.StringMatching(`[A-D+/_=]{0,12}`).Draw(t, "text")
		want, wrong := base64.StdEncoding.Strict().DecodeString(s)
		rs, err := JSON.DecodeRequests([]byte(`{"type":"publish","id":1,"channel":"a","data64":"`+s+`"}`), nil)
		if wrong != nil || s == "" {
			if err == nil {
				t.Fatalf("%q was read", s)
			}
			return
		}
		if err != nil || !bytes.Equal(rs[0].Body, want) || !rs[0].Binary {
			t.Fatalf("%q: %v, %v", s, rs, err)
		}
	})
}

// TestCodecsAllocateNothing where they promise so.
func TestCodecsAllocateNothing(t *testing.T) {
	dst := make([]byte, 0, 4096)
	erased := benchRecord
	erased.Body = nil
	bytesRecord := benchRecord
	bytesRecord.Binary = true
	for _, p := range Protocols() {
		for _, r := range []Record{benchRecord, erased, bytesRecord} {
			if n := testing.AllocsPerRun(100, func() { dst = p.Codec.AppendRecord(dst[:0], &r) }); n != 0 {
				t.Errorf("%s: AppendRecord allocates %v times", p.Name, n)
			}
		}
		q := publish100()
		frame := p.Codec.AppendRequest(nil, &q)
		into := make([]Request, 0, 1)
		if n := testing.AllocsPerRun(100, func() { _, _ = p.Codec.DecodeRequests(frame, into) }); n > 2 {
			t.Errorf("%s: decoding a publish allocates %v times", p.Name, n)
		}
	}
}

var asciiPrintable = func() string {
	var b []byte
	for c := byte(' '); c <= '~'; c++ {
		b = append(b, c)
	}
	return string(b)
}()
