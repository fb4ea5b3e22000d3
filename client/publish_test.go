package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"carillon/channel"
	"carillon/wire"
)

// bodies collects what arrives at the server.
func (s *script) bodies(p *peer, n int) (got []string, rs []wire.Request) {
	s.Helper()
	for range n {
		r := s.expect(p, wire.ReqPublish)
		got, rs = append(got, string(r.Body)), append(rs, r)
	}
	return got, rs
}

// publish starts publishes of these bodies.
func (s *script) publish(bodies ...string) (ps []*Pending) {
	s.Helper()
	for _, b := range bodies {
		p, err := s.c.PublishAsync(s.Context(), "a:b", []byte(b), PublishOptions{})
		s.must(err)
		ps = append(ps, p)
	}
	return ps
}

func (s *script) ack(p *peer, rs ...wire.Request) {
	s.Helper()
	for _, r := range rs {
		s.must(p.send(wire.Message{Type: wire.MsgReply, ID: r.ID, Ack: wire.AckMemory}))
	}
}

func (s *script) refuse(p *peer, r wire.Request, code wire.Code, after time.Duration) {
	s.Helper()
	s.must(p.send(wire.Message{Type: wire.MsgError, ID: r.ID, Code: code, Retry: code.Info().Retry, RetryAfter: after}))
}

func same(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("%s: %v, want %v", what, got, want)
	}
}

// TestResendsInOrder: what is unanswered when the line breaks goes out again first, in order, with its id and age.
func TestResendsInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, Options{})
		p := s.connected()
		ps := s.publish("1", "2", "3", "4")
		got, rs := s.bodies(p, 4)
		same(t, "first time", got, "1", "2", "3", "4")
		for _, r := range rs {
			if r.Age != 0 || len(r.Idem) < 22 {
				t.Fatalf("first sent as %+v", r)
			}
		}
		s.ack(p, rs[1])
		synctest.Wait()
		time.Sleep(3 * time.Second)
		p.cut()
		synctest.Wait()
		ps = append(ps, s.publish("5")...)
		p = s.connected()
		got, again := s.bodies(p, 4)
		same(t, "second time", got, "1", "3", "4", "5")
		for i, k := range []int{0, 2, 3} {
			if again[i].Idem != rs[k].Idem || again[i].Age < 3*time.Second || again[i].Age > 5*time.Second {
				t.Fatalf("%+v sent again as %+v", rs[k], again[i])
			}
		}
		if again[3].Age != 0 {
			t.Fatalf("a publish that never left has age %v", again[3].Age)
		}
		s.ack(p, again...)
		for _, p := range ps {
			_, err := p.Wait()
			s.must(err)
		}
		s.c.mu.Lock()
		defer s.c.mu.Unlock()
		if len(s.c.lanes) != 0 || s.c.queue != (load{}) {
			t.Fatalf("left over: %d lanes, %+v", len(s.c.lanes), s.c.queue)
		}
	})
}

// TestRefusedForTheMoment: the first of four is refused. Those on their way go through, then the refused one is sent
// alone until it succeeds, and only then what came after.
func TestRefusedForTheMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, Options{})
		p := s.connected()
		ps := s.publish("1", "2", "3")
		_, rs := s.bodies(p, 3)
		ps = append(ps, s.publish("4")...)
		_, more := s.bodies(p, 1)
		s.refuse(p, rs[0], wire.CodeBusy, 4*time.Second)
		synctest.Wait()
		refused := time.Now()
		ps = append(ps, s.publish("5", "6")...)
		s.ack(p, rs[1])
		s.refuse(p, rs[2], wire.CodeBusy, 0)
		s.ack(p, more...)
		got, probe := s.bodies(p, 1)
		same(t, "after the pause", got, "1")
		if d := time.Since(refused); d != 4*time.Second {
			t.Fatalf("sent again after %v, advised 4s", d)
		}
		s.refuse(p, probe[0], wire.CodeUnconfirmed, 0)
		got, probe = s.bodies(p, 1)
		same(t, "once more", got, "1")
		if probe[0].Idem != rs[0].Idem || probe[0].Age < 4*time.Second {
			t.Fatalf("%+v", probe[0])
		}
		s.ack(p, probe...)
		got, rest := s.bodies(p, 3)
		same(t, "then", got, "3", "5", "6")
		s.refuse(p, rest[0], wire.CodeTooLarge, 0)
		s.ack(p, rest[1:]...)
		for i, p := range ps {
			_, err := p.Wait()
			if final := errors.Is(err, &Error{Code: wire.CodeTooLarge}); final != (i == 2) || err != nil && !final {
				t.Fatalf("publish %d ended with %v", i+1, err)
			}
		}
	})
}

// TestOtherChannelsGoOn: a channel that is refused holds up no other one.
func TestOtherChannelsGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, Options{})
		p := s.connected()
		s.publish("1")
		_, rs := s.bodies(p, 1)
		s.refuse(p, rs[0], wire.CodeRateLimited, time.Hour)
		synctest.Wait()
		s.publish("2")
		_, err := s.c.PublishAsync(t.Context(), "other", []byte("3"), PublishOptions{})
		s.must(err)
		got, _ := s.bodies(p, 1)
		same(t, "went out", got, "3")
	})
}

// TestAnswerThatNeverComes: a line that lives but swallowed an answer is left, and the publish sent again.
func TestAnswerThatNeverComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, Options{})
		p := s.connected()
		ps := s.publish("1")
		s.bodies(p, 1)
		for i := range 2 {
			if st := s.state(); st.Phase != Connected {
				t.Fatalf("before ping %d: %+v", i, st)
			}
			time.Sleep(25 * time.Second)
			s.must(p.send(wire.Message{Type: wire.MsgPing}))
			synctest.Wait()
		}
		second := time.Now()
		p = s.connected()
		if d := time.Since(second); d > time.Second {
			t.Fatalf("left %v after the second ping", d)
		}
		got, rs := s.bodies(p, 1)
		same(t, "again", got, "1")
		s.ack(p, rs...)
		_, err := ps[0].Wait()
		s.must(err)
	})
}

func TestOutcomeUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, Options{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		unsent, err := s.c.PublishAsync(ctx, "a:b", []byte("1"), PublishOptions{})
		s.must(err)
		time.Sleep(time.Minute)
		if _, err := unsent.Wait(); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrOutcomeUnknown) {
			t.Fatalf("a publish that never left ended with %v", err)
		}
		p := s.connected()
		ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		sent, err := s.c.PublishAsync(ctx, "a:b", []byte("2"), PublishOptions{})
		s.must(err)
		got, _ := s.bodies(p, 1)
		same(t, "arrived", got, "2")
		time.Sleep(25 * time.Second)
		p.cut()
		time.Sleep(35 * time.Second)
		if _, err := sent.Wait(); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, ErrOutcomeUnknown) {
			t.Fatalf("a publish that was sent ended with %v", err)
		}
		p = s.connected()
		s.publish("3")
		got, _ = s.bodies(p, 1)
		same(t, "on the next line", got, "3")
	})
}

func TestQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, Options{QueueRecords: 3, QueueBytes: 10})
		s.publish("1", "2", "3")
		if _, err := s.c.PublishAsync(t.Context(), "a:b", []byte("4"), PublishOptions{}); err != ErrQueueFull {
			t.Fatal(err)
		}
		p := s.connected()
		_, rs := s.bodies(p, 3)
		s.ack(p, rs...)
		synctest.Wait()
		s.publish("12345678")
		if _, err := s.c.PublishAsync(t.Context(), "a:b", []byte("123"), PublishOptions{}); err != ErrQueueFull {
			t.Fatal(err)
		}
		s.publish("12")
	})
}

func TestFleeting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, Options{})
		o := PublishOptions{Class: channel.Fleeting, Key: "typing", NoEcho: true}
		if _, err := s.c.Publish(t.Context(), "a:b", []byte("1"), o); err != ErrOffline {
			t.Fatal(err)
		}
		p := s.connected()
		synctest.Wait()
		one, err := s.c.PublishAsync(t.Context(), "a:b", []byte("1"), o)
		s.must(err)
		_, rs := s.bodies(p, 1)
		if r := rs[0]; r.Idem != "" || r.Class != channel.Fleeting || r.Key != "typing" || !r.NoEcho {
			t.Fatalf("%+v", r)
		}
		p.cut()
		if _, err := one.Wait(); !errors.Is(err, ErrLineLost) || !errors.Is(err, ErrOutcomeUnknown) {
			t.Fatal(err)
		}
	})
}

// TestRefusedBeforeSending: what the server would refuse as malformed never takes down the frame it shares with others.
func TestRefusedBeforeSending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, Options{JSON: true})
		for _, x := range []struct {
			name, body string
			o          PublishOptions
			code       wire.Code
		}{
			{"no such name", "1", PublishOptions{}, wire.CodeBadChannel},
			{"a:b", "", PublishOptions{}, wire.CodeBadRequest},
			{"a:b", "{", PublishOptions{}, wire.CodeBadRequest},
			{"a:b", `{"a":1,"a":2}`, PublishOptions{}, wire.CodeBadRequest},
			{"a:b", strings.Repeat("[", 40) + strings.Repeat("]", 40), PublishOptions{}, wire.CodeBadRequest},
			{"a:b", "\"\xff\"", PublishOptions{}, wire.CodeBadRequest},
			{"a:b", "1", PublishOptions{ID: strings.Repeat("x", 65)}, wire.CodeBadRequest},
			{"a:b", "1", PublishOptions{Class: channel.Fleeting, Key: "\x00"}, wire.CodeBadRequest},
		} {
			if _, err := s.c.PublishAsync(t.Context(), x.name, []byte(x.body), x.o); !errors.Is(err, &Error{Code: x.code}) {
				t.Errorf("%q to %q: %v", x.body, x.name, err)
			}
		}
		p := s.connected()
		synctest.Wait()
		// The server reads no message of that size; to send it would cost the line.
		if _, err := s.c.Publish(t.Context(), "a:b", make([]byte, 64<<10), PublishOptions{Binary: true}); !errors.Is(err, &Error{Code: wire.CodeTooLarge}) {
			t.Fatal(err)
		}
		s.publish("1")
		s.bodies(p, 1)
	})
}

// TestSharedFrames: publishes that wait share frames, within the server's bounds on requests, bytes and requests in flight.
func TestSharedFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, Options{})
		p := s.line()
		m := hello(s.expect(p, wire.ReqConnect).ID)
		m.Hello.Limits.Batch, m.Hello.Limits.InFlight = 10, 25
		for i := range 40 {
			s.publish(fmt.Sprint(i))
		}
		s.must(p.send(m))
		_, rs := s.bodies(p, 25)
		if p.frames != 1+3 {
			t.Fatalf("25 publishes in %d frames", p.frames-1)
		}
		synctest.Wait()
		if n := p.unread(); n > 0 {
			t.Fatalf("%d bytes beyond the bound on requests in flight", n)
		}
		s.ack(p, rs[:5]...)
		got, _ := s.bodies(p, 5)
		same(t, "then", got, "25", "26", "27", "28", "29")
		s.ack(p, rs[5:]...)
		s.bodies(p, 10)
		for range 10 {
			_, err := s.c.PublishAsync(t.Context(), "big", make([]byte, 20<<10), PublishOptions{Binary: true})
			s.must(err)
		}
		p.frames = 0
		s.bodies(p, 9)
		if p.frames < 3 {
			t.Fatalf("9 records of 20 KiB in %d frames", p.frames)
		}
	})
}

// TestPublishAll: in order, never more than Window without an answer, and the first error ends it.
func TestPublishAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, Options{})
		p := s.connected()
		taken := 0
		lines := func(yield func([]byte) bool) {
			for taken < 1000 && yield([]byte(fmt.Sprint(taken))) {
				taken++
			}
		}
		type outcome struct {
			n   int
			err error
		}
		done := make(chan outcome, 1)
		acks := 0
		go func() {
			n, err := s.c.PublishAll(t.Context(), "a:b", lines, PublishOptions{}, func(Ack) { acks++ })
			done <- outcome{n, err}
		}()
		for i := range 600 {
			synctest.Wait()
			if under := taken - i; under > Window {
				t.Fatalf("%d under way", under)
			}
			got, rs := s.bodies(p, 1)
			same(t, "next", got, fmt.Sprint(i))
			if i == 599 {
				s.refuse(p, rs[0], wire.CodeForbidden, 0)
				continue
			}
			s.ack(p, rs...)
		}
		x := <-done
		if x.n != 599 || acks != 599 || !errors.Is(x.err, &Error{Code: wire.CodeForbidden}) || !strings.Contains(x.err.Error(), "record 600") {
			t.Fatalf("%+v after %d acks", x, acks)
		}
	})
}
