package presence_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"carillon/bus/local"
	"carillon/channel"
	"carillon/gateway/presence"
	"carillon/observe"
)

// stage is a Keeper over a real roster, in a bubble, and what it wrote.
type stage struct {
	t      *testing.T
	k      *presence.Keeper
	roster *local.Roster

	mu    sync.Mutex
	wrote []channel.Record
	times []time.Time
	fail  error
	short bool
}

func play(t *testing.T, test func(*stage)) {
	synctest.Test(t, func(t *testing.T) {
		s := &stage{t: t, roster: local.NewRoster(local.RosterOptions{})}
		s.k = presence.New(presence.Options{
			Roster: s.roster, Publish: s.publish, Log: slog.New(slog.DiscardHandler),
			Strain: func() (bool, string) {
				s.mu.Lock()
				defer s.mu.Unlock()
				return s.short, "heap"
			},
		})
		test(s)
		s.k.Close()
	})
}

func (s *stage) publish(r channel.Record, done func(error)) {
	s.mu.Lock()
	s.wrote, s.times = append(s.wrote, r), append(s.times, time.Now())
	err := s.fail
	s.mu.Unlock()
	done(err)
}

func (s *stage) set(short bool, fail error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.short, s.fail = short, fail
}

// sleep lets time go by.
func (s *stage) sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// pass lets time go by and gives what was written in it, as the bodies are: "" for a deletion.
func (s *stage) pass(d time.Duration) (bodies []string) {
	s.t.Helper()
	s.sleep(d)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.wrote {
		if r.Channel != "a:x@presence" || r.Class != channel.Latest || r.Key != "now" || r.From != "" {
			s.t.Errorf("wrote %+v", r)
		}
		bodies = append(bodies, string(r.Body))
	}
	for i := 1; i < len(s.times); i++ {
		if gap := s.times[i].Sub(s.times[i-1]); gap < time.Second {
			s.t.Errorf("%s was written %v after %s", bodies[i], gap, bodies[i-1])
		}
	}
	s.wrote, s.times = nil, nil
	return bodies
}

func (s *stage) wants(d time.Duration, want ...string) {
	s.t.Helper()
	if got := s.pass(d); !slices.Equal(got, want) {
		s.t.Fatalf("wrote %q, want %q", got, want)
	}
}

func member(user string, conn uint64) presence.Member {
	return presence.Member{Channel: "a:x", User: user, Conn: conn, Since: time.UnixMilli(int64(conn) * 1000)}
}

// watch begins one and tells whether it is ready.
func (s *stage) watch() (ready func() bool) {
	var mu sync.Mutex
	is := false
	s.k.Watch("a:x", func() {
		mu.Lock()
		defer mu.Unlock()
		is = true
	})
	return func() bool {
		mu.Lock()
		defer mu.Unlock()
		return is
	}
}

func TestValueIsThereForTheFirst(t *testing.T) {
	play(t, func(s *stage) {
		s.k.Enter(member("bob", 2))
		s.k.Enter(member("ann", 2))
		s.k.Enter(member("cyd", 1))
		s.wants(time.Minute) // nobody watches
		first := s.watch()
		s.wants(0, `{"count":3,"members":[{"user":"cyd","since":1000},{"user":"ann","since":2000},{"user":"bob","since":2000}]}`)
		second := s.watch()
		if s.wants(time.Minute); !first() || !second() {
			t.Error("the watches are not ready")
		}
		s.k.Leave(member("ann", 2), true)
		s.wants(200*time.Millisecond, `{"count":2,"members":[{"user":"cyd","since":1000},{"user":"bob","since":2000}]}`)
	})
}

func TestUnwatchedValueGoes(t *testing.T) {
	play(t, func(s *stage) {
		s.watch()
		s.watch()
		s.wants(0, `{"count":0,"members":[]}`)
		s.k.Unwatch("a:x")
		s.wants(time.Minute)
		s.k.Unwatch("a:x")
		s.wants(time.Minute, "")
		s.k.Unwatch("a:x") // one too many changes nothing
		s.k.Enter(member("ann", 1))
		s.wants(time.Minute)
		s.watch()
		s.wants(time.Second, `{"count":1,"members":[{"user":"ann","since":1000}]}`)
		for range 100 { // who looks away for a moment costs nothing
			s.k.Unwatch("a:x")
			if ready := s.watch(); func() bool { synctest.Wait(); return !ready() }() {
				t.Fatal("a watch is not ready")
			}
		}
		s.wants(time.Minute)
		s.k.Unwatch("a:x")
		s.wants(time.Minute, "")
		s.watch() // the same as before, but it was deleted
		s.wants(time.Second, `{"count":1,"members":[{"user":"ann","since":1000}]}`)
		if n := s.k.Counts().Updates.Load(); n != 3 {
			t.Errorf("%d updates", n)
		}
	})
}

func TestChangesShareAnUpdate(t *testing.T) {
	play(t, func(s *stage) {
		s.watch()
		s.pass(0)
		const seconds = 30
		for i := range uint64(seconds * 100) { // one goes when the next has come: the value is never the same again
			s.k.Enter(member(fmt.Sprint("u", i), i+1))
			s.sleep(5 * time.Millisecond)
			s.k.Leave(member(fmt.Sprint("u", i-1), i), true)
			s.sleep(5 * time.Millisecond)
		}
		s.k.Leave(member(fmt.Sprint("u", seconds*100-1), seconds*100), true)
		s.k.Enter(member("last", 1))
		got := s.pass(2 * time.Second)
		if len(got) < seconds*2/3 || len(got) > seconds+2 || got[len(got)-1] != `{"count":1,"members":[{"user":"last","since":1000}]}` {
			t.Errorf("%d updates, the last %q", len(got), got[len(got)-1])
		}
		c := s.k.Counts()
		if c.Coalesced.Load()+c.Updates.Load() < seconds*190 {
			t.Errorf("%d coalesced, %d updates", c.Coalesced.Load(), c.Updates.Load())
		}
	})
}

// TestFlapsAreNothing: 20,000 times off and on within the window are no event and no update.
func TestFlapsAreNothing(t *testing.T) {
	play(t, func(s *stage) {
		for u := range uint64(100) {
			s.k.Enter(member(fmt.Sprint("u", u), u+1))
		}
		s.watch()
		s.pass(time.Second)
		for i := range uint64(20_000) {
			m := member(fmt.Sprint("u", i%100), i%100+1)
			s.k.Leave(m, false)
			if i%40 == 39 {
				s.sleep(100 * time.Millisecond) // 50 s for all of them, a quarter of a second for each flap
			}
			s.k.Enter(m)
		}
		s.wants(time.Minute)
		came, left := observe.LabelPresence.Value("came"), observe.LabelPresence.Value("left")
		if e := s.k.Counts().Events; e.Load(came) != 100 || e.Load(left) != 0 {
			t.Errorf("%d came, %d left", e.Load(came), e.Load(left))
		}
		s.k.Leave(member("u7", 8), false)
		s.wants(29900 * time.Millisecond)
		if got := s.pass(2 * time.Second); len(got) != 1 || !strings.Contains(got[0], `"count":99`) {
			t.Errorf("after 30 s, wrote %q", got)
		}
		if n := s.k.Counts().Events.Load(left); n != 1 {
			t.Errorf("%d left", n)
		}
	})
}

// TestTold: whoever wants to know who is there hears exactly what is counted, and of a loss once it is sure.
func TestTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var told []string
		k := presence.New(presence.Options{
			Roster: local.NewRoster(local.RosterOptions{}), Log: slog.New(slog.DiscardHandler),
			Publish: func(_ channel.Record, done func(error)) { done(nil) },
			Told: func(m presence.Member, here bool) {
				mu.Lock()
				defer mu.Unlock()
				told = append(told, fmt.Sprint(m.User, here))
			},
		})
		defer k.Close()
		wants := func(want ...string) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if !slices.Equal(told, want) {
				t.Fatalf("told %q, want %q", told, want)
			}
		}
		k.Enter(member("ann", 1))
		k.Enter(member("ann", 2))
		k.Enter(member("bob", 3))
		wants("anntrue", "bobtrue")
		k.Leave(member("ann", 1), true)
		k.Leave(member("bob", 3), false)
		time.Sleep(20 * time.Second)
		k.Enter(member("bob", 4))
		k.Leave(member("ann", 2), true)
		wants("anntrue", "bobtrue", "annfalse")
		k.Leave(member("bob", 4), false)
		time.Sleep(29 * time.Second)
		wants("anntrue", "bobtrue", "annfalse")
		time.Sleep(2 * time.Second)
		wants("anntrue", "bobtrue", "annfalse", "bobfalse")
		came, left := observe.LabelPresence.Value("came"), observe.LabelPresence.Value("left")
		if e := k.Counts().Events; e.Load(came) != 2 || e.Load(left) != 2 {
			t.Errorf("%d came, %d left", e.Load(came), e.Load(left))
		}
	})
}

func TestManyMembersAreCounted(t *testing.T) {
	play(t, func(s *stage) {
		s.watch()
		s.pass(time.Second)
		long := strings.Repeat(`"`, 125)
		for u := range uint64(presence.Listed) {
			s.k.Enter(member(long+fmt.Sprint(u), u+1))
		}
		got := s.pass(2 * time.Second)
		body := got[len(got)-1]
		var v presence.Value
		if err := json.Unmarshal([]byte(body), &v); err != nil || len(v.Members) != presence.Listed || len(body) > presence.MaxBody {
			t.Errorf("%d bytes, %d members, %v", len(body), len(v.Members), err)
		}
		s.k.Enter(member("one more", 1))
		s.wants(2*time.Second, `{"count":101}`)
		s.k.Leave(member("one more", 1), true)
		s.wants(2*time.Second, body)
		p, err := s.k.Members(context.Background(), "a:x", "", presence.Listed-1)
		if err != nil || len(p.Members) != presence.Listed-1 || !p.More || p.Count != presence.Listed {
			t.Errorf("a page of %d of %d, more %v, %v", len(p.Members), p.Count, p.More, err)
		}
	})
}

func TestFailedUpdateIsTriedAgain(t *testing.T) {
	play(t, func(s *stage) {
		s.set(false, errors.New("no room"))
		ready := s.watch()
		tries := s.pass(5 * time.Second)
		if !ready() || len(tries) < 4 || len(tries) > 6 {
			t.Errorf("ready %v after %d tries", ready(), len(tries))
		}
		s.set(false, nil)
		s.wants(2*time.Second, `{"count":0,"members":[]}`)
		s.wants(time.Minute)
	})
}

// TestShortOfBreath: updates come every 5 s, and every 15 s when it lasts; those who begin to watch wait for nothing.
func TestShortOfBreath(t *testing.T) {
	play(t, func(s *stage) {
		s.watch()
		s.pass(time.Second)
		conn := uint64(0)
		churn := func(d time.Duration) (updates int) {
			for began := time.Now(); time.Since(began) < d; conn++ {
				s.k.Enter(member(fmt.Sprint("u", conn+1), conn+1))
				s.k.Leave(member(fmt.Sprint("u", conn), conn), true)
				s.sleep(300 * time.Millisecond)
			}
			return len(s.pass(0))
		}
		s.set(true, nil)
		if n := churn(presence.Patience); n < 1 || n > 2 {
			t.Errorf("%d updates in 10 s of short breath", n)
		}
		if n := churn(time.Minute); n < 3 || n > 5 || s.k.Every() != presence.VeryShort {
			t.Errorf("%d updates in a minute of it, every %v", n, s.k.Every())
		}
		delayed := s.k.Counts().Delayed.Load(observe.LabelDrop.Value("heap"))
		if delayed < 4 || delayed > 8 {
			t.Errorf("%d updates were put off", delayed)
		}
		ready := false
		s.k.Watch("a:new", func() { ready = true })
		synctest.Wait()
		if !ready {
			t.Error("a new watch waits")
		}
		s.mu.Lock()
		s.wrote, s.times = nil, nil
		s.mu.Unlock()
		s.set(false, nil)
		if n := churn(30 * time.Second); n < 20 {
			t.Errorf("%d updates in 30 s of calm", n)
		}
	})
}

func TestFullRosterIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := presence.New(presence.Options{
			Roster: local.NewRoster(local.RosterOptions{MaxMembers: 1}), Log: slog.New(slog.DiscardHandler),
			Publish: func(_ channel.Record, done func(error)) { done(nil) },
		})
		defer k.Close()
		k.Enter(member("ann", 1))
		k.Enter(member("bob", 2))
		k.Leave(member("bob", 2), true)
		if n := k.Counts().Refused.Load(); n != 1 {
			t.Errorf("%d were refused", n)
		}
	})
}

// TestCloseLetsWaitersGo: nobody waits for a value that will not be written.
func TestCloseLetsWaitersGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		ready := 0
		k := presence.New(presence.Options{
			Roster: local.NewRoster(local.RosterOptions{}), Log: slog.New(slog.DiscardHandler),
			Publish: func(channel.Record, func(error)) {}, // never done
		})
		count := func() {
			mu.Lock()
			defer mu.Unlock()
			ready++
		}
		k.Watch("a:x", count)
		synctest.Wait()
		k.Close()
		k.Watch("a:x", count)
		k.Watch("a:y", count)
		k.Unwatch("a:y")
		if ready != 3 {
			t.Errorf("%d of 3 watches are ready", ready)
		}
	})
}
