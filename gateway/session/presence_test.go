package session

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"carillon/bus/local"
	"carillon/channel"
	"carillon/gateway/auth"
	"carillon/gateway/presence"
	"carillon/wire"
)

// turnstile is a roster through which a test lets everybody one by one.
type turnstile struct {
	*local.Roster
	entering chan struct{}
	enter    chan struct{}
}

func (r *turnstile) Enter(m presence.Member) (bool, error) {
	r.entering <- struct{}{}
	<-r.enter
	return r.Roster.Enter(m)
}

// presentEverywhere is the part of a Backend that presence needs.
type presentEverywhere struct{ Backend }

func (presentEverywhere) Policy(channel.Name) channel.Policy { return channel.Policy{Presence: true} }

// halfway is a session that enters presence while something else happens to it.
func halfway(t *testing.T) (s *Session, r *turnstile) {
	t.Helper()
	who, err := auth.NewIdentity("ann", nil, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	r = &turnstile{Roster: local.NewRoster(local.RosterOptions{}), entering: make(chan struct{}), enter: make(chan struct{})}
	k := presence.New(presence.Options{
		Roster: r, Log: slog.New(slog.DiscardHandler),
		Publish: func(_ channel.Record, done func(error)) { done(nil) },
	})
	t.Cleanup(k.Close)
	return &Session{sv: &Server{o: Options{Presence: k, Backend: presentEverywhere{}}}, standing: standing{phase: open}, who: who}, r
}

// while runs what enters, and the other thing before it has entered.
func (r *turnstile) while(enter, meanwhile func()) {
	done := make(chan struct{})
	go func() { enter(); close(done) }()
	<-r.entering
	meanwhile()
	r.enter <- struct{}{}
	<-done
}

// in is 1 where ann is in a channel, away or not.
func (r *turnstile) in(n channel.Name) int {
	_, count, _ := r.Members(context.Background(), n, "", 1)
	return count
}

// TestEndWhileEntering: who goes before he has entered leaves no ghost behind, and goes as surely as he went.
func TestEndWhileEntering(t *testing.T) {
	for _, c := range []struct {
		name string
		code wire.Code
		stay int // he may be back
	}{{"lost", wire.CodeSlow, 1}, {"revoked", wire.CodeRevoked, 0}} {
		s, r := halfway(t)
		b := &sub{s: s, channel: "a:x"}
		s.subs = []*sub{b}
		r.while(func() { s.appear(b) }, func() { s.leave(ending, c.code) })
		r.while(s.arrive, func() {})
		for _, n := range []channel.Name{"a:x", ""} {
			if got := r.in(n); got != c.stay {
				t.Errorf("%s: %d stay in %q, want %d", c.name, got, n, c.stay)
			}
		}
		// Whoever stays is away and goes with the debounce; what is left would be a ghost.
		ms, _, _ := r.Members(context.Background(), "a:x", "", 1)
		if c.stay == 1 && ms[0].Conn != 0 {
			t.Errorf("%s: the entry of a connection that is gone stands", c.name)
		}
	}
}

// TestSubscriptionsAreToldApart: the entry of the next subscription is not taken for that of the one before.
func TestSubscriptionsAreToldApart(t *testing.T) {
	s, r := halfway(t)
	first, second := &sub{s: s, channel: "a:x"}, &sub{s: s, channel: "a:x"}
	nothing := func() {}
	s.subs = []*sub{first}
	r.while(func() { s.appear(first) }, nothing)
	s.remove(first) // as somebody does who expels, and takes the presence back a moment later
	s.subs = append(s.subs, second)
	r.while(func() { s.appear(second) }, nothing)
	first.detach()
	if got := r.in("a:x"); got != 1 {
		t.Errorf("%d are in it after the first subscription went and the second came", got)
	}
	s.remove(second)
	second.detach()
	if got := r.in("a:x"); got != 0 {
		t.Errorf("%d are in it after both went", got)
	}
}
