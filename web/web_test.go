package web_test

import (
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
