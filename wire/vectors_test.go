package wire

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"carillon/channel"
)

// vector is one entry of a file in testdata; the files say themselves what their fields mean.
type vector struct {
	Name      string
	Note      string
	Meaning   []map[string]any
	Canonical *bool
	JSON      *string
	JSONHex   string `json:"json_hex"`
	Msgpack   *string
	Code      Code
	ID        uint64
}

func (v *vector) canonical() bool { return v.Canonical == nil || *v.Canonical }

// frames gives the frame in each format it is written in, in the order of Protocols; nil: not in this one.
func (v *vector) frames(t testing.TB) [2][]byte {
	t.Helper()
	var out [2][]byte
	if v.JSON != nil {
		out[0] = []byte(*v.JSON)
	}
	if v.JSONHex != "" {
		out[0] = unhex(t, v.JSONHex)
	}
	if v.Msgpack != nil {
		out[1] = unhex(t, *v.Msgpack)
	}
	return out
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func readVectors(t testing.TB, file string) []vector {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	var f struct{ Vectors []vector }
	if err := json.Unmarshal(text, &f); err != nil {
		t.Fatal(err)
	}
	if len(f.Vectors) == 0 {
		t.Fatalf("%s holds no vectors", file)
	}
	return f.Vectors
}

func TestRequestVectors(t *testing.T) {
	for _, v := range readVectors(t, "requests.json") {
		t.Run(v.Name, func(t *testing.T) {
			for i, frame := range v.frames(t) {
				p := Protocols()[i]
				rs, err := p.Codec.DecodeRequests(frame, nil)
				if err != nil {
					t.Fatalf("%s: %v", p.Name, err)
				}
				got := []map[string]any{}
				for i := range rs {
					got = append(got, requestMeaning(&rs[i]))
				}
				compareMeaning(t, p.Name, got, v.Meaning)
				if again := p.AppendRequests(nil, rs); v.canonical() && string(again) != string(frame) {
					t.Errorf("%s is written as\n%q, not\n%q", p.Name, again, frame)
				}
			}
		})
	}
}

func TestMessageVectors(t *testing.T) {
	for _, v := range readVectors(t, "messages.json") {
		t.Run(v.Name, func(t *testing.T) {
			for i, frame := range v.frames(t) {
				p := Protocols()[i]
				ms, err := p.Codec.DecodeMessages(frame, nil)
				if err != nil {
					t.Fatalf("%s: %v", p.Name, err)
				}
				got := []map[string]any{}
				for i := range ms {
					got = append(got, messageMeaning(&ms[i]))
				}
				compareMeaning(t, p.Name, got, v.Meaning)
				if again := p.AppendMessages(nil, ms); v.canonical() && string(again) != string(frame) {
					t.Errorf("%s is written as\n%q, not\n%q", p.Name, again, frame)
				}
			}
		})
	}
}

func TestRefusedVectors(t *testing.T) {
	for _, v := range readVectors(t, "refused.json") {
		t.Run(v.Name, func(t *testing.T) {
			for i, frame := range v.frames(t) {
				if frame == nil && v.Name != "empty frame" {
					continue
				}
				p := Protocols()[i]
				_, err := p.Codec.DecodeRequests(frame, nil)
				var e *Error
				if !errors.As(err, &e) {
					t.Fatalf("%s was read: %v", p.Name, err)
				}
				if e.Code != v.Code || e.ID != v.ID {
					t.Errorf("%s: %s (id %d), want %s (id %d)", p.Name, e, e.ID, v.Code, v.ID)
				}
			}
		})
	}
}

func compareMeaning(t *testing.T, protocol string, got, want []map[string]any) {
	t.Helper()
	text, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	var plain []map[string]any
	if err := json.Unmarshal(text, &plain); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(plain, want) {
		should, _ := json.Marshal(want)
		t.Errorf("%s means\n%s, not\n%s", protocol, text, should)
	}
}

// requestMeaning and messageMeaning say in the vectors' words what was decoded, by a way of their own.
func requestMeaning(q *Request) map[string]any {
	m := map[string]any{"type": q.Type.String()}
	note(m, "id", q.ID)
	note(m, "token", q.Token)
	note(m, "name", q.Name)
	note(m, "channel", string(q.Channel))
	if !q.At.IsZero() {
		m["at"] = q.At.String()
	}
	note(m, "rewind", q.Rewind)
	note(m, "class", className(q.Class))
	note(m, "key", q.Key)
	note(m, "idem", q.Idem)
	note(m, "age", q.Age.Milliseconds())
	note(m, "limit", q.Limit)
	note(m, "back", q.Back)
	note(m, "after", q.After)
	if q.Users != nil {
		m["users"] = q.Users
	}
	if q.NoEcho {
		m["echo"] = false
	}
	noteBody(m, q.Body, q.Binary)
	return m
}

func messageMeaning(m *Message) map[string]any {
	out := map[string]any{"type": m.Type.String()}
	if m.Type == MsgUnknown {
		out["type"] = "unknown"
	}
	if m.Type == MsgRecord {
		out["channel"] = string(m.Record.Channel)
		noteRecord(out, &m.Record)
		return out
	}
	note(out, "id", m.ID)
	note(out, "channel", string(m.Channel))
	notePosition(out, m.At)
	note(out, "ack", string(m.Ack))
	note(out, "expires", m.Expires.Milliseconds())
	if !m.Time.IsZero() {
		out["time"] = m.Time.UnixMilli()
	}
	noteBody(out, m.Body, m.Binary)
	switch m.Type {
	case MsgConnected:
		h := m.Hello
		out["conn"], out["user"], out["server"] = h.Conn, h.User, h.Server
		out["heartbeat"] = map[string]any{"interval": h.Heartbeat.Interval.Milliseconds(), "timeout": h.Heartbeat.Timeout.Milliseconds()}
		out["limits"] = map[string]any{"body": h.Limits.Body, "channels": h.Limits.Channels, "in_flight": h.Limits.InFlight, "batch": h.Limits.Batch, "frame": h.Limits.Frame}
	case MsgError:
		out["code"], out["message"], out["retry"] = string(m.Code), m.Text, m.Retry
		note(out, "retry_after", m.RetryAfter.Milliseconds())
	case MsgUnsubscribed:
		out["code"], out["message"] = string(m.Code), m.Text
	case MsgStale:
		out["stale"] = m.Stale
	case MsgExpiring:
		out["in"] = m.In.Milliseconds()
	case MsgDrain:
		out["after"], out["message"] = m.After.Milliseconds(), m.Text
	case MsgGap:
		out["from"], out["to"], out["reason"] = m.Gap.From, m.Gap.To, m.Gap.Reason.String()
	case MsgLatest:
		out["epoch"], out["records"] = m.Table.Epoch, recordsMeaning(m.Table.Records, "")
	case MsgReply:
		noteReply(out, m)
	}
	return out
}

func noteReply(out map[string]any, m *Message) {
	note(out, "code", m.Refused)
	if m.HasRecovered {
		out["recovered"] = m.Recovered
	}
	if m.Gap.Reason != channel.GapNone {
		out["gap"] = map[string]any{"from": m.Gap.From, "to": m.Gap.To, "reason": m.Gap.Reason.String()}
	}
	if m.Presence != nil {
		out["presence"] = presenceMeaning(m.Presence)
	}
	if m.Page.Head.IsZero() {
		return
	}
	out["records"], out["more"], out["head"] = recordsMeaning(m.Page.Records, "latest"), m.Page.More, m.Page.Head.String()
	if !m.Page.Before.IsZero() {
		out["before"] = m.Page.Before.String()
	}
}

// recordsMeaning says what records mean; of class Latest they are where it is not told anyway.
func recordsMeaning(rs []Record, latest string) []map[string]any {
	out := []map[string]any{}
	for i := range rs {
		r := map[string]any{}
		noteRecord(r, &rs[i])
		if rs[i].Class == channel.Latest && latest == "" {
			delete(r, "class")
		}
		out = append(out, r)
	}
	return out
}

func presenceMeaning(p *Presence) map[string]any {
	if len(p.Seen) > 0 {
		seen := []map[string]any{}
		for _, s := range p.Seen {
			m := map[string]any{"user": s.User, "online": s.Online}
			if !s.Last.IsZero() {
				m["last"] = s.Last.UnixMilli()
			}
			seen = append(seen, m)
		}
		return map[string]any{"seen": seen}
	}
	members := []map[string]any{}
	for _, m := range p.Members {
		members = append(members, map[string]any{"user": m.User, "since": m.Since.UnixMilli()})
	}
	return map[string]any{"count": p.Count, "members": members, "more": p.More}
}

func noteRecord(out map[string]any, r *Record) {
	notePosition(out, r.At)
	out["time"] = r.Time.UnixMilli()
	note(out, "user", r.From)
	note(out, "class", className(r.Class))
	note(out, "key", r.Key)
	note(out, "rev", r.Rev)
	noteBody(out, r.Body, r.Binary)
}

func notePosition(out map[string]any, p channel.Position) {
	if !p.IsZero() {
		out["at"], out["offset"] = p.String(), p.Offset
	}
}

func noteBody(out map[string]any, body []byte, binary bool) {
	switch {
	case len(body) == 0:
	case binary:
		out["body"] = map[string]any{"base64": base64.StdEncoding.EncodeToString(body)}
	default:
		out["body"] = map[string]any{"json": string(body)}
	}
}

// note leaves out what is zero.
func note[T comparable](out map[string]any, name string, v T) {
	var zero T
	if v != zero {
		out[name] = v
	}
}

func className(c channel.Class) string {
	return [...]string{"", "latest", "fleeting"}[c]
}
