// Package transporttest is the law for transports: every implementation of transport.Conn runs the whole suite over
// real lines of its own. Start with Run.
package transporttest

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"carillon/gateway/transport"

	"go.uber.org/goleak"
)

// Peer is the far end of a line. Its methods may block, and are not called at the same time.
type Peer interface {
	// Send sends one message.
	Send(b []byte, binary bool) error
	// Receive waits for one message. A *transport.CloseError tells that the server closed with a code.
	Receive() (b []byte, binary bool, err error)
	// Pong gives a sign of life that is no message.
	Pong() error
	// Close tells a code and a reason, and ends the line once the server has answered.
	Close(code int, reason string) error
	// Cut ends the line without a word.
	Cut()
}

// Open makes a line whose near end is served with what accept returns, and ends all it made in t.Cleanup.
type Open func(t testing.TB, accept func(transport.Conn) transport.Inbox) Peer

// Run runs the suite. Closed must come within the test's patience, so the transport's close time-out should be a second or less.
func Run(t *testing.T, open Open) {
	for _, c := range []struct {
		name string
		run  func(*testing.T, Open)
	}{
		{"BothDirectionsInOrder", bothDirections},
		{"WriteNeverBlocks", writeNeverBlocks},
		{"WritableOncePerShortWrite", writableOnce},
		{"OutletDeliversToSlowReader", slowReader},
		{"StalledPeerDisturbsNobody", stalledPeer},
		{"CloseFromAnywhere", closeFromAnywhere},
		{"CloseInMessage", closeInMessage},
		{"CloseWhileBlocked", closeWhileBlocked},
		{"WrittenBytesSurviveClose", writtenSurvives},
		{"ReasonReachesPeer", reasonReachesPeer},
		{"ReasonReachesInbox", reasonReachesInbox},
		{"CutIsNoOrderlyEnd", cutLine},
		{"ErrorsEndTheLine", errorsEnd},
		{"PongIsAlive", pongIsAlive},
		{"WriteInAccept", writeInAccept},
		{"InfoIsThere", infoIsThere},
	} {
		t.Run(c.name, func(t *testing.T) {
			running := goleak.IgnoreCurrent()
			t.Cleanup(func() { goleak.VerifyNone(t, running) }) // after what open cleans up
			c.run(t, open)
		})
	}
}

func bothDirections(t *testing.T, open Open) {
	l, p := newLine(t, open)
	size := func(i int) int { return []int{0, 1, 125, 126, 1000, 40000}[i%6] }
	for i := range 200 {
		want := bytes.Repeat([]byte{byte('a' + i%26)}, size(i))
		must(t, p.Send(want, i%2 == 0))
		got := <-l.messages
		if !bytes.Equal(got.b, want) || got.binary != (i%2 == 0) {
			t.Fatalf("message %d: got %d bytes, binary %v", i, len(got.b), got.binary)
		}
		must(t, l.out.Send(l.frame(want, i%2 == 1)))
	}
	for i := range 200 {
		b, binary, err := p.Receive()
		must(t, err)
		if len(b) != size(i) || binary != (i%2 == 1) || len(b) > 0 && b[0] != byte('a'+i%26) {
			t.Fatalf("message %d back: got %d bytes, binary %v", i, len(b), binary)
		}
	}
}

// fill writes numbered messages straight to the Conn until one is short, and returns how many there were and what is unsent.
func fill(t *testing.T, l *line, size int) (count int, rest []byte) {
	t.Helper()
	for range 1 << 16 {
		f := l.frame(numbered(count, size), true)
		n, err := l.conn.Write([][]byte{f[:1], f[1:]})
		must(t, err)
		count++
		if n < len(f) {
			return count, f[n:]
		}
	}
	t.Fatal("a line that nobody reads never was full")
	return 0, nil
}

func numbered(i, size int) []byte {
	b := bytes.Repeat([]byte{byte(i)}, size)
	copy(b, fmt.Sprintf("%8d", i))
	return b
}

func receiveNumbered(t *testing.T, p Peer, from, to, size int) {
	t.Helper()
	for i := from; i < to; i++ {
		b, _, err := p.Receive()
		must(t, err)
		if !bytes.Equal(b, numbered(i, size)) {
			t.Fatalf("message %d is not what was sent: %.20q, %d bytes", i, b, len(b))
		}
	}
}

func writeNeverBlocks(t *testing.T, open Open) {
	l, p := newLine(t, open)
	count, rest := fill(t, l, 16<<10) // would not return if Write blocked
	p.Cut()
	<-l.closed
	if n, err := l.conn.Write([][]byte{rest}); err == nil {
		t.Fatalf("message %d: %d bytes were written after the end", count, n)
	}
}

func writableOnce(t *testing.T, open Open) {
	l, p := newLine(t, open)
	sent := 0
	for range 3 {
		count, rest := fill(t, l, 8<<10+sent%2)
		// The numbers go on, the size is the turn's own.
		done := make(chan struct{})
		go func() {
			defer close(done)
			receiveNumbered(t, p, 0, count, 8<<10+sent%2)
		}()
		for len(rest) > 0 {
			<-l.writable
			n, err := l.conn.Write([][]byte{rest})
			must(t, err)
			rest = rest[n:]
		}
		<-done
		select {
		case <-l.writable:
			t.Fatal("Writable without a short write before it")
		default:
		}
		sent += count
	}
}

func slowReader(t *testing.T, open Open) {
	l, p := newLine(t, open)
	const count, size = 2000, 10 << 10
	for i := range count {
		must(t, l.out.Send(l.frame(numbered(i, size), true)))
	}
	if l.out.Pending() == 0 {
		t.Fatal("20 MB are out although nobody read")
	}
	receiveNumbered(t, p, 0, count, size)
}

func stalledPeer(t *testing.T, open Open) {
	stalled, _ := newLine(t, open)
	l, p := newLine(t, open)
	fill(t, stalled, 16<<10)
	for i := range 100 {
		must(t, l.out.Send(l.frame(numbered(i, 100), true)))
		receiveNumbered(t, p, i, i+1, 100)
		must(t, p.Send([]byte("x"), false))
		<-l.messages
	}
}

func closeFromAnywhere(t *testing.T, open Open) {
	l, _ := newLine(t, open)
	done := make(chan struct{})
	for range 4 {
		go func() {
			l.conn.Close()
			l.conn.Close()
			done <- struct{}{}
		}()
	}
	for range 4 {
		<-done
	}
	if err := <-l.closed; err != nil {
		t.Fatalf("our own end: %v", err)
	}
	l.conn.Close()
}

func closeInMessage(t *testing.T, open Open) {
	l, p := newLineWith(t, open, func(l *line) {
		l.onMessage = func([]byte) error {
			l.conn.Close()
			return nil
		}
	})
	for range 10 {
		if p.Send([]byte("x"), false) != nil {
			break // the line may be gone already
		}
	}
	<-l.closed
	if n := len(l.messages); n != 1 {
		t.Fatalf("%d messages were handed over, one was to", n)
	}
}

func closeWhileBlocked(t *testing.T, open Open) {
	l, _ := newLine(t, open)
	for !l.out.Blocked() {
		must(t, l.out.Send(l.frame(numbered(0, 16<<10), true)))
	}
	l.out.Control(l.framing().AppendClose(nil, 4108, "slow consumer"), true)
	<-l.closed
}

func writtenSurvives(t *testing.T, open Open) {
	l, p := newLine(t, open)
	for i := range 50 {
		must(t, l.out.Send(l.frame(numbered(i, 8<<10), true)))
	}
	l.out.Control(l.framing().AppendClose(nil, 1000, ""), true)
	receiveNumbered(t, p, 0, 50, 8<<10)
}

func reasonReachesPeer(t *testing.T, open Open) {
	l, p := newLine(t, open)
	l.out.Control(l.framing().AppendClose(nil, 4201, "drain"), true)
	_, _, err := p.Receive()
	wantCode(t, err, 4201, "drain")
	p.Cut()
	if err := <-l.closed; err != nil {
		t.Fatalf("our own end: %v", err)
	}
}

func reasonReachesInbox(t *testing.T, open Open) {
	l, p := newLine(t, open)
	must(t, p.Close(4000, "mine"))
	wantCode(t, <-l.closed, 4000, "mine")
	l, p = newLine(t, open)
	must(t, p.Close(1000, ""))
	if err := <-l.closed; err != nil {
		t.Fatalf("an orderly end: %v", err)
	}
}

func cutLine(t *testing.T, open Open) {
	l, p := newLine(t, open)
	p.Cut()
	if err := <-l.closed; err == nil {
		t.Fatal("a cut line ended orderly")
	}
}

func errorsEnd(t *testing.T, open Open) {
	for want, err := range map[int]error{4003: &transport.CloseError{Code: 4003, Reason: "forbidden"}, 1011: errors.New("a secret")} {
		l, p := newLineWith(t, open, func(l *line) {
			l.onMessage = func([]byte) error { return err }
		})
		must(t, p.Send([]byte("x"), false))
		_, _, got := p.Receive()
		var told *transport.CloseError
		if !errors.As(got, &told) || told.Code != want || told.Reason == "a secret" {
			t.Fatalf("got %v, want code %d", got, want)
		}
		p.Cut()
		if err := <-l.closed; err == nil {
			t.Fatalf("code %d ended orderly", want)
		}
	}
}

func pongIsAlive(t *testing.T, open Open) {
	l, p := newLine(t, open)
	must(t, p.Pong())
	<-l.alive
}

func writeInAccept(t *testing.T, open Open) {
	count := 0
	l, p := newLineWith(t, open, func(l *line) {
		for !l.out.Blocked() {
			must(t, l.out.Send(l.frame(numbered(count, 16<<10), true)))
			count++
		}
	})
	receiveNumbered(t, p, 0, count, 16<<10)
	must(t, p.Send([]byte("x"), false))
	<-l.messages
}

func infoIsThere(t *testing.T, open Open) {
	l, _ := newLine(t, open)
	if in := l.conn.Info(); in.Kind == "" || in.Framing == nil {
		t.Fatalf("got %+v", in)
	}
}
