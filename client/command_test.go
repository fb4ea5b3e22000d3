package client

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"carillon/wire"
)

// commanded is how a command ended.
type commanded struct {
	r   Reply
	err error
}

// commanding begins a command beside the test.
func commanding(ctx context.Context, s *script, body, id string) <-chan commanded {
	done := make(chan commanded, 1)
	go func() {
		r, err := s.c.Command(ctx, "tally:a", []byte(body), CommandOptions{ID: id})
		done <- commanded{r, err}
	}()
	return done
}

// TestCommand: the answer of a service comes back whole, and its refusal is an answer.
func TestCommand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, Options{})
		p := s.connected()
		done := commanding(t.Context(), s, `{"add":1}`, "mine")
		r := s.expect(p, wire.ReqCommand)
		if r.Idem != "mine" || string(r.Body) != `{"add":1}` || r.Channel != "tally:a" || r.Age != 0 {
			t.Errorf("sent %+v", r)
		}
		at := Position{Epoch: 7, Offset: 9, Tag: 3}
		s.must(p.send(wire.Message{Type: wire.MsgAccepted, ID: r.ID}))
		s.must(p.send(wire.Message{Type: wire.MsgReply, ID: r.ID, Ack: wire.AckDurable, At: at, Refused: 12, Body: []byte(`"no"`)}))
		end := <-done
		s.must(end.err)
		if got := end.r; got.At != at || got.Refused != 12 || string(got.Body) != `"no"` || got.ID != "mine" || got.Level != wire.AckDurable {
			t.Errorf("the reply is %+v", got)
		}
	})
}

// TestCommandAgain: after a lost line, and after a refusal for the moment, the same id is sent with its age.
func TestCommandAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, Options{})
		p := s.connected()
		done := commanding(t.Context(), s, `1`, "")
		first := s.expect(p, wire.ReqCommand)
		time.Sleep(3 * time.Second)
		p.cut()
		p = s.connected()
		again := s.expect(p, wire.ReqCommand)
		if again.Idem != first.Idem || again.Idem == "" || again.Age < 3*time.Second {
			t.Errorf("sent %+v, and after the line was lost %+v", first, again)
		}
		s.must(p.send(wire.Message{Type: wire.MsgError, ID: again.ID, Code: wire.CodeBusy, Retry: true}))
		third := s.expect(p, wire.ReqCommand)
		if third.Idem != first.Idem {
			t.Errorf("sent %+v, and after a refusal %+v", first, third)
		}
		s.must(p.send(wire.Message{Type: wire.MsgReply, ID: third.ID, Ack: wire.AckDurable, Body: []byte(`2`)}))
		end := <-done
		s.must(end.err)
		if got := end.r; string(got.Body) != `2` {
			t.Errorf("the reply is %+v", got)
		}
	})
}

func TestCommandEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, Options{})
		p := s.connected()
		done := commanding(t.Context(), s, `1`, "a")
		r := s.expect(p, wire.ReqCommand)
		s.must(p.send(wire.Message{Type: wire.MsgError, ID: r.ID, Code: wire.CodeNoService}))
		var e *Error
		if end := <-done; !errors.As(end.err, &e) || e.Code != wire.CodeNoService {
			t.Errorf("refused for good: %v", end.err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done = commanding(ctx, s, `1`, "b")
		s.expect(p, wire.ReqCommand)
		cancel()
		if end := <-done; !errors.Is(end.err, ErrOutcomeUnknown) || !errors.Is(end.err, context.Canceled) {
			t.Errorf("given up while it was under way: %v", end.err)
		}
		if _, err := s.c.Command(t.Context(), "tally:a", []byte(`{`), CommandOptions{}); err == nil {
			t.Error("a body that is no JSON was taken")
		}
	})
}
