package node_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"carillon/node"
	"carillon/observe"
	exposition "carillon/observe/scrape"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
)

// TestTyping: that somebody types is shown at once to those who are there, and nobody else ever hears of it.
func TestTyping(t *testing.T) {
	n := startNode(t, nil)
	a, b := join(t, n), join(t, n)
	a.subscribe(2, "chat:lobby")
	b.subscribe(2, "chat:lobby")
	b.say(`{"type":"publish","id":3,"channel":"chat:lobby","class":"fleeting","key":"typing","data":{"on":true},"echo":false}`)
	if m := b.expect("reply"); m["ack"] != "accepted" || m["at"] != nil || m["offset"] != nil {
		t.Fatalf("a sign was answered %v", m)
	}
	m := a.expect("record")
	if m["class"] != "fleeting" || m["key"] != "typing" || m["user"] == nil || m["data"].(map[string]any)["on"] != true || m["at"] != nil {
		t.Fatalf("shown as %v", m)
	}
	b.say(`{"type":"publish","id":4,"channel":"chat:lobby","data":"hello"}`)
	reply := b.expect("reply")
	if reply["offset"] != 1.0 {
		t.Fatalf("a sign took a place in the log: %v", reply)
	}
	if r := b.expect("record"); r["data"] != "hello" {
		t.Fatalf("the one who types was told of it: %v", r)
	}
	a.expect("record")
	c := join(t, n)
	c.say(`{"type":"subscribe","id":2,"channel":"chat:lobby","rewind":10}`)
	c.expect("reply")
	if r := c.expect("record"); r["data"] != "hello" {
		t.Fatalf("who came later was told %v", r)
	}
	c.say(`{"type":"history","id":3,"channel":"chat:lobby"}`)
	if rs := c.expect("reply")["records"].([]any); len(rs) != 1 {
		t.Fatalf("history has %v", rs)
	}
}

// memoryFull makes the heap fill a part of the memory limit until the test ends. What the heap holds is mostly ballast, so
// that the part hardly moves.
func memoryFull(t *testing.T) (set func(part float64)) {
	ballast := make([]byte, 512<<20) // never touched: it takes address space alone
	percent, limit := debug.SetGCPercent(2), debug.SetMemoryLimit(-1)
	t.Cleanup(func() {
		debug.SetMemoryLimit(limit)
		debug.SetGCPercent(percent)
		runtime.KeepAlive(ballast)
		ballast = nil
		calm()
	})
	return func(part float64) {
		if part == 0 {
			debug.SetMemoryLimit(limit)
			return
		}
		runtime.GC()
		used := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		metrics.Read(used)
		debug.SetMemoryLimit(int64(float64(used[0].Value.Uint64()) / part))
	}
}

// heard counts what a subscriber was given.
type heard struct {
	mu                       sync.Mutex
	typing, logged, presence int
}

func (h *heard) listen(l *line) {
	for {
		p, err := l.frame()
		if err != nil {
			return
		}
		var m struct{ Type, Class, Channel string }
		_ = json.Unmarshal(p, &m)
		h.mu.Lock()
		switch {
		case m.Type != "record":
		case m.Class == "fleeting":
			h.typing++
		case strings.HasSuffix(m.Channel, "@presence"):
			h.presence++
		default:
			h.logged++
		}
		h.mu.Unlock()
	}
}

func (h *heard) take() (typing, logged, presence int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	typing, logged, presence = h.typing, h.logged, h.presence
	h.typing, h.logged, h.presence = 0, 0, 0
	return typing, logged, presence
}

// figuresOf are the metrics of a node that does not listen.
func figuresOf(t *testing.T, n *node.Node) figures {
	t.Helper()
	handler, err := exposition.Handler(n.Metrics(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	all := figures{}
	for d := expfmt.NewDecoder(w.Body, expfmt.ResponseFormat(w.Header())); ; {
		f := new(dto.MetricFamily)
		if d.Decode(f) != nil {
			return all
		}
		all[f.GetName()] = f
	}
}

// discard reads a line to its end.
func discard(l *line) {
	for {
		if _, err := l.frame(); err != nil {
			return
		}
	}
}

// TestDegradation: a node that is short of memory drops signs of typing first, by and by all of them, then tells of
// presence less often, and never loses a message; what it does and why can be read in the metrics.
func TestDegradation(t *testing.T) {
	set := memoryFull(t)
	bubble(t, patient(), func(t *testing.T, n *node.Node) {
		l := attend(t, n, "ann", "chat:r", "chat:r@presence")
		var h heard
		var listening sync.WaitGroup
		listening.Go(func() { h.listen(l) })
		defer func() { _ = l.Close(); listening.Wait() }()
		p, churn := attend(t, n, "bob"), attend(t, n, "cyd")
		listening.Go(func() { discard(churn) })
		defer func() { _, _ = p.Close(), churn.Close() }()
		const seconds, perSecond = 30, 20
		id := 100
		say := func(text string) {
			t.Helper()
			id++
			p.say(fmt.Sprintf(text, id))
			if m, _, err := p.next(); err != nil || m["type"] != "reply" {
				t.Fatal(m, err)
			}
		}
		for _, c := range []struct {
			what             string
			part             float64
			typing, presence [2]int // least and most
			metrics          string // level, seconds between updates, whether signs were dropped and updates put off
		}{
			{"calm", 0, [2]int{600, 600}, [2]int{20, 31}, "0 1 false false"},
			{"short of memory", 0.84, [2]int{100, 220}, [2]int{20, 31}, "1 1 true false"},
			{"very short", 0.95, [2]int{0, 0}, [2]int{2, 4}, "2 15 true true"},
			{"calm again", 0, [2]int{600, 600}, [2]int{20, 31}, "0 1 true true"},
		} {
			set(c.part)
			time.Sleep(5 * time.Second) // of the bubble's clock: it is found out
			synctest.Wait()
			h.take()
			for i := range seconds * perSecond {
				say(`{"type":"publish","id":%d,"channel":"chat:r","class":"fleeting","key":"typing","data":true}`)
				say(`{"type":"publish","id":%d,"channel":"chat:r","data":"a message"}`)
				switch id++; i % perSecond {
				case 0:
					churn.say(fmt.Sprintf(`{"type":"subscribe","id":%d,"channel":"chat:r"}`, id))
				case perSecond / 2:
					churn.say(fmt.Sprintf(`{"type":"unsubscribe","id":%d,"channel":"chat:r"}`, id))
				}
				time.Sleep(time.Second / perSecond)
			}
			synctest.Wait()
			typing, logged, presence := h.take()
			t.Logf("%s: %d of %d signs of typing, %d of %d messages, %d updates of presence in %d s",
				c.what, typing, seconds*perSecond, logged, seconds*perSecond, presence, seconds)
			if logged != seconds*perSecond {
				t.Errorf("%s: a message was lost", c.what)
			}
			if typing < c.typing[0] || typing > c.typing[1] || presence < c.presence[0] || presence > c.presence[1] {
				t.Errorf("%s: want typing within %v and presence within %v", c.what, c.typing, c.presence)
			}
			f := figuresOf(t, n)
			level, every := f.of(observe.PressureLevel), f.of(observe.PresenceInterval)
			dropped, delayed := f.of(observe.RecordsDropped, "fleeting", "heap"), f.of(observe.PresenceDelayed, "heap")
			if got := fmt.Sprint(level, every, dropped > 0, delayed > 0); got != c.metrics {
				t.Errorf("%s: the metrics say %s, want %s", c.what, got, c.metrics)
			}
		}
	})
}
