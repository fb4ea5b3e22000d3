package client

import (
	"bufio"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"carillon/channel"
	"carillon/wire"
)

func TestFirstProgram(t *testing.T) {
	for _, json := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := play(t, Options{JSON: json, Token: StaticToken("secret"), Name: "first"})
			p := s.line()
			r := s.expect(p, wire.ReqConnect)
			if r.Token != "secret" || r.Name != "first" || p.protocol.Binary == json {
				t.Fatalf("connect is %+v in %s", r, p.protocol.Name)
			}
			s.must(p.send(hello(r.ID)))
			start := Position{Epoch: 7, Offset: 3, Tag: 9}
			go func() {
				r := s.expect(p, wire.ReqSubscribe)
				s.must(p.send(wire.Message{Type: wire.MsgReply, ID: r.ID, Channel: r.Channel, At: start}))
				r = s.expect(p, wire.ReqPublish)
				at := start.Next(r.Body)
				s.must(p.send(wire.Message{Type: wire.MsgRecord, Record: Record{Channel: r.Channel, At: at, From: "ann", Time: time.Now(), Body: r.Body}}))
				s.must(p.send(wire.Message{Type: wire.MsgReply, ID: r.ID, Ack: wire.AckMemory, At: at}))
			}()
			sub, err := s.c.Subscribe(t.Context(), "chat:lobby", SubscribeOptions{})
			s.must(err)
			ack, err := s.c.Publish(t.Context(), "chat:lobby", []byte(`{"text":"hi"}`), PublishOptions{})
			s.must(err)
			e, err := sub.Next(t.Context())
			s.must(err)
			if ack.Level != wire.AckMemory || e.At() != ack.At || string(e.Record.Body) != `{"text":"hi"}` || sub.Position() != ack.At {
				t.Fatalf("ack %+v, event %+v", ack, e)
			}
			s.must(s.c.Close())
			if _, err := sub.Next(t.Context()); !errors.Is(err, ErrClosed) {
				t.Fatalf("after Close, Next says %v", err)
			}
		})
	}
}

func TestReconnectsForeverWithJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, Options{Backoff: Backoff{Rand: rand.New(rand.NewPCG(1, 2))}}, func() error { return errors.New("connection refused") })
		time.Sleep(10 * time.Minute)
		s.mu.Lock()
		defer s.mu.Unlock()
		var waits []time.Duration
		for _, st := range s.states {
			if st.Phase == Reconnecting {
				waits = append(waits, st.Wait)
			}
		}
		if len(waits) < 100 {
			t.Fatalf("%d attempts in 10 minutes", len(waits))
		}
		var low, high int
		for i, w := range waits {
			ceiling := min(time.Second<<min(i, 10), 5*time.Second)
			if w < 0 || w >= ceiling {
				t.Fatalf("wait %d is %v, ceiling %v", i, w, ceiling)
			}
			if w < time.Second {
				low++
			}
			if w > 4*time.Second {
				high++
			}
		}
		if low == 0 || high == 0 {
			t.Fatalf("no full jitter: %d short and %d long waits of %d", low, high, len(waits))
		}
	})
}

func TestGivesUpAfterAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newPipes()
		refused := errors.New("connection refused")
		n.refuse = func() error { return refused }
		_, err := Dial(t.Context(), "ws://test/ws", Options{NetDial: n.dial, Backoff: Backoff{Attempts: 3}})
		if !errors.Is(err, refused) || n.dialled() != 3 {
			t.Fatalf("%d attempts, then %v", n.dialled(), err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		_, err = Dial(ctx, "ws://test/ws", Options{NetDial: n.dial})
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, refused) {
			t.Fatalf("Dial says %v", err)
		}
	})
}

// TestCloseNumbers: what the server's last word makes of the client.
func TestCloseNumbers(t *testing.T) {
	for _, x := range []struct {
		number int
		code   wire.Code
		then   wire.Reconnect
	}{
		{4001, wire.CodeUnauthorized, wire.ReconnectNever},
		{4005, wire.CodeTooManyConnections, wire.ReconnectNever},
		{4006, wire.CodeRevoked, wire.ReconnectNever},
		{4099, "", wire.ReconnectNever},
		{1009, "", wire.ReconnectNever},
		{4101, wire.CodeTokenExpired, wire.ReconnectBackoff},
		{4108, wire.CodeSlow, wire.ReconnectBackoff},
		{4199, "", wire.ReconnectBackoff},
		{1011, "", wire.ReconnectBackoff},
		{4201, wire.CodeDrain, wire.ReconnectAtOnce},
		{1012, "", wire.ReconnectAtOnce},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := play(t, Options{})
			p := s.connected()
			began := time.Now()
			p.closeWith(x.number, string(x.code))
			if x.then == wire.ReconnectNever {
				<-s.c.Done()
				err := s.c.Err()
				if e := asError(err); x.code != "" && (e == nil || e.Code != x.code || e.Number != x.number || e.Advice() == "") {
					t.Fatalf("%d: client ended with %v", x.number, err)
				}
				if st := s.state(); st.Phase != Failed || err == nil {
					t.Fatalf("%d: %+v, %v", x.number, st, err)
				}
				if _, err := s.c.Publish(t.Context(), "a:b", []byte("1"), PublishOptions{}); err != s.c.Err() {
					t.Fatalf("publish on a failed client: %v", err)
				}
				return
			}
			s.connected()
			away := time.Since(began)
			if x.then == wire.ReconnectAtOnce && away != 0 {
				t.Fatalf("%d: back after %v, want at once", x.number, away)
			}
			if x.then == wire.ReconnectBackoff && (away == 0 || away > time.Second) {
				t.Fatalf("%d: back after %v", x.number, away)
			}
		})
	}
}

func TestRefusedConnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, Options{})
		p := s.line()
		r := s.expect(p, wire.ReqConnect)
		s.must(p.send(wire.Message{Type: wire.MsgError, ID: r.ID, Code: wire.CodeUnauthorized, Text: "The token ended yesterday."}))
		<-s.c.Done()
		if err := s.c.Err(); !errors.Is(err, &Error{Code: wire.CodeUnauthorized}) {
			t.Fatal(err)
		}
	})
}

// TestAdviceIsTaken: a wait that the server advises is kept, in a reply and in a handshake.
func TestAdviceIsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, Options{})
		p := s.line()
		r := s.expect(p, wire.ReqConnect)
		began := time.Now()
		s.must(p.send(wire.Message{Type: wire.MsgError, ID: r.ID, Code: wire.CodeOverloaded, Retry: true, RetryAfter: 20 * time.Second}))
		conn := <-s.net.accepted
		if d := time.Since(began); d != 20*time.Second {
			t.Fatalf("back after %v", d)
		}
		answer := func(head string) {
			_, err := http.ReadRequest(bufio.NewReader(conn))
			s.must(err)
			_, err = io.WriteString(conn, "HTTP/1.1 "+head+"\r\nContent-Length: 0\r\n\r\n")
			s.must(err)
		}
		began = time.Now()
		answer("503 Service Unavailable\r\nRetry-After: 30")
		conn = <-s.net.accepted
		if d := time.Since(began); d != 30*time.Second {
			t.Fatalf("back after %v", d)
		}
		answer("403 Forbidden")
		<-s.c.Done()
		if err := s.c.Err(); !errors.Is(err, &Error{Code: wire.CodeForbidden}) {
			t.Fatal(err)
		}
	})
}

// TestSentAwayAgainAndAgain: who is told to come back at once each time is paced all the same.
func TestSentAwayAgainAndAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, Options{})
		began := time.Now()
		for range 50 {
			s.connected().closeWith(4201, "")
		}
		if d := time.Since(began); d < 20*time.Second {
			t.Fatalf("50 connections within %v", d)
		}
	})
}

func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, Options{})
		p := s.connected()
		began := time.Now()
		s.must(p.send(wire.Message{Type: wire.MsgDrain, After: 7 * time.Second}))
		synctest.Wait()
		// Nothing new goes to a server that is going away.
		pending, err := s.c.PublishAsync(t.Context(), "a:b", []byte("1"), PublishOptions{})
		s.must(err)
		time.Sleep(2 * time.Second)
		p.closeWith(4201, "drain")
		p = s.connected()
		if away := time.Since(began); away != 7*time.Second {
			t.Fatalf("back after %v, advised 7s", away)
		}
		r := s.expect(p, wire.ReqPublish)
		s.must(p.send(wire.Message{Type: wire.MsgReply, ID: r.ID, Ack: wire.AckMemory}))
		_, err = pending.Wait()
		s.must(err)

		// A server that says drain and then dies without a word is left after the same time.
		began = time.Now()
		s.must(p.send(wire.Message{Type: wire.MsgDrain, After: 3 * time.Second}))
		p.hush()
		s.connected()
		if away := time.Since(began); away != 3*time.Second {
			t.Fatalf("back after %v", away)
		}
	})
}

func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, Options{})
		p := s.connected()
		for range 5 { // pings keep it, and are answered
			time.Sleep(34 * time.Second)
			s.must(p.send(wire.Message{Type: wire.MsgPing}))
			s.expect(p, wire.ReqPong)
		}
		time.Sleep(34 * time.Second)
		s.must(p.writeFrame(opPing, nil)) // and so do WebSocket pings
		if op, _, err := p.readFrame(); op != opPong {
			t.Fatalf("opcode %d, %v", op, err)
		}
		began := time.Now()
		p.hush()
		_ = p.send(wire.Message{Type: wire.MsgPing})
		time.Sleep(35*time.Second - 1)
		if st := s.state(); st.Phase != Connected {
			t.Fatalf("too early: %+v", st)
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if st := s.state(); st.Phase != Reconnecting || !errors.Is(st.Err, ErrSilent) {
			t.Fatalf("after %v: %+v", time.Since(began), st)
		}
		s.connected()
		synctest.Wait()
		if st := s.state(); st.Away == 0 || st.Away > time.Second {
			t.Fatalf("away %v", st.Away)
		}
	})
}

// TestSilenceFromTheStart: a server that says connected and nothing more, and one that does not even say that.
func TestSilenceFromTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, Options{})
		s.connected()
		began := time.Now()
		s.line()
		if d := time.Since(began); d < 35*time.Second || d > 36*time.Second {
			t.Fatalf("back after %v", d)
		}
		began = time.Now()
		s.line()
		if d := time.Since(began); d < defaultConnectTimeout || d > defaultConnectTimeout+2*time.Second {
			t.Fatalf("back after %v", d)
		}
	})
}

// TestNews: what the server says beside answers and records reaches OnState; what this version does not know is ignored.
func TestNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, Options{JSON: true})
		p := s.connected()
		s.must(p.writeFrame(opText, []byte(`{"type":"weather","rain":true}`)))
		s.must(p.send(wire.Message{Type: wire.MsgStale, Channel: "a:b", Stale: true}))
		s.must(p.send(wire.Message{Type: wire.MsgStale}))
		s.must(p.send(wire.Message{Type: wire.MsgError, Code: wire.CodeBadRequest}))
		synctest.Wait()
		s.mu.Lock()
		var got []string
		for _, st := range s.states {
			got = append(got, st.Phase.String()+st.Channel)
		}
		s.mu.Unlock()
		same(t, "states", got, "connecting", "connected", "stalea:b", "fresh", "warned")
		s.must(p.writeFrame(opText, []byte(`{"type":`)))
		synctest.Wait()
		if st := s.state(); st.Phase != Reconnecting || st.Err == nil {
			t.Fatalf("after nonsense: %+v", st)
		}
	})
}

func TestTokenIsRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		s := play(t, Options{Token: func(context.Context) (string, error) { n++; return string(rune('0' + n)), nil }})
		p := s.connected()
		s.must(p.send(wire.Message{Type: wire.MsgExpiring, In: 30 * time.Second}))
		if r := s.expect(p, wire.ReqRefresh); r.Token != "2" {
			t.Fatalf("refresh with token %q", r.Token)
		}
		p.closeWith(4101, "")
		p = s.line()
		if r := s.expect(p, wire.ReqConnect); r.Token != "3" {
			t.Fatalf("connect with token %q", r.Token)
		}
	})
}

// TestCloseWaitsForNobody: a server that neither reads nor answers cannot hold up Close for more than a moment.
func TestCloseWaitsForNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, Options{})
		s.connected()
		for range 400 {
			_, err := s.c.PublishAsync(t.Context(), "a:b", make([]byte, 4<<10), PublishOptions{Binary: true})
			s.must(err)
		}
		p, err := s.c.PublishAsync(t.Context(), "a:b", []byte("1"), PublishOptions{})
		s.must(err)
		fleeting, err := s.c.PublishAsync(t.Context(), "a:b", []byte("1"), PublishOptions{Class: channel.Fleeting})
		s.must(err)
		synctest.Wait()
		began := time.Now()
		s.must(s.c.Close())
		if d := time.Since(began); d > 2*closeWait {
			t.Fatalf("Close took %v", d)
		}
		if _, err := p.Wait(); !errors.Is(err, ErrClosed) || errors.Is(err, ErrOutcomeUnknown) {
			t.Fatalf("a publish that was never sent ended with %v", err)
		}
		if _, err := fleeting.Wait(); err == nil {
			t.Fatal("a publish into a closed client succeeded")
		}
	})
}
