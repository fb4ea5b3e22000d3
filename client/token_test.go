package client

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"carillon/wire"
)

// TestSubscriptionToken: each subscribe carries the subscription's own token, fresh each time: at first, on the next
// line, and where the one before ended. What cannot be had is asked for again, and the place in the log is kept.
func TestSubscriptionToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, fail := 0, 0
		token := func(context.Context) (string, error) {
			if fail > 0 {
				fail--
				return "", errors.New("nobody at home")
			}
			n++
			return fmt.Sprint("token", n), nil
		}
		fail = 2
		r, q := subscribed(t, SubscribeOptions{Token: token, After: newBook(1, 3).at(1)})
		b := newBook(1, 9)
		if q.Token != "token1" {
			t.Fatalf("subscribe brings the token %q", q.Token)
		}
		r.recovered(q)
		r.live(b, 2, 3)
		r.want("with the first token", "2-3")
		r.say(wire.Message{Type: wire.MsgUnsubscribed, Channel: "a:b", Code: wire.CodeTokenExpired})
		if q = r.expect(r.p, wire.ReqSubscribe); q.Token != "token2" || q.At != b.at(3) {
			t.Fatalf("after its token ended: %+v", q)
		}
		r.recovered(q)
		r.live(b, 4, 5)
		r.want("with the second token", "4-5")
		r.p.cut()
		fail = 1
		r.p = r.connected()
		if q = r.expect(r.p, wire.ReqSubscribe); q.Token != "token3" || q.At != b.at(5) {
			t.Fatalf("on the next line: %+v", q)
		}
		r.recovered(q)
		r.live(b, 6, 6)
		r.want("with the third token", "6-6")
	})
}

// TestSubscriptionTokenIsRefused: one token for ever serves until it ends; then the subscription does.
func TestSubscriptionTokenIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, q := subscribed(t, SubscribeOptions{Token: StaticToken("mine")})
		r.say(wire.Message{Type: wire.MsgReply, ID: q.ID, Channel: "a:b", At: newBook(1, 1).start})
		synctest.Wait()
		r.say(wire.Message{Type: wire.MsgUnsubscribed, Channel: "a:b", Code: wire.CodeTokenExpired})
		if q = r.expect(r.p, wire.ReqSubscribe); q.Token != "mine" {
			t.Fatalf("asks with %q", q.Token)
		}
		r.say(wire.Message{Type: wire.MsgError, ID: q.ID, Code: wire.CodeUnauthorized})
		if _, err := r.sub.Next(t.Context()); !errors.Is(err, &Error{Code: wire.CodeUnauthorized}) {
			t.Fatalf("the subscription ended with %v", err)
		}
	})
}

// TestCloseWhileATokenIsAwaited: a token that never comes holds up nobody.
func TestCloseWhileATokenIsAwaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, Options{})
		s.connected()
		wait := func(ctx context.Context) (string, error) { <-ctx.Done(); return "", ctx.Err() }
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.c.Subscribe(ctx, "a:b", SubscribeOptions{Token: wait}); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		s.must(s.c.Close())
	})
}

// TestFramesKeepToTheLimit: as many requests go into a frame as the server reads, and no more; that holds for
// subscribes with long tokens as well. What no frame can hold is refused at once.
func TestFramesKeepToTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 16 << 10
		s := play(t, Options{})
		p := s.line()
		h := hello(s.expect(p, wire.ReqConnect).ID)
		h.Hello.Limits.Frame, h.Hello.Limits.Body = most, 64<<10
		for i := range 20 {
			go func() {
				_, _ = s.c.Subscribe(t.Context(), fmt.Sprint("a:", i), SubscribeOptions{Token: StaticToken(strings.Repeat("t", 3000))})
			}()
		}
		body := `"` + strings.Repeat("x", 998) + `"`
		for range 60 {
			s.publish(body)
		}
		whole, err := s.c.PublishAsync(t.Context(), "a:b", []byte(`"`+strings.Repeat("x", most)+`"`), PublishOptions{})
		s.must(err)
		s.must(p.send(h))
		requests, largest := 0, 0
		for requests < 80 {
			_, payload, err := p.readFrame()
			s.must(err)
			largest = max(largest, len(payload))
			if len(payload) > most {
				t.Errorf("a frame of %d bytes, the server reads %d", len(payload), most)
			}
			rs, err := p.protocol.Codec.DecodeRequests(payload, nil)
			s.must(err)
			requests += len(rs)
			for _, r := range rs {
				if r.Type == wire.ReqPublish {
					s.ack(p, r)
				}
			}
		}
		if largest < most/2 {
			t.Errorf("the largest frame has %d bytes: frames are not filled", largest)
		}
		if _, err := whole.Wait(); !errors.Is(err, &Error{Code: wire.CodeTooLarge}) {
			t.Errorf("a body that no frame holds: %v", err)
		}
	})
}
