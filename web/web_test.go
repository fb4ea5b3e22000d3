package web_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"carillon/web"
)

func get(t *testing.T, path string) *http.Response {
	t.Helper()
	w := httptest.NewRecorder()
	web.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w.Result()
}

// TestPages: every path of an application shows the page under the strict policy, its assets are there, and nothing else is.
func TestPages(t *testing.T) {
	for path, want := range map[string]int{
		"/": 200, "/chat": 200, "/chat/lobby": 200, "/chat/dm:a::b/7": 200, "/bells.svg": 200, "/bells-unread.svg": 200,
		"/chess": 200, "/chess/game/vx3x6leuc3llv7zp": 200, "/chess/archive": 200, "/chessboard": 404,
		"/chats": 404, "/assets/": 404, "/nothing": 404,
	} {
		r := get(t, path)
		policy := r.Header.Get("Content-Security-Policy")
		if r.StatusCode != want || !strings.Contains(policy, "require-trusted-types-for 'script'") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s: status %d, policy %q; want %d and a strict policy", path, r.StatusCode, policy, want)
		}
	}
}

// TestAssets: what the page loads is embedded, and may be kept for ever; nothing comes from elsewhere.
func TestAssets(t *testing.T) {
	w := httptest.NewRecorder()
	web.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/chat/lobby", nil))
	loads := regexp.MustCompile(`(?:src|href)="([^"]+)"`).FindAllStringSubmatch(w.Body.String(), -1)
	if len(loads) < 3 {
		t.Fatalf("the page loads %v; want a script, a style and an icon", loads)
	}
	for _, l := range loads {
		r := get(t, l[1])
		if !strings.HasPrefix(l[1], "/") || r.StatusCode != 200 {
			t.Errorf("%s: status %d; want one of our own that is there", l[1], r.StatusCode)
		}
		if strings.HasPrefix(l[1], "/assets/") && !strings.Contains(r.Header.Get("Cache-Control"), "immutable") {
			t.Errorf("%s may not be kept for ever", l[1])
		}
	}
}

// TestPacked: whoever takes gzip gets the same files in it and is told so, whoever does not gets them as they are; only what
// is there can be had, and no error may be kept for ever.
func TestPacked(t *testing.T) {
	ask := func(path, accept string) *http.Response {
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, path, nil)
		r.Header.Set("Accept-Encoding", accept)
		web.Handler().ServeHTTP(w, r)
		return w.Result()
	}
	page, _ := io.ReadAll(ask("/", "").Body)
	script := regexp.MustCompile(`src="([^"]+)"`).FindSubmatch(page)[1]
	style := regexp.MustCompile(`href="([^"]+\.css)"`).FindSubmatch(page)[1]
	for _, path := range []string{"/", "/chess", "/chat/lobby", string(script), string(style), "/bells.svg"} {
		plain, packed := ask(path, "br, gzip;q=0"), ask(path, "br;q=1.0, GZIP;q=0.8, *;q=0.1")
		want, _ := io.ReadAll(plain.Body)
		got, _ := io.ReadAll(packed.Body)
		z, err := gzip.NewReader(bytes.NewReader(got))
		if err != nil || packed.Header.Get("Content-Encoding") != "gzip" || plain.Header.Get("Content-Encoding") != "" {
			t.Fatalf("%s: packed as %q (%v), plain as %q", path, packed.Header.Get("Content-Encoding"), err, plain.Header.Get("Content-Encoding"))
		}
		if text, err := io.ReadAll(z); err != nil || !bytes.Equal(text, want) || len(want) == 0 {
			t.Errorf("%s: what is packed (%v) is not what is there", path, err)
		}
		for _, h := range []string{"Content-Type", "Cache-Control", "Content-Security-Policy", "Vary"} {
			if a, b := plain.Header.Get(h), packed.Header.Get(h); a != b || a == "" {
				t.Errorf("%s: %s is %q plain and %q packed", path, h, a, b)
			}
		}
	}
	if r := ask("/assets/gone.js", "gzip"); r.StatusCode != 404 || r.Header.Get("Content-Encoding") != "" || strings.Contains(r.Header.Get("Cache-Control"), "immutable") {
		t.Errorf("a file that is gone: status %d, headers %v; want a 404 that nobody keeps", r.StatusCode, r.Header)
	}
}
