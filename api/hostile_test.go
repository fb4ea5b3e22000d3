package api

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"carillon/store/sqlite"
	"carillon/wire"

	"pgregory.net/rapid"
)

// TestCredentials: keys come in either header, one at a time; a wrong one opens nothing, and too many wrong ones shut out.
func TestCredentials(t *testing.T) {
	s := newStage(t, nil)
	ask := func(header map[string]string) answer {
		t.Helper()
		return s.ask(request{method: "GET", path: "/api/channels", server: true, header: header})
	}
	for _, header := range []map[string]string{
		{"Authorization": "Bearer " + serverKey}, {"Authorization": "bearer  " + secondKey}, {"X-API-Key": serverKey}, {"x-api-key": secondKey},
	} {
		ask(header).want(200)
	}
	for _, header := range []map[string]string{
		{}, {"Authorization": serverKey}, {"Authorization": "Basic " + serverKey}, {"Authorization": "Bearer"}, {"Authorization": "Bearer "}, {"X-API-Key": ""},
		{"Authorization": "Bearer " + serverKey, "X-API-Key": serverKey},
	} {
		if a := ask(header).refused(wire.CodeUnauthorized); a.header.Get("WWW-Authenticate") != "Bearer" {
			t.Errorf("%v: %v", header, a.header)
		}
	}
	if len(s.wrong) != 0 {
		t.Errorf("what was no guess counts as one: %v", s.wrong)
	}
	for _, key := range []string{serverKey[:len(serverKey)-1], serverKey + "x", "x" + serverKey[1:], strings.ToUpper(serverKey), serverKey + ", " + secondKey, strings.Repeat("k", 8000)} {
		ask(map[string]string{"X-API-Key": key}).refused(wire.CodeUnauthorized)
	}
	for range 4 {
		ask(map[string]string{"X-API-Key": "wrong"}).refused(wire.CodeUnauthorized)
	}
	if a := ask(map[string]string{"X-API-Key": serverKey}).refused(wire.CodeRateLimited); a.header.Get("Retry-After") != "2" || a.json()["retry_after"] != 1500.0 {
		t.Errorf("%v %s", a.header, a.body)
	}
	s.ask(request{method: "GET", path: "/api/channels/c:a/history", credential: s.token("ann", "*", "*")}).refused(wire.CodeRateLimited)
	s.forgive()
	for range 10 {
		s.ask(request{method: "GET", path: "/api/channels/c:a/history", credential: "x.y.z"}).refused(wire.CodeUnauthorized)
	}
	s.ask(request{method: "GET", path: "/api/channels/c:a/history", credential: s.token("ann", "*", "*")}).refused(wire.CodeRateLimited)
	s.forgive()
	s.ask(request{method: "GET", path: "/api/channels/c:a/history"}).refused(wire.CodeUnauthorized)
	if strings.Contains(s.log.String(), serverKey[:16]) {
		t.Errorf("the log has a key: %s", s.log)
	}
}

// TestKeys: keys follow one another while both are good; what is no key is refused when it is set, and the old ones stand.
func TestKeys(t *testing.T) {
	for _, keys := range [][]string{{"short"}, {strings.Repeat("x", MaxServerKey+1)}, {serverKey, "with a space in the key, 32 and more bytes"}, make([]string, MaxServerKeys+1)} {
		if _, err := NewServerKeys(keys...); err == nil {
			t.Errorf("%.40q are taken", keys)
		} else if strings.Contains(err.Error(), "space") {
			t.Errorf("the error tells the key: %v", err)
		}
	}
	k, err := NewServerKeys()
	must(t, err)
	if k.Match("") || k.Match(serverKey) {
		t.Error("without a key somebody gets in")
	}
	must(t, k.Replace(serverKey, secondKey))
	if !k.Match(serverKey) || !k.Match(secondKey) {
		t.Error("not both are good")
	}
	if k.Replace("short") == nil || !k.Match(serverKey) {
		t.Error("after an error the old ones do not stand")
	}
	must(t, k.Replace(secondKey))
	if k.Match(serverKey) || !k.Match(secondKey) {
		t.Error("the old key is good")
	}
}

// BenchmarkA08Keys: how long a comparison takes must not tell how much of a key is right, nor which key it was, nor the length of the right one.
func BenchmarkA08Keys(b *testing.B) {
	k, err := NewServerKeys(serverKey, secondKey)
	must(b, err)
	n := len(serverKey)
	for name, key := range map[string]string{
		"first": serverKey, "second": secondKey, "all wrong": strings.Repeat("x", n), "half right": serverKey[:n/2] + strings.Repeat("x", n-n/2),
		"last byte wrong": serverKey[:n-1] + "x", "one shorter": serverKey[:n-1], "one longer": serverKey + "x",
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				k.Match(key)
			}
		})
	}
}

// TestMethods: a path that exists says which methods it takes; HEAD is GET without a body.
func TestMethods(t *testing.T) {
	s := newStage(t, nil)
	for _, r := range (&server{}).routes() {
		path := strings.NewReplacer("{channel}", "chat:a", "{user}", "ann", "{id}", "x").Replace(r.pattern)
		taken := r.method
		for _, other := range (&server{}).routes() {
			if other.pattern == r.pattern && other.method != r.method {
				taken = "GET POST"
			}
		}
		for _, method := range []string{"GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"} {
			if strings.Contains(taken, method) {
				continue
			}
			allow := map[string]string{"GET": "GET, HEAD", "POST": "POST", "GET POST": "GET, HEAD, POST"}[taken]
			if a := s.call(method, path, "").refused(CodeMethod); a.header.Get("Allow") != allow {
				t.Errorf("%s %s: Allow %q, want %q", method, path, a.header.Get("Allow"), allow)
			}
		}
	}
	head, get := s.call("HEAD", "/api/channels", "").want(200), s.call("GET", "/api/channels", "")
	if head.header.Get("Content-Length") != fmt.Sprint(len(get.body)) {
		t.Errorf("%v", head.header)
	}
}

// TestS25MediaType: a body is JSON and says so.
func TestS25MediaType(t *testing.T) {
	s := newStage(t, nil)
	for kind, good := range map[string]bool{
		"application/json": true, "Application/JSON; charset=UTF-8": true, "application/json;charset=utf-16": false, "": false, "text/plain": false,
		"application/x-www-form-urlencoded": false, "multipart/form-data": false, "application/json, text/plain": false, "text/json": false, ";": false,
	} {
		q := request{method: "POST", path: "/api/publish", body: `{"channel":"c:a","data":1}`, server: true, credential: serverKey, header: map[string]string{"Content-Type": kind}}
		if a := s.ask(q); good != (a.status == 200) || !good && a.text("code") != string(CodeMediaType) {
			t.Errorf("%q: %d %s", kind, a.status, a.body)
		}
	}
	s.call("POST", "/api/publish", "").refused(wire.CodeBadRequest)
	s.call("POST", "/api/users/ann/disconnect", "").want(200)
}

// TestS25CrossOrigin: pages of the origins that sockets let in may ask, and read the answer; no others.
func TestS25CrossOrigin(t *testing.T) {
	s := newStage(t, nil)
	token := s.token("ann", "*", "history")
	ask := func(method, origin string, more ...string) answer {
		t.Helper()
		header := map[string]string{"Origin": origin}
		for i := 0; i < len(more); i += 2 {
			header[more[i]] = more[i+1]
		}
		return s.ask(request{method: method, path: "/api/channels/c:a/history", credential: token, header: header})
	}
	a := ask("GET", goodOrigin).want(200)
	if a.header.Get("Access-Control-Allow-Origin") != goodOrigin || a.header.Get("Access-Control-Allow-Credentials") != "" || a.header.Get("Vary") != "Origin" {
		t.Error(a.header)
	}
	pre := ask("OPTIONS", goodOrigin, "Access-Control-Request-Method", "GET", "Authorization", "").want(204)
	if pre.header.Get("Access-Control-Allow-Origin") != goodOrigin || !strings.Contains(pre.header.Get("Access-Control-Allow-Headers"), "Authorization") || pre.header.Get("Access-Control-Max-Age") == "" {
		t.Error(pre.header)
	}
	for _, origin := range []string{"https://evil.example.org", "null", goodOrigin + ".evil.org", "http://app.example.org", goodOrigin + "/", "https://x@app.example.org", goodOrigin + ":8443", "*", "javascript:alert(1)"} {
		for _, method := range []string{"GET", "OPTIONS"} {
			if a := ask(method, origin).refused(wire.CodeForbidden); a.header.Get("Access-Control-Allow-Origin") != "" || strings.Contains(fmt.Sprint(a.header), "evil") {
				t.Errorf("%s: %v", origin, a.header)
			}
		}
	}
	if a := s.ask(request{method: "GET", path: "/api/channels/c:a/history", credential: token}).want(200); a.header.Get("Access-Control-Allow-Origin") != "" {
		t.Error(a.header)
	}
	if a := s.ask(request{method: "OPTIONS", path: "/api/nothing", header: map[string]string{"Origin": goodOrigin}}).refused(CodeNotFound); a.header.Get("Access-Control-Allow-Methods") != "" {
		t.Error(a.header)
	}
	if a := s.ask(request{method: "GET", path: "/api/channels", server: true, credential: serverKey, header: map[string]string{"Origin": goodOrigin}}).want(200); a.header.Get("Access-Control-Allow-Origin") != "" {
		t.Error("the server API lets pages in")
	}
	same := newStage(t, func(p *PublicOptions, _ *ServerOptions) { p.AllowOrigin = nil })
	own := func(origin string) answer {
		return same.ask(request{method: "POST", path: "/api/token", body: `{"name":"ann"}`, header: map[string]string{"Origin": origin}})
	}
	own(same.public.URL).want(200)
	own(strings.Replace(same.public.URL, "http:", "https:", 1)).want(200)
	own("http://127.0.0.1").refused(wire.CodeForbidden)
	own(goodOrigin).refused(wire.CodeForbidden)
}

// TestNoReflection: what a caller sends stands in no header of an answer, and in bodies only as JSON.
func TestNoReflection(t *testing.T) {
	s := newStage(t, nil)
	const canary = "caNary<b>"
	for _, path := range []string{
		"/api/" + canary, "/api/channels/" + canary + "/history", "/api/channels/c:a/history?" + canary + "=1", "/api/channels/c:a/history?before=" + canary, "/api/users/" + canary + "%0d%0aX-Evil:1/publish",
	} {
		for _, server := range []bool{false, true} {
			a := s.ask(request{method: "GET", path: path, server: server, credential: serverKey, header: map[string]string{"X-Request-Id": canary, "If-None-Match": canary, "Access-Control-Request-Headers": canary}})
			if h := fmt.Sprint(a.header); strings.Contains(h, "caNary") || strings.Contains(h, "Evil") || strings.Contains(a.body, "<b>") {
				t.Errorf("%s: %v %s", path, a.header, a.body)
			}
		}
		s.forgive()
	}
	a := s.call("POST", "/api/publish", `{"caNary<b>\u0007\u001b[31m":1}`).refused(wire.CodeBadRequest)
	if strings.Contains(a.body, "<b>") || strings.Contains(s.log.String(), "caNary") {
		t.Error(a.body)
	}
}

// TestTold: each answer is counted under the name of a route, and nothing that a caller made up.
func TestTold(t *testing.T) {
	s := newStage(t, nil)
	s.call("GET", "/api/channels/c:a", "")
	s.call("GET", "/api/x"+strings.Repeat("y", 100), "")
	s.call("BREW", "/api/publish", "")
	s.public.Close()
	s.server.Close() // waits for the handlers
	if got := strings.Join(s.told, "; "); got != "GET /api/channels/{channel} 200; none 404; none 405" {
		t.Error(got)
	}
}

// TestSlowBody: a body that does not come is given up.
func TestSlowBody(t *testing.T) {
	s := newStage(t, func(_ *PublicOptions, o *ServerOptions) { o.Timeout = 30 * time.Millisecond })
	for _, credential := range []string{serverKey, "wrong"} {
		nc, err := net.Dial("tcp", strings.TrimPrefix(s.server.URL, "http://"))
		must(t, err)
		_, err = fmt.Fprintf(nc, "POST /api/publish HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer %s\r\nContent-Length: 100\r\n\r\n{", credential)
		must(t, err)
		resp, err := http.ReadResponse(bufio.NewReader(nc), nil)
		must(t, err)
		if want := map[string]int{serverKey: 400, "wrong": 401}[credential]; resp.StatusCode != want {
			t.Errorf("%d, want %d", resp.StatusCode, want)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_, err = io.Copy(io.Discard, nc) // ends when the server closes the line
		must(t, err)
		must(t, nc.Close())
	}
}

// TestRoutes: no path matches two routes, and values are taken out of it decoded.
func TestRoutes(t *testing.T) {
	for _, c := range []struct{ pattern, path, want string }{
		{"/api/users/{user}/publish", "/api/users/ann/publish", "[ann] true"}, {"/api/users/{user}/publish", "/api/users/a%2Fb%25/publish", "[a/b%] true"},
		{"/api/users/{user}/publish", "/api/users//publish", "[] false"}, {"/api/users/{user}/publish", "/api/users/a/b/publish", "[] false"},
		{"/api/users/{user}/publish", "/api/users/%zz/publish", "[] false"}, {"/api/publish", "/api/publish", "[] true"}, {"/api/publish", "/api/publish/", "[] false"},
		{"/api/publish", "/api/%70ublish", "[] false"}, {"/api/publish", "", "[] false"}, {"/api/publish", "api/publish", "[] false"},
	} {
		values, ok := route{pattern: c.pattern}.match(c.path)
		if got := fmt.Sprint(values, ok); got != c.want && (ok || c.want != "[] false") {
			t.Errorf("%s on %s: %s, want %s", c.path, c.pattern, got, c.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.StringMatching(`[A-Za-z0-9_.:@-]{1,128}`).Draw(t, "name")
		if values, ok := (route{pattern: "/api/channels/{channel}/history"}).match("/api/channels/" + url.PathEscape(n) + "/history"); !ok || values[0] != n {
			t.Fatalf("%q became %q", n, values)
		}
	})
}

// FuzzObject: an object that is taken apart has exactly the fields that a JSON decoder finds; what one of the two refuses is none.
func FuzzObject(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":1}`, `{"a":{"b":[1,"}"]},"c":"\"},{"}`, `{"a":1,"a":2}`, `{"a":1 2}`, `[1,2]`, `{"a"`, `{"a":tr"ue"}`, "{\"a\":\t1 , \"b\" : [ ] }", `{"\u0061":1,"a":2}`, `{"a":1}{`, `{,}`, `{"a":1,}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		fields, err := object(text)
		sound := err == nil
		for _, value := range fields {
			if _, e := wire.CheckBody(value); e != nil {
				sound = false
			}
		}
		checked, e := wire.CheckBody(text)
		isObject := e == nil && checked[0] == '{'
		var want map[string]json.RawMessage
		switch {
		case isObject && json.Unmarshal(checked, &want) != nil:
			t.Fatalf("%q is sound for one and not for the other", text)
		case isObject && len(want) <= maxFields && !sound:
			t.Fatalf("%q is an object, but: %v", text, err)
		case sound && e != nil && !strings.Contains(e.Error(), "inside one another"):
			t.Fatalf("%q is taken apart, but: %v", text, e)
		}
		for name, value := range want {
			if sound && strings.TrimSpace(string(fields[name])) != string(value) {
				t.Fatalf("%q: field %q is %q, want %q", text, name, fields[name], value)
			}
		}
	})
}

// FuzzHandlers: whatever comes, the answer is JSON of the document, an error is a problem, and nothing panics.
func FuzzHandlers(f *testing.F) {
	for _, r := range (&server{}).routes() {
		path := strings.NewReplacer("{channel}", "chat:a", "{user}", "ann", "{id}", "x", "{service}", "chess", "{kind}", "game").Replace(r.pattern)
		f.Add(r.method, path, "application/json", "idem", `{"channel":"chat:a","data":{"a":[1]},"user":"ann"}`, true)
		f.Add(r.method, path+"?limit=1&cursor=&before=x", "", "", `{"items":[{"channel":"c:a","data64":"AA=="}]}`, false)
	}
	f.Add("POST", "/api/token", "application/json", "", `{"user":"ann","caps":[{"channels":["*"],"can":["*"]}],"ttl":1000,"limits":{"body":1}}`, true)
	f.Add("GET", "/api/rows/chess/game?term=a&term=b&order=asc&limit=3&after="+cursorOf("5 g1"), "", "", "", true)
	f.Add("OPTIONS", "/api/%2e%2e/\x00", "a/b;c=\"", `"`, "{\"name\":\"\xff\"}", false)
	s := newStage(f, nil)
	store, err := sqlite.OpenMemory(f.Context(), sqlite.Options{})
	must(f, err)
	f.Cleanup(func() { _ = store.Close() })
	log := &syncBuffer{}
	common := Common{Log: slog.New(slog.NewTextHandler(log, nil))}
	public := Public(PublicOptions{Tables: s.memory, Rows: rowStore{store}, Reader: s, Identify: s.Identify, Guest: s.guest, Common: common})
	server := Server(ServerOptions{Tables: s.memory, Rows: rowStore{store}, Keys: s.keys, Publisher: s, Announcer: s, Reader: s, Directory: s, Rooms: s, Issuer: s, Revoker: s, Common: common})
	f.Fuzz(func(t *testing.T, method, target, kind, idem, body string, inside bool) {
		u, err := url.ParseRequestURI(target)
		if err != nil || method == "" {
			return
		}
		r := (&http.Request{Method: method, URL: u, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)), RemoteAddr: "x"}).WithContext(t.Context())
		r.Header.Set("Content-Type", kind)
		r.Header.Set("Idempotency-Key", idem)
		r.Header.Set("Origin", kind)
		h, credential := public, wire.GuestPrefix+"x"
		if inside {
			h, credential = server, serverKey
		}
		r.Header.Set("Authorization", "Bearer "+credential)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if strings.Contains(log.String(), "panic") {
			t.Fatal(log.String())
		}
		a := answer{t, method + " " + target, w.Code, w.Header(), w.Body.String()}
		a.conforms(request{method: method, path: u.EscapedPath(), loose: true})
	})
}

// TestS09Listeners: what needs a key is not on the public listener, with any credential.
func TestS09Listeners(t *testing.T) {
	s := newStage(t, nil)
	for _, r := range (&server{}).routes() {
		if on := served()[r.name()]; len(on) > 1 {
			continue
		}
		path := strings.NewReplacer("{channel}", "chat:a", "{user}", "ann", "{id}", "x").Replace(r.pattern)
		for _, credential := range []string{"", serverKey, s.token("ann", "*", "*")} {
			s.ask(request{method: r.method, path: path, credential: credential}).refused(CodeNotFound)
		}
	}
	s.ask(request{method: "GET", path: "/api/channels/chat:a/history", credential: serverKey}).refused(wire.CodeUnauthorized)
	for _, path := range []string{"/api", "/api/", "/api/metrics", "/api/debug/pprof", "/api/publish/", "/api//publish", "/api/../metrics", "/api/channels//history", "/API/publish", "/", "/metrics"} {
		s.call("GET", path, "").refused(CodeNotFound)
	}
}
