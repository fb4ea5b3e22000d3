package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"carillon/client"
	"carillon/internal/servertest"
)

// listener is a client that follows a channel and notes how long it was away.
type listener struct {
	client *client.Client
	back   chan<- struct{} // hears of every return
	got    []string
	err    error

	mu   sync.Mutex
	away []time.Duration // one for each time it came back
}

func (l *listener) state(s client.State) {
	if s.Phase == client.Connected && s.Away > 0 {
		l.mu.Lock()
		l.away = append(l.away, s.Away)
		l.mu.Unlock()
		l.back <- struct{}{} // it has room for all
	}
}

// follow notes what comes until last came or ctx ends.
func (l *listener) follow(ctx context.Context, sub *client.Subscription, last func() string) {
	for {
		e, err := sub.Next(ctx)
		switch {
		case err != nil:
			l.err = err
			return
		case e.Gap != nil:
			l.err = fmt.Errorf("a gap: %+v", *e.Gap)
			return
		}
		var text string
		if l.err = json.Unmarshal(e.Record.Body, &text); l.err != nil {
			return
		}
		if l.got = append(l.got, text); text == last() {
			return
		}
	}
}

// TestRestartUnderLoad: SIGTERM ends the server with 0 while clients talk. When it is back on the same port all of them
// are back, and everything that was acknowledged came to everybody once and in order.
func TestRestartUnderLoad(t *testing.T) {
	const clients, restarts = 40, 3
	args := []string{"dev", "--data", t.TempDir(), "--durable", "keep", "--log-level", "warn", "--listen", fmt.Sprintf("127.0.0.1:%d", servertest.Port(t))}
	server, url := startServer(t, call{args: args})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var (
		all      []*listener
		work     sync.WaitGroup
		sent     []string
		final    atomic.Pointer[string]
		stopping atomic.Bool
	)
	last := func() string {
		if s := final.Load(); s != nil {
			return *s
		}
		return ""
	}
	back := make(chan struct{}, 100*clients*restarts)
	for range clients {
		l := &listener{back: back}
		l.client = client.New(url, client.Options{OnState: l.state})
		t.Cleanup(func() { _ = l.client.Close() })
		sub, err := l.client.Subscribe(ctx, "keep:a", client.SubscribeOptions{})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, l)
		work.Go(func() { l.follow(ctx, sub, last) })
	}
	enough := make(chan struct{}, 1) // so many were acknowledged since the last restart
	work.Go(func() {
		for i := 0; !stopping.Load(); i++ {
			text := fmt.Sprintf("record %d", i)
			if _, err := all[0].client.Publish(ctx, "keep:a", []byte(`"`+text+`"`), client.PublishOptions{}); err != nil {
				t.Errorf("publishing: %v", err)
				return
			}
			if sent = append(sent, text); i%200 == 100 {
				select {
				case enough <- struct{}{}:
				default:
				}
			}
		}
		end := "the last one"
		final.Store(&end)
		sent = append(sent, end)
		if _, err := all[0].client.Publish(ctx, "keep:a", []byte(`"`+end+`"`), client.PublishOptions{}); err != nil {
			t.Errorf("publishing: %v", err)
		}
	})
	for range restarts {
		<-enough
		if code := server.signal(syscall.SIGTERM); code != exitOK {
			t.Errorf("exit code %d after SIGTERM:\n%s", code, server.errs)
		}
		server, _ = startServer(t, call{args: args})
		for i := range clients {
			select {
			case <-back:
			case <-ctx.Done():
				t.Fatalf("only %d of %d clients are back", i, clients)
			}
		}
	}
	<-enough
	stopping.Store(true)
	work.Wait()
	var away []time.Duration
	for i, l := range all {
		if l.err != nil {
			t.Errorf("client %d: %v", i, l.err)
		} else if err := compare(sent, l.got); err != nil {
			t.Errorf("client %d: %v", i, err)
		}
		l.mu.Lock()
		if len(l.away) != restarts {
			t.Errorf("client %d came back %d times from %d restarts", i, len(l.away), restarts)
		}
		away = append(away, l.away...)
		l.mu.Unlock()
	}
	slices.Sort(away)
	if n := len(away); n > 0 {
		t.Logf("%d clients over %d restarts, %d records: away p50 %s, p99 %s, most %s (goal: p99 ≤ 2.5 s)",
			clients, restarts, len(sent), away[n/2].Round(time.Millisecond), away[n*99/100].Round(time.Millisecond), away[n-1].Round(time.Millisecond))
	}
}

// TestSecondSignalCuts: clients that were to leave across ten minutes are cut when the operator insists, and the store
// is closed in order all the same.
func TestSecondSignalCuts(t *testing.T) {
	dir := t.TempDir()
	server, url := startDev(t, "--data", dir, "--durable", "keep", "--set", "drain.window=10m", "--set", "drain.timeout=10m")
	for range 5 {
		c, err := client.Dial(t.Context(), url, client.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
	}
	carillon(t, "pub", "keep:a", "1", "--url", url).want(t, exitOK)
	if err := server.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	server.awaitErr(`"msg":"ending"`)
	select {
	case <-server.ended:
		t.Fatalf("the server did not wait for its clients:\n%s", server.errs)
	default:
	}
	if code := server.signal(syscall.SIGTERM); code != exitOK {
		t.Errorf("exit code %d after the second signal", code)
	}
	server.awaitErr("cutting the connections at the second signal")
	server.awaitErr(`"msg":"ended"`)
	_, url = startDev(t, "--data", dir, "--durable", "keep")
	if r := carillon(t, "history", "keep:a", "--url", url).want(t, exitOK); !strings.Contains(r.out, `"data":1`) {
		t.Errorf("history after the end: %q", r.out)
	}
}
