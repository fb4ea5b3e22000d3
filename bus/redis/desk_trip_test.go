package redis_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"carillon/bus"
	"carillon/channel"
	"carillon/internal/servertest"
)

// The trip of a command reaches its owner. It lies beside the form, so that a node that knows nothing of trips reads the
// command, and what such a node asks is read without.
func TestTripTravels(t *testing.T) {
	r := servertest.StartRedis(t, servertest.RedisNone...)
	d := desksAt(t, r.URL(), "trips", 1)[0]
	got, may := make(chan bus.Asked, 4), make(chan struct{})
	inOwn(t, d, "k", 1, func(ctx context.Context, s bus.Shard) error {
		for {
			as, err := s.Next(ctx, 8)
			if err != nil {
				return err
			}
			for _, a := range as {
				got <- a
			}
			<-may
			for _, a := range as {
				_ = s.Answer([]bus.Answered{{Ticket: a.Ticket}})
			}
		}
	})
	answered := make(chan error, 1)
	trip := 42 * time.Millisecond
	var ask func(channel.Reply, error)
	asks := 0
	ask = func(_ channel.Reply, err error) {
		if asks++; asks == 1 || errors.Is(err, bus.ErrNoService) { // it is not known yet that there is one
			d.Ask(channel.Command{ID: "new", Channel: "k:a", User: "ann", Trip: trip, Body: []byte(`{"a":1}`)}, ask)
			return
		}
		answered <- err
	}
	ask(channel.Reply{}, nil)
	if a := soon(t, got); a.Command.ID != "new" || a.Command.Trip != trip || string(a.Command.Body) != `{"a":1}` {
		t.Errorf("the owner is handed %+v", a.Command)
	}
	stream := ""
	for _, key := range strings.Fields(r.Do("KEYS", "trips:*")) {
		if r.Do("TYPE", key) == "stream" {
			stream = key
		}
	}
	// As older builds write it, with what they read of the first.
	if fields := r.Do("EVAL", `local e = redis.call('XRANGE', KEYS[1], '-', '+')[1][2]
		redis.call('XADD', KEYS[1], '*', 'c', e[2])
		return e[1] .. #e`, "1", stream); fields != "c4" {
		t.Errorf("the first field and the number of parts are %s", fields)
	}
	close(may)
	if a := soon(t, got); a.Command.ID != "new" || a.Command.Trip != 0 || string(a.Command.Body) != `{"a":1}` {
		t.Errorf("of an older build the owner is handed %+v", a.Command)
	}
	if err := soon(t, answered); err != nil {
		t.Error(err)
	}
}
