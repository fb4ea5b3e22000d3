package observe

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode"
)

// page is a buffer that a timer may write to while a test reads.
type page struct {
	mu   sync.Mutex
	text []byte
}

func (p *page) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.text = append(p.text, b...)
	return len(b), nil
}

func (p *page) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return string(p.text)
}

func lines(b *page) []string {
	text := strings.TrimSuffix(b.String(), "\n")
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

const (
	canary    = "CANARY-8f3a61"
	canaryJWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.c2lnbmF0dXJlQ0FOQVJZ"
)

type credentials struct{ Token, User string }

type account struct{ name, key string }

func (a account) LogValue() slog.Value {
	return slog.GroupValue(slog.String("name", a.name), slog.String("secret", a.key))
}

// secretLines log a secret in every way that came to mind.
var secretLines = map[string]func(*slog.Logger){
	"key":               func(l *slog.Logger) { l.Info("x", "token", canary) },
	"key in capitals":   func(l *slog.Logger) { l.Info("x", "Authorization", canary) },
	"compound key":      func(l *slog.Logger) { l.Info("x", "clientSecret", canary, "access_token", canary, "api-key", canary) },
	"value of any kind": func(l *slog.Logger) { l.Info("x", "token", []byte(canary), "secret", credentials{Token: canary}) },
	"group":             func(l *slog.Logger) { l.Info("x", slog.Group("request", slog.String("cookie", canary))) },
	"group by name":     func(l *slog.Logger) { l.Info("x", slog.Group("token", slog.String("raw", canary))) },
	"open group":        func(l *slog.Logger) { l.WithGroup("secret").Info("x", "value", canary) },
	"With":              func(l *slog.Logger) { l.With("password", canary).Info("x") },
	"LogValuer":         func(l *slog.Logger) { l.Info("x", "account", account{"ann", canary}) },
	"struct":            func(l *slog.Logger) { l.Info("x", "claims", credentials{Token: canary}) },
	"struct, unnamed":   func(l *slog.Logger) { l.Info("x", "claims", struct{ Raw string }{canary}) },
	"pointer":           func(l *slog.Logger) { l.Info("x", "claims", &credentials{Token: canary}) },
	"map":               func(l *slog.Logger) { l.Info("x", "claims", map[string]string{"token": canary}) },
	"header":            func(l *slog.Logger) { l.Info("x", "header", http.Header{"Authorization": {canary}}) },
	"bytes":             func(l *slog.Logger) { l.Info("x", "payload", []byte(canary)) },
	"error":             func(l *slog.Logger) { l.Info("x", "error", errors.New("bad header Authorization: Bearer "+canary)) },
	"query":             func(l *slog.Logger) { l.Info("x", "url", "/ws?a=1&access_token="+canary+"&b=2") },
	"JSON":              func(l *slog.Logger) { l.Info("x", "frame", `{"type":"connect","token":"`+canary+`"}`) },
	"subprotocol":       func(l *slog.Logger) { l.Info("x", "offer", "carillon.v1.json, carillon.token."+canary) },
	"list":              func(l *slog.Logger) { l.Info("x", "offers", []string{"a", "carillon.token." + canary}) },
	"message":           func(l *slog.Logger) { l.Info("refused token=" + canary) },
	"JWT as user":       func(l *slog.Logger) { l.Info("x", "user", canaryJWT) },
	"JWT in an error":   func(l *slog.Logger) { l.Info("x", "error", fmt.Errorf("cannot read %q", canaryJWT)) },
	"JWT in a message":  func(l *slog.Logger) { l.Info("looked at " + canaryJWT) },
	"JWT across a cut":  func(l *slog.Logger) { l.Info("x", "v", strings.Repeat("a ", 2*maxValue/4)+canaryJWT) },
	"key of a user":     func(l *slog.Logger) { l.Info("x", "level", "token="+canary, "time", "secret: "+canary) },
}

// TestS16CanaryInNoLine: no secret, however it is logged, is in what is written. The same lines through a plain handler
// of log/slog do show it, so the search finds what there is.
func TestS16CanaryInNoLine(t *testing.T) {
	for what, say := range secretLines {
		var plain bytes.Buffer
		say(slog.New(slog.NewTextHandler(&plain, nil)))
		leaks := func(s string) bool {
			return strings.Contains(s, canary) || strings.Contains(s, canaryJWT[21:]) || strings.Contains(s, "Q0FOQV")
		}
		if !leaks(plain.String()) && what != "bytes" && what != "value of any kind" {
			t.Errorf("%s: nothing to find: %s", what, plain.String())
		}
		for _, format := range []LogFormat{LogText, LogJSON} {
			var b bytes.Buffer
			l := NewLogger(&b, format, slog.LevelDebug)
			say(l.Logger)
			l.Close()
			if leaks(b.String()) || b.Len() == 0 {
				t.Errorf("%s, %s: %s", what, format, b.String())
			}
		}
	}
}

func TestHarmlessValuesStay(t *testing.T) {
	var b bytes.Buffer
	l := NewLogger(&b, LogJSON, slog.LevelInfo)
	l.Info("connected", "user", "ann", "remote", "198.51.100.1:4711", "token_id", "j-17", "n", 17, "after", 1500*time.Millisecond,
		"reason", errors.New("the token ended"), "origins", []string{"https://a.example", "https://b.example"}, "who", "Zoë 🎲", "none", nil)
	var m map[string]any
	if err := json.Unmarshal(b.Bytes(), &m); err != nil {
		t.Fatal(err)
	}
	for k, want := range map[string]any{
		"msg": "connected", "level": "INFO", "user": "ann", "remote": "198.51.100.1:4711", "token_id": "j-17", "n": 17.0, "after": "1.5s",
		"reason": "the token ended", "origins": "https://a.example, https://b.example", "who": "Zoë 🎲", "none": "none",
	} {
		if m[k] != want {
			t.Errorf("%s is %v, want %v", k, m[k], want)
		}
	}
	if _, err := time.Parse(time.RFC3339Nano, m["time"].(string)); err != nil {
		t.Error(err)
	}
}

// FuzzLogLine: whatever is logged, one record is one line, without anything a terminal obeys.
func FuzzLogLine(f *testing.F) {
	for _, s := range []string{"", "a\nb", "\x1b[2J", "\u009b31m", "\u202egnp.exe", "\x00\x7f\r", "\xff\xfe", "a=b \"c\"", "\u2028", strings.Repeat("é", 5000)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, format := range []LogFormat{LogText, LogJSON} {
			var b bytes.Buffer
			NewLogger(&b, format, slog.LevelInfo).Info(s, s, s, "user", s, "error", errors.New(s), slog.Group("g", s, s)) // names of groups are program text
			line, ended := strings.CutSuffix(b.String(), "\n")
			if !ended {
				t.Fatalf("%s: %q", format, b.String())
			}
			for _, r := range line {
				if r < ' ' || !unicode.IsPrint(r) {
					t.Fatalf("%s of %q: %q in %q", format, s, r, line)
				}
			}
			if len(line) > 8*(6*maxValue+100) {
				t.Fatalf("a line of %d bytes", len(line))
			}
			if format == LogJSON && !json.Valid([]byte(line)) {
				t.Fatalf("not JSON: %q", line)
			}
		}
	})
}

func TestLongValuesAreCut(t *testing.T) {
	var b bytes.Buffer
	NewLogger(&b, LogText, slog.LevelInfo).Info("x", "v", strings.Repeat("é", 1<<20))
	if n := b.Len(); n > 2*maxValue || !strings.Contains(b.String(), "… (2097152 bytes)") {
		t.Errorf("%d bytes: %s", n, b.String())
	}
}

func TestFormatFollowsTheWriter(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "log")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	NewLogger(f, LogAuto, slog.LevelInfo).Info("x")
	text, err := os.ReadFile(f.Name())
	if err != nil || !json.Valid(text) {
		t.Errorf("%q, %v", text, err)
	}
	var b bytes.Buffer
	l := NewLogger(&b, LogText, slog.LevelWarn)
	l.Info("below the level")
	l.Warn("x")
	if !strings.Contains(b.String(), "level=WARN msg=x") || strings.Contains(b.String(), "below") {
		t.Error(b.String())
	}
}

func TestRepeatedLinesAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b page
		l := NewLogger(&b, LogText, slog.LevelInfo)
		for i := range 1254 {
			l.Warn(fmt.Sprintf("refused 198.51.100.%d", i%256), "n", i)
			if i%100 == 0 {
				l.Warn("another kind")
			}
		}
		l.Error("refused, but worse")
		if got := lines(&b); len(got) != LinesPerSecond+13+1 {
			t.Errorf("%d lines at once", len(got))
		}
		time.Sleep(time.Second + time.Millisecond)
		synctest.Wait()
		got := lines(&b)
		if last := got[len(got)-1]; !strings.Contains(last, `msg="refused 198.51.100.0: and 1,234 more" suppressed=1234`) || !strings.Contains(last, "level=WARN") {
			t.Errorf("the last line is %s", last)
		}
		if l.Suppressed() != 1234 {
			t.Error(l.Suppressed())
		}
		before := len(lines(&b))
		for range 30 {
			l.Info("again")
		}
		l.Close()
		if got := lines(&b)[before:]; len(got) != LinesPerSecond+1 || !strings.Contains(got[LinesPerSecond], "again: and 10 more") {
			t.Errorf("%q", got)
		}
		l.Info("after the end")
		if got := lines(&b); !strings.Contains(got[len(got)-1], "after the end") {
			t.Error("a line after Close is lost")
		}
	})
}

// TestLogFloodIsBounded: messages that all differ cannot fill memory, or the disk.
func TestLogFloodIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b page
		l := NewLogger(&b, LogJSON, slog.LevelInfo)
		word := func(i int) string {
			return strings.Map(func(r rune) rune { return r - '0' + 'a' }, fmt.Sprintf("%06d", i))
		}
		for i := range 20_000 {
			l.Info(word(i))
		}
		if n := len(l.sampler.kinds); n > maxKinds+1 {
			t.Errorf("%d kinds", n)
		}
		if n := len(lines(&b)); n > maxKinds+LinesPerSecond {
			t.Errorf("%d lines", n)
		}
		l.Close()
		if got := lines(&b); !strings.Contains(got[len(got)-1], "more lines of many kinds") {
			t.Error(got[len(got)-1])
		}
	})
}

func TestLogRace(t *testing.T) {
	l := NewLogger(io.Discard, LogJSON, slog.LevelInfo)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 500 {
				l.With("a", 1).WithGroup("g").Info("x", "b", "c d")
			}
		})
	}
	all.Wait()
	l.Close()
	if l.Suppressed() > 4000-LinesPerSecond {
		t.Error(l.Suppressed())
	}
}

func BenchmarkLogLine(b *testing.B) {
	out := newLogger(slog.NewJSONHandler(io.Discard, &slog.HandlerOptions{ReplaceAttr: cleanAttr}).WithAttrs(nil))
	l := slog.New(out.sampler.out)
	for b.Loop() {
		l.Info("disconnected", "conn", "0123456789abcdef0123456789abcdef", "user", "ann", "remote", "198.51.100.1:4711", "reason", "closed")
	}
}

func BenchmarkLogLineSuppressed(b *testing.B) {
	l := NewLogger(io.Discard, LogJSON, slog.LevelInfo)
	defer l.Close()
	for b.Loop() {
		l.Info("disconnected", "conn", "0123456789abcdef0123456789abcdef", "user", "ann", "remote", "198.51.100.1:4711", "reason", "closed")
	}
}
