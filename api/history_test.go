package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"carillon/channel"
	"carillon/gateway/auth"
	"carillon/journal"
	"carillon/wire"

	"pgregory.net/rapid"
)

// page asks for one on the public listener.
func (s *stage) page(token, path string) answer {
	s.t.Helper()
	return s.ask(request{method: "GET", path: path, credential: token}).want(200)
}

// TestHistory: newest first, older by next, newer by prev; each page names its head.
func TestHistory(t *testing.T) {
	s := newStage(t, nil)
	token := s.token("ann", "chat:*", "history")
	empty := s.page(token, "/api/channels/chat:a/history")
	if empty.json()["more"] != false || empty.text("next") != "" || empty.text("prev") != "" || empty.json()["head_offset"] != 0.0 {
		t.Error(empty.body)
	}
	s.fill("chat:a", 10)
	newest := s.page(token, "/api/channels/chat:a/history?limit=4")
	if got := fmt.Sprint(newest.offsets()); got != "[10 9 8 7]" || newest.text("prev") != "" || newest.json()["head_offset"] != 10.0 || newest.text("after") != newest.text("head") {
		t.Error(newest.body)
	}
	older := s.page(token, newest.text("next"))
	if got := fmt.Sprint(older.offsets()); got != "[6 5 4 3]" || older.text("head") != newest.text("head") {
		t.Error(older.body)
	}
	last := s.page(token, older.text("next"))
	if got := fmt.Sprint(last.offsets()); got != "[2 1]" || last.json()["more"] != false || last.text("next") != "" {
		t.Error(last.body)
	}
	if back := s.page(token, last.text("prev")); fmt.Sprint(back.offsets()) != "[3 4 5 6]" || back.json()["more"] != true {
		t.Error(back.body)
	}
	if none := s.page(token, "/api/channels/chat:a/history?before="+last.text("before")); len(none.offsets()) != 0 || none.text("before") != last.text("before") || none.json()["more"] != false {
		t.Error(none.body)
	}
	if more := s.page(token, "/api/channels/chat:a/history?after="+newest.text("after")); len(more.offsets()) != 0 || more.text("after") != newest.text("head") {
		t.Error(more.body)
	}
}

// TestP13HistoryLimits: P13, numbers out of range are brought into it; what is no number, no position or no parameter is refused.
func TestP13HistoryLimits(t *testing.T) {
	s := newStage(t, nil)
	s.mu.Lock()
	s.policy.Retention = channel.Keep{}
	s.mu.Unlock()
	token := s.token("ann", "*", "history")
	s.fill("c:a", 1005)
	for limit, want := range map[string]int{"": 100, "1": 1, "-1": 1, "0": 1, "007": 7, "1000": 1000, "1001": 1000, "9223372036854775807": 1000, "-9223372036854775808": 1, "99999999999999999999999": 1000} {
		if a := s.page(token, "/api/channels/c:a/history?limit="+limit); len(a.offsets()) != want {
			t.Errorf("limit=%s gives %d", limit, len(a.offsets()))
		}
	}
	at := s.page(token, "/api/channels/c:a/history?limit=1").text("head")
	for _, query := range []string{
		"limit=x", "limit=1.5", "limit=1e3", "limit=0x10", "limit=%201", "before=oldest", "before=x", "after=x", "before=" + at + "x", "after=" + strings.Repeat("A", 10000),
		"before=" + at + "&after=" + at, "before=" + at + "&before=" + at, "offset=1", "limit=1;after=oldest", "token=abc", "%", "after=%00",
	} {
		s.ask(request{method: "GET", path: "/api/channels/c:a/history?" + query, credential: token}).refused(wire.CodeBadRequest)
	}
}

// TestPagesModel: whatever is published meanwhile, walking by the links meets each record once and in order, and a subscription
// from the head of the newest page has all that comes after it.
func TestPagesModel(t *testing.T) {
	s := newStage(t, nil)
	token := s.token("ann", "c:*", "history")
	runs := 0
	rapid.Check(t, func(t *rapid.T) {
		runs++
		n := fmt.Sprintf("c:%d", runs)
		count := rapid.IntRange(0, 40).Draw(t, "count")
		limit := rapid.IntRange(1, 12).Draw(t, "limit")
		s.fill(n, count)
		total := count
		meanwhile := func() {
			if k := rapid.IntRange(0, 3).Draw(t, "more"); k > 0 && total < count+20 {
				s.fill(n, k)
				total += k
			}
		}
		var got []int
		first := true
		for next := fmt.Sprintf("/api/channels/%s/history?limit=%d", n, limit); next != ""; {
			a := s.page(token, next)
			offsets := a.offsets()
			if len(offsets) > limit || !slices.IsSortedFunc(offsets, func(a, b int) int { return b - a }) {
				t.Fatalf("%v", offsets)
			}
			if first && int(a.json()["head_offset"].(float64)) != count {
				t.Fatal(a.body)
			}
			if prev := a.text("prev"); prev != "" && len(offsets) > 0 {
				if newer := s.page(token, prev).offsets(); len(newer) > 0 && newer[0] != offsets[0]+1 {
					t.Fatalf("after %v comes %v", offsets, newer)
				}
			}
			first = false
			got = append(got, offsets...)
			if next = a.text("next"); len(got) > count {
				t.Fatalf("backwards, without an end: %v", got)
			}
			meanwhile()
		}
		want := make([]int, count)
		for i := range want {
			want[i] = count - i
		}
		if !slices.Equal(got, want) {
			t.Fatalf("backwards %v, want %v", got, want)
		}
		got = nil
		for next := fmt.Sprintf("/api/channels/%s/history?after=oldest&limit=%d", n, limit); next != ""; {
			a := s.page(token, next)
			got = append(got, a.offsets()...)
			if next = a.text("next"); len(got) > total {
				t.Fatalf("forwards, without an end: %v", got)
			}
			meanwhile()
		}
		for i, offset := range got {
			if offset != i+1 {
				t.Fatalf("forwards %v", got)
			}
		}
		if len(got) < count || len(got) > total {
			t.Fatalf("forwards %d of %d", len(got), total)
		}
	})
}

// TestNothingFallsBetween: a page, what is published then, and a subscription from the page's head make one log.
func TestNothingFallsBetween(t *testing.T) {
	s := newStage(t, nil)
	token := s.token("ann", "c:*", "history", "subscribe")
	s.fill("c:a", 5)
	a := s.page(token, "/api/channels/c:a/history?limit=3")
	s.fill("c:a", 4)
	k := s.join(token)
	k.say(`{"type":"subscribe","id":2,"channel":"c:a","at":"` + a.text("head") + `"}`)
	if m := k.expect("reply"); m["recovered"] != true {
		t.Fatal(m)
	}
	for want := 6.0; want <= 9; want++ {
		if r := k.expect("record"); r["offset"] != want {
			t.Fatalf("%v, want %v", r, want)
		}
	}
}

// TestClosedPages: pages that cannot change have a tag, answer 304 to it, and are kept for a minute at most; others are never kept.
func TestClosedPages(t *testing.T) {
	s := newStage(t, nil)
	token := s.token("ann", "chat:*", "history")
	s.fill("chat:a", 10)
	newest := s.page(token, "/api/channels/chat:a/history?limit=4")
	isOpen := func(a answer) {
		t.Helper()
		if a.header.Get("ETag") != "" || a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %v", a.what, a.header)
		}
	}
	isOpen(newest)
	isOpen(s.page(token, "/api/channels/chat:a/history?limit=1000"))
	isOpen(s.page(token, "/api/channels/chat:a/history?after="+newest.text("before")))
	isOpen(s.page(token, "/api/channels/chat:a/history?after=oldest&limit=2"))
	for _, path := range []string{newest.text("next"), s.page(token, newest.text("next")).text("next"), "/api/channels/chat:a/history?limit=2&after=" + newest.text("before")} {
		a := s.page(token, path)
		tag := a.header.Get("ETag")
		if tag == "" || a.header.Get("Cache-Control") != "private, max-age=60" || !slices.Contains(a.header.Values("Vary"), "Authorization") {
			t.Fatalf("%s: %v", path, a.header)
		}
		s.fill("chat:a", 1) // the head moves, the page does not
		for _, match := range []string{tag, strings.TrimPrefix(tag, "W/"), `"x", ` + tag, "*"} {
			b := s.ask(request{method: "GET", path: path, credential: token, header: map[string]string{"If-None-Match": match}}).want(304)
			if b.body != "" || b.header.Get("ETag") != tag || b.header.Get("Cache-Control") != a.header.Get("Cache-Control") {
				t.Errorf("%s: %v %s", match, b.header, b.body)
			}
		}
		for _, match := range []string{"", `"x"`, "x", tag[:8]} {
			s.ask(request{method: "GET", path: path, credential: token, header: map[string]string{"If-None-Match": match}}).want(200)
		}
		s.ask(request{method: "GET", path: path, header: map[string]string{"If-None-Match": tag}}).refused(wire.CodeUnauthorized)
		other := s.token("bob", "other:*", "history")
		if b := s.ask(request{method: "GET", path: path, credential: other, header: map[string]string{"If-None-Match": tag}}).refused(wire.CodeForbidden); b.header.Get("ETag") != "" || b.header.Get("Cache-Control") != "no-store" {
			t.Errorf("a refusal tells of the page: %v", b.header)
		}
		if h := s.ask(request{method: "HEAD", path: path, credential: token}).want(200); h.header.Get("ETag") != tag {
			t.Errorf("HEAD: %v", h.header)
		}
	}
}

// TestTrimmedPages: the last page of a log that is trimmed moves, so it is not closed; the one before it is.
func TestTrimmedPages(t *testing.T) {
	s := newStage(t, nil)
	s.mu.Lock()
	s.policy.Retention.Records = 6
	s.mu.Unlock()
	token := s.token("ann", "c:*", "history")
	s.fill("c:a", 20)
	a := s.page(token, s.page(token, "/api/channels/c:a/history?limit=2").text("next"))
	b := s.page(token, a.text("next"))
	if fmt.Sprint(a.offsets(), b.offsets()) != "[18 17] [16 15]" || a.header.Get("ETag") == "" || b.header.Get("ETag") != "" || b.json()["more"] != false {
		t.Errorf("%s\n%s", a.body, b.body)
	}
}

// eraser gives the pages of another reader without the body of one record.
type eraser struct {
	Reader
	offset uint64
}

func (e *eraser) Read(ctx context.Context, n channel.Name, q journal.Query) (journal.Page, error) {
	p, err := e.Reader.Read(ctx, n, q)
	p.Records = slices.Clone(p.Records)
	for i := range p.Records {
		if p.Records[i].At.Offset == e.offset {
			p.Records[i].Body = nil
		}
	}
	return p, err
}

// TestErasedPages: an erasure changes the tag of a closed page, and the record keeps its place.
func TestErasedPages(t *testing.T) {
	e := &eraser{}
	s := newStage(t, func(p *PublicOptions, _ *ServerOptions) { e.Reader, p.Reader = p.Reader, e })
	token := s.token("ann", "chat:*", "history")
	s.fill("chat:a", 10)
	path := s.page(token, "/api/channels/chat:a/history?limit=4").text("next")
	tag := s.page(token, path).header.Get("ETag")
	e.offset = 5
	a := s.ask(request{method: "GET", path: path, credential: token, header: map[string]string{"If-None-Match": tag}}).want(200)
	if got := fmt.Sprint(a.offsets()); got != "[6 5 4 3]" || strings.Count(a.body, `"data"`) != 3 || a.header.Get("ETag") == tag {
		t.Error(a.body)
	}
}

// TestHistoryGaps: the reasons are those of the socket, word for word.
func TestHistoryGaps(t *testing.T) {
	s := newStage(t, nil)
	s.mu.Lock()
	s.policy.Retention.Records = 10
	s.mu.Unlock()
	token := s.token("ann", "c:*", "history")
	s.fill("c:a", 5)
	early := s.page(token, "/api/channels/c:a/history?limit=1").text("head")
	s.fill("c:a", 20)
	head, err := channel.ParsePosition(s.page(token, "/api/channels/c:a/history?limit=1").text("head"))
	must(t, err)
	epoch, ahead, diverged := head, head, head
	epoch.Epoch++
	ahead.Offset += 7
	diverged.Tag++
	k := s.join(token)
	for i, c := range []struct {
		at     string
		reason string
	}{{early, "trimmed"}, {epoch.String(), "epoch"}, {ahead.String(), "ahead"}, {diverged.String(), "diverged"}} {
		for _, back := range []bool{false, true} {
			cursor := map[bool]string{false: "after", true: "before"}[back]
			a := s.page(token, "/api/channels/c:a/history?"+cursor+"="+c.at)
			k.say(fmt.Sprintf(`{"type":"history","id":%d,"channel":"c:a","at":%q,"back":%v}`, 2*i+3+len(cursor), c.at, back))
			m := k.expect("reply")
			if got, want := fmt.Sprint(a.json()["gap"]), fmt.Sprint(m["gap"]); got != want || !strings.Contains(got, c.reason) {
				t.Errorf("%s %s: %s, on the socket %s", cursor, c.reason, got, want)
			}
			if got, want := len(a.offsets()), len(m["records"].([]any)); got != want {
				t.Errorf("%s %s: %d records, on the socket %d", cursor, c.reason, got, want)
			}
			if a.text("head") != m["head"] || a.header.Get("ETag") != "" {
				t.Errorf("%s %s: %v", cursor, c.reason, a.body)
			}
		}
	}
}

// TestRecordShape: a record is the record message without its type, byte by byte.
func TestRecordShape(t *testing.T) {
	at := channel.Position{Epoch: 1, Offset: 2, Tag: 3}
	now := time.UnixMilli(1790000000123)
	for _, r := range []channel.Record{
		{Channel: "c:a", At: at, Time: now, From: "ann", Body: []byte(`{"a" : 1.50}`)}, {Channel: "c:a", At: at, Time: now},
		{Channel: "c:a", At: at, Time: now, Binary: true, Body: []byte{0, 255}}, {Channel: "c:a", Time: now, Class: channel.Fleeting, Key: "k", Body: []byte("null")},
	} {
		whole := string(wire.JSON.AppendRecord(nil, &r))
		if got := string(appendRecord([]byte("x"), &r)); got != "x"+strings.Replace(whole, `"type":"record",`, "", 1) || !json.Valid([]byte(got[1:])) {
			t.Errorf("%s of %s", got, whole)
		}
	}
	m := wire.Message{Type: wire.MsgReply, Ack: wire.AckDurable, At: at}
	if got, whole := string(appendAck(nil, Ack{wire.AckDurable, at})), string(wire.JSON.AppendMessage(nil, &m)); got != strings.Replace(whole, `"type":"reply",`, "", 1) {
		t.Errorf("%s of %s", got, whole)
	}
}

func TestMatches(t *testing.T) {
	for list, want := range map[string]bool{`"a"`: true, `W/"a"`: true, `"b","a"`: true, `"b" , W/"a"`: true, `*`: true, `a`: false, `"b"`: false, ``: false, `"a`: false} {
		if got := matches([]string{list}, `W/"a"`); got != want {
			t.Errorf("%s: %v", list, got)
		}
	}
	if matches(nil, `W/"a"`) {
		t.Error("nothing matches")
	}
}

// TestPageAllocations: writing a page costs no more allocations than its buffer takes to grow.
func TestPageAllocations(t *testing.T) {
	p := journal.Page{Head: channel.Position{Epoch: 1, Offset: 100, Tag: 1}}
	for i := range 100 {
		p.Records = append(p.Records, channel.Record{Channel: "c:a", At: channel.Position{Epoch: 1, Offset: uint64(i + 1)}, Body: []byte(`{"text":"hello"}`)})
	}
	buf := make([]byte, 0, 64<<10)
	if n := testing.AllocsPerRun(100, func() { appendPage(buf[:0], "c:a", pageQuery{Query: journal.Query{Back: true, Limit: 100}}, &p) }); n > 8 {
		t.Errorf("%v allocations", n)
	}
}

// waiting is a reader that answers when it is told to give up.
type waiting struct{ came, left chan struct{} }

func (w waiting) Read(ctx context.Context, _ channel.Name, _ journal.Query) (journal.Page, error) {
	close(w.came)
	<-ctx.Done()
	close(w.left)
	return journal.Page{}, ctx.Err()
}

// TestCallerLeaves: what a caller asked for ends when he goes.
func TestCallerLeaves(t *testing.T) {
	w := waiting{make(chan struct{}), make(chan struct{})}
	s := newStage(t, func(p *PublicOptions, _ *ServerOptions) { p.Reader, p.Timeout = w, time.Hour })
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, "GET", s.public.URL+"/api/channels/c:a/history", nil)
	must(t, err)
	r.Header.Set("Authorization", "Bearer "+s.token("ann", "*", "history"))
	done := make(chan error, 1)
	go func() {
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err == nil {
			_ = resp.Body.Close()
		}
		done <- err
	}()
	<-w.came
	cancel()
	<-w.left
	if err := <-done; err == nil {
		t.Error("an answer came")
	}
}

// TestTimeout: a request that takes too long is answered, and can be tried again.
func TestTimeout(t *testing.T) {
	w := waiting{make(chan struct{}), make(chan struct{})}
	s := newStage(t, func(p *PublicOptions, o *ServerOptions) {
		p.Reader, p.Timeout = w, 20*time.Millisecond
		o.Timeout, o.Publisher = 20*time.Millisecond, silent{o.Publisher}
	})
	a := s.ask(request{method: "GET", path: "/api/channels/c:a/history", credential: s.token("ann", "*", "history")}).refused(wire.CodeUnavailable)
	if a.json()["retry"] != true || a.header.Get("Retry-After") != "1" {
		t.Errorf("%s %v", a.body, a.header)
	}
	s.call("POST", "/api/publish", `{"channel":"c:a","data":1}`).refused(wire.CodeUnconfirmed)
	if b := s.call("POST", "/api/batch", `{"items":[{"channel":"c:a","data":1}]}`).want(200); !strings.Contains(b.body, "unconfirmed") {
		t.Error(b.body)
	}
}

// silent is a publisher that never answers.
type silent struct{ Publisher }

func (silent) Publish(channel.Record, func(Ack, error)) {}

// TestFailures: what goes wrong inside is told without details, which the log has; a panic is one failed request.
func TestFailures(t *testing.T) {
	for name, fail := range map[string]func() error{
		"error": func() error { return fmt.Errorf("disk /var/lib/x: broken") },
		"panic": func() error { panic("disk /var/lib/x: broken") },
	} {
		s := newStage(t, func(p *PublicOptions, _ *ServerOptions) { p.Reader = failing(fail) })
		a := s.ask(request{method: "GET", path: "/api/channels/c:canary/history", credential: s.token("ann", "*", "history")}).refused(wire.CodeInternal)
		if strings.Contains(a.body, "/var/lib") || !strings.Contains(s.log.String(), "/var/lib/x") || !strings.Contains(s.log.String(), "GET /api/channels/{channel}/history") {
			t.Errorf("%s: %s, log %s", name, a.body, s.log)
		}
		if strings.Contains(s.log.String(), "canary") {
			t.Errorf("the log tells what was asked: %s", s.log)
		}
	}
	refuse := newStage(t, func(p *PublicOptions, _ *ServerOptions) {
		p.Reader = failing(func() error {
			return fmt.Errorf("x: %w", &wire.Error{Code: wire.CodeBusy, RetryAfter: 1200 * time.Millisecond})
		})
	})
	a := refuse.ask(request{method: "GET", path: "/api/channels/c:a/history", credential: refuse.token("ann", "*", "history")}).refused(wire.CodeBusy)
	if a.header.Get("Retry-After") != "2" || a.json()["retry_after"] != 1200.0 {
		t.Errorf("%v %s", a.header, a.body)
	}
}

type failing func() error

func (f failing) Read(context.Context, channel.Name, journal.Query) (journal.Page, error) {
	return journal.Page{}, f()
}

func BenchmarkHistory(b *testing.B) {
	s := newStage(b, nil)
	s.fill("c:a", 500)
	h := Public(PublicOptions{Reader: s, Identify: func(string) (*auth.Identity, error) {
		return auth.NewIdentity("ann", []auth.Capability{{Channels: []string{"*"}, Can: []string{"*"}}}, time.Time{})
	}})
	r := httptest.NewRequest("GET", "/api/channels/c:a/history", nil)
	b.ReportAllocs()
	for b.Loop() {
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code != 200 {
			b.Fatal(w.Body)
		}
	}
}
