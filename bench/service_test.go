package bench

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// between puts somebody between the generator and a server, who does to every frame of the server what bend says: it
// returns what goes on in its place.
func between(t *testing.T, server string, bend func(frame string) []string) string {
	t.Helper()
	return listen(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		down, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"carillon.v1.json"}})
		if err != nil {
			return
		}
		defer func() { _ = down.CloseNow() }()
		up, _, err := websocket.Dial(ctx, server, &websocket.DialOptions{Subprotocols: []string{"carillon.v1.json"}})
		if err != nil {
			return
		}
		defer func() { _ = up.CloseNow() }()
		up.SetReadLimit(maxFrame)
		done := make(chan struct{})
		go func() { // ends with either line, and is waited for
			defer close(done)
			pass(ctx, down, up, func(frame string) []string { return []string{frame} })
			_ = up.CloseNow()
		}()
		pass(ctx, up, down, bend)
		_ = down.CloseNow()
		<-done
	})})
}

func pass(ctx context.Context, from, to *websocket.Conn, bend func(string) []string) {
	for {
		kind, b, err := from.Read(ctx)
		if err != nil {
			return
		}
		for _, frame := range bend(string(b)) {
			if to.Write(ctx, kind, []byte(frame)) != nil {
				return
			}
		}
	}
}

// once bends one frame that holds a text, late enough that all lines are open.
func once(text string, bend func(string) []string) func(string) []string {
	var met atomic.Int64
	return func(frame string) []string {
		if strings.Contains(frame, text) && met.Add(1) == 200 {
			return bend(frame)
		}
		return []string{frame}
	}
}

const (
	message = `"data":{"type":"message"`
	counted = `"data":{"by":1`
	played  = `"data":{"type":"move"`
)

// Each planted fault of a service, once among many frames, must make the run fail and name itself.
func TestPlantedServiceFaults(t *testing.T) {
	drop := func(string) []string { return nil }
	double := func(frame string) []string { return []string{frame, frame} }
	for name, x := range map[string]struct {
		scenario, sign string
		bend           func(string) []string
	}{
		"chat, nothing wrong": {"chat", "", func(frame string) []string { return []string{frame} }},
		"chat, lost":          {"chat", "1 never came", once(message, drop)},
		"chat, twice":         {"chat", "twice or out of order", once(message, double)},
		"chat, damaged": {"chat", "1 foreign or damaged", once(message, func(frame string) []string {
			return []string{strings.Replace(frame, `"text":"~0`, `"text":"~z`, 1)}
		})},
		"chat, no answer":        {"chat", "1 commands never", once(`"ack":"appended`, drop)},
		"chat, summary too late": {"chat", "twice or out of order", once(`"class":"latest"`, double)},
		"chat, no summaries": {"chat", "20 never came", func(frame string) []string {
			if strings.Contains(frame, `"class":"latest"`) {
				return nil
			}
			return []string{frame}
		}},
		"chess, nothing wrong": {"chess", "", func(frame string) []string { return []string{frame} }},
		"chess, lost":          {"chess", "receipts are wrong", once(played, drop)},
		"chess, twice":         {"chess", "1 twice or out of order", once(played, double)},
		"chess, another move": {"chess", "1 foreign or damaged", once(played, func(frame string) []string {
			return []string{strings.Replace(frame, `"uci":"`, `"uci":"x`, 1), frame}
		})},
		"chess, no answer":        {"chess", "1 commands never", once(`"ack":"appended`, drop)},
		"counter, lost":           {"commands", "1 lost", once(counted, drop)},
		"counter, twice":          {"commands", "1 twice or out of order", once(counted, double)},
		"counter, another answer": {"commands", "1 resends were answered differently", otherAnswer()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := command(x.scenario, between(t, serve(t).URL(), x.bend))
			c.Load.Conns, c.Load.Members, c.Load.Channels, c.Load.Rate = 20, 10, 4, 300
			c.Load.Settle, c.Load.Warm, c.Out = time.Second, 0, io.Discard
			err := c.Run(t.Context())
			switch {
			case x.sign == "" && err != nil:
				t.Error(err)
			case x.sign != "" && (err == nil || !strings.Contains(err.Error(), x.sign)):
				t.Errorf("the run says: %v", err)
			}
		})
	}
}

// otherAnswer changes the second of two equal answers, once.
func otherAnswer() func(string) []string {
	var done atomic.Bool
	seen := make(chan map[string]bool, 1)
	seen <- map[string]bool{}
	return func(frame string) []string {
		at := strings.Index(frame, `"at":"`)
		if !strings.HasPrefix(frame, `{"type":"reply"`) || at < 0 || !strings.Contains(frame, `"data":{"value":`) {
			return []string{frame}
		}
		all := <-seen
		again := all[frame[at:]]
		all[frame[at:]] = true
		seen <- all
		if again && done.CompareAndSwap(false, true) {
			return []string{strings.Replace(frame, `"value":`, `"value":1`, 1)}
		}
		return []string{frame}
	}
}
