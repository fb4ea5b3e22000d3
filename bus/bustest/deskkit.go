package bustest

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"carillon/bus"
	"carillon/channel"
)

// counter is the desk under test, with those who stand on either side of it.
type counter struct {
	t      *testing.T
	asks   bus.Desk   // where commands are asked
	owns   []bus.Desk // where owners come, in turn
	late   bool       // too many commands may be found out late
	end    func()
	owners []*deskOwner
	twice  atomic.Int64
}

// deskOwner is a call of Own.
type deskOwner struct {
	stop  context.CancelFunc
	ended chan struct{}
}

func (o *deskOwner) end() {
	o.stop()
	<-o.ended
}

func (k *counter) endAll() {
	for _, o := range k.owners {
		o.end()
	}
}

// own takes part in serving until the owner is ended.
func (k *counter) own(run func(ctx context.Context, s bus.Shard) error) *deskOwner {
	ctx, stop := context.WithCancel(context.Background())
	o := &deskOwner{stop: stop, ended: make(chan struct{})}
	d := k.owns[len(k.owners)%len(k.owns)]
	k.owners = append(k.owners, o)
	go func() {
		defer close(o.ended)
		if err := d.Own(ctx, deskService, deskShards, run); err != nil {
			k.t.Errorf("own: %v", err)
		}
	}()
	return o
}

// replying is an owner that answers each command with its body.
func replying(max int, see func(s bus.Shard, as []bus.Asked)) func(context.Context, bus.Shard) error {
	return func(ctx context.Context, s bus.Shard) error {
		for {
			as, err := s.Next(ctx, max)
			if err != nil {
				return err
			}
			if see != nil {
				see(s, as)
			}
			var out []bus.Answered
			for _, a := range as {
				out = append(out, bus.Answered{Ticket: a.Ticket, Reply: channel.Reply{ID: a.Command.ID, Body: a.Command.Body}})
			}
			if err := s.Answer(out); err != nil {
				return err
			}
		}
	}
}

// asking is a command that was asked.
type asking struct {
	answered chan struct{}
	calls    atomic.Int32
	reply    channel.Reply
	err      error
}

func (k *counter) ask(c channel.Command) *asking {
	a := &asking{answered: make(chan struct{})}
	k.asks.Ask(c, func(r channel.Reply, err error) {
		if a.calls.Add(1) > 1 {
			k.twice.Add(1)
			return
		}
		a.reply, a.err = r, err
		close(a.answered)
	})
	return a
}

// wait waits for the answer.
func (k *counter) wait(a *asking) (channel.Reply, error) {
	k.t.Helper()
	within(k.t, a.answered, "the answer to a command")
	return a.reply, a.err
}

// within waits for a channel to be closed.
func within[T any](t *testing.T, c <-chan T, what string) (v T) {
	t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case v = <-c:
	case <-timer.C:
		t.Fatalf("%s did not come within %v", what, patience)
	}
	return v
}

// order is command i; some of them say that they come again.
func order(n channel.Name, i int) channel.Command {
	age := time.Duration(max(i, 0)%3) * time.Second
	return channel.Command{ID: fmt.Sprintf("id%d", i), Channel: n, User: "ann", Origin: 7, Age: age, Body: fmt.Appendf(nil, "%d", i)}
}

// inShard gives a channel of this shard.
func inShard(shard int) channel.Name {
	for i := 0; ; i++ {
		if n := channel.Name(fmt.Sprintf("%s:%d", deskService, i)); n.Shard(deskShards) == shard {
			return n
		}
	}
}

// served asks until the service has an owner, and one that works.
func (k *counter) served() {
	k.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if _, err := k.wait(k.ask(order(inShard(0), -1))); !errors.Is(err, bus.ErrNoService) {
			return
		}
	}
	k.t.Fatalf("no owner within %v", patience)
}
