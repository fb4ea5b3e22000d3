package gateway

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"carillon/channel"
	"carillon/gateway/hub"
	"carillon/journal"
)

// tape is a journal of one channel that can lose its end, or all of it, behind everybody's back.
type tape struct {
	mu    sync.Mutex
	base  channel.Position
	log   []channel.Record
	away  bool
	heads int // questions for heads
}

var errAway = errors.New("the journal is away")

func (j *tape) Append(channel.Record, func(channel.Position, error)) {}
func (j *tape) Tier() journal.Tier                                   { return journal.TierMemory }
func (j *tape) head() channel.Position {
	if len(j.log) == 0 {
		return j.base
	}
	return j.log[len(j.log)-1].At
}

func (j *tape) Heads(_ context.Context, ns []channel.Name) (heads []channel.Position, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.heads++; j.away {
		return nil, errAway
	}
	for range ns {
		heads = append(heads, j.head())
	}
	return heads, nil
}

func (j *tape) Read(_ context.Context, _ channel.Name, q journal.Query) (p journal.Page, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.away {
		return p, errAway
	}
	head := j.head()
	p = journal.Page{Base: j.base, Oldest: j.base, Head: head}
	p.Gap, _ = journal.Judge(q.After, j.base, head, func(offset uint64) (uint64, error) { return j.log[offset-j.base.Offset-1].At.Tag, nil })
	if p.Gap == channel.GapAhead || p.Gap == channel.GapDiverged {
		return p, nil
	}
	for _, r := range j.log {
		if q.Back || p.Gap != channel.GapNone || r.At.Offset > q.After.Offset {
			p.Records = append(p.Records, r)
		} else {
			p.Base = r.At
		}
	}
	return p, nil
}

// write makes n records true, and returns them as the bus would deliver them.
func (j *tape) write(ch channel.Name, body string, n int) (rs []channel.Record) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for range n {
		at := j.head()
		r := channel.Record{Channel: ch, At: at.Next([]byte(body)), Prev: at.Tag, Body: []byte(body)}
		j.log = append(j.log, r)
		rs = append(rs, r)
	}
	return rs
}

func (j *tape) change(f func(*tape)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	f(j)
}

// cluster is a gateway among others, with one subscriber of one channel.
type cluster struct {
	*Gateway
	hub    *hub.Hub
	tape   *tape
	far    *tape // of the channel distant
	cursor *hub.Cursor

	mu     sync.Mutex
	stale  []bool
	missed []channel.Position
}

const (
	told    = channel.Name("a:b")
	distant = channel.Name("far:b")
)

func newCluster(t *testing.T, p channel.Policy) *cluster {
	c := &cluster{tape: &tape{base: channel.Position{Epoch: 1, Tag: 100}}, far: &tape{base: channel.Position{Epoch: 3, Tag: 300}}}
	c.hub = hub.New([]hub.Encode{func(dst []byte, _ *channel.Record) []byte { return append(dst, 'x') }}, hub.Options{})
	c.Gateway = New(Options{
		Hub: c.hub, Clock: time.Now, Feed: &ledgered{joined: map[channel.Name]bool{}},
		Journal: func(n channel.Name) Journal {
			if n == distant {
				return c.far
			}
			return c.tape
		},
		Policies: func(channel.Name) channel.Policy { return p }, Heard: func(*channel.Record) {}, Shared: true,
		Stale: func(stale bool) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.stale = append(c.stale, stale)
		},
		Missed: func(_ channel.Name, before channel.Position) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.missed = append(c.missed, before)
		},
	})
	joined := make(chan error, 1)
	c.Join(told, hub.From{}, func(_ channel.Position, err error) { joined <- err })
	if err := <-joined; err != nil {
		t.Fatal(err)
	}
	var err error
	if c.cursor, _, err = c.hub.Attach(told, hub.From{}, 0, 1, idler{}); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *cluster) close() {
	c.cursor.Detach()
	c.Close()
	c.hub.Close()
}

// gap takes what the subscriber is due, and returns what he lost.
func (c *cluster) gap() channel.Gap {
	for {
		got, more, loss := c.cursor.Ready(nil, 1<<16)
		n := 0
		for _, b := range got {
			n += len(b)
		}
		if n > 0 {
			c.cursor.Wrote(n)
		}
		if loss.Reason != channel.GapNone || !more && n == 0 {
			return loss.Reason
		}
	}
}

func (c *cluster) told() []bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.stale)
}

// After trouble a journal that lost its end, or everything, empties the ring, and who listens hears of it with the reason.
func TestLostPastIsTold(t *testing.T) {
	for name, c := range map[string]struct {
		lose func(*tape)
		want channel.Gap
	}{
		"rolled back":           {func(j *tape) { j.log = j.log[:2] }, channel.GapDiverged},
		"rolled back and grown": {func(j *tape) { j.log = j.log[:2] }, channel.GapDiverged},
		"emptied":               {func(j *tape) { j.log, j.base = nil, channel.Position{Epoch: 2, Tag: 7} }, channel.GapEpoch},
		"nothing":               {func(*tape) {}, channel.GapNone},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newCluster(t, channel.DefaultPolicy())
				defer g.close()
				g.Records(g.tape.write(told, "1", 5))
				if gap := g.gap(); gap != channel.GapNone {
					t.Fatal(gap)
				}
				g.Trouble(true)
				g.tape.change(c.lose)
				if name == "rolled back and grown" {
					g.tape.write(told, "2", 5)
				}
				g.Trouble(false)
				time.Sleep(2 * healPause)
				synctest.Wait()
				if gap := g.gap(); gap != c.want {
					t.Errorf("the subscriber is told %q, want %q", gap, c.want)
				}
				if _, head, _ := g.hub.Head(told); head != g.tape.head() {
					t.Errorf("the ring ends at %+v, the journal at %+v", head, g.tape.head())
				}
			})
		})
	}
}

// Subscribers hear that they may be behind within the time, and that they no longer are only when all was compared.
func TestStaleUntilCompared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newCluster(t, channel.DefaultPolicy())
		defer g.close()
		g.Trouble(true)
		g.Trouble(false) // as an overflow does
		time.Sleep(2 * staleAfter)
		if told := g.told(); len(told) != 0 {
			t.Fatalf("told %v of a blip", told)
		}
		g.Trouble(true)
		time.Sleep(staleAfter + 2*healEvery)
		if told := g.told(); !slices.Equal(told, []bool{true}) {
			t.Fatalf("told %v while the line is down", told)
		}
		g.tape.write(told, "1", 3)
		g.tape.change(func(j *tape) { j.away = true })
		g.Trouble(false)
		time.Sleep(5 * healPause)
		if told := g.told(); len(told) != 1 {
			t.Fatalf("told %v before anything could be compared", told)
		}
		g.tape.change(func(j *tape) { j.away = false })
		time.Sleep(2*healPause + 2*healEvery)
		synctest.Wait()
		if _, head, _ := g.hub.Head(told); head.Offset != 3 || !slices.Equal(g.told(), []bool{true, false}) {
			t.Fatalf("told %v, the ring ends at %d", g.told(), head.Offset)
		}
	})
}

// A journal that stays away does not have all others compared again and again.
func TestComparedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newCluster(t, channel.DefaultPolicy())
		defer g.close()
		joined := make(chan error, 1)
		g.Join(distant, hub.From{}, func(_ channel.Position, err error) { joined <- err })
		if err := <-joined; err != nil {
			t.Fatal(err)
		}
		g.far.change(func(j *tape) { j.away = true })
		before := g.tape.heads
		g.tape.write(told, "1", 3)
		g.Trouble(true)
		g.Trouble(false)
		time.Sleep(15 * healPause)
		synctest.Wait()
		if _, head, _ := g.hub.Head(told); head.Offset != 3 || g.tape.heads != before+1 {
			t.Fatalf("compared %d times, the ring ends at %d", g.tape.heads-before, head.Offset)
		}
		if told := g.told(); !slices.Equal(told, []bool{true}) {
			t.Fatalf("told %v while a journal is away", told)
		}
		g.far.change(func(j *tape) { j.away = false })
		time.Sleep(2 * healPause)
		synctest.Wait()
		if told := g.told(); !slices.Equal(told, []bool{true, false}) {
			t.Fatalf("told %v after all was compared", told)
		}
	})
}

// What is announced apart from its truth is looked after in a fast round, without any trouble.
func TestApartChannelsAreCompared(t *testing.T) {
	for _, durable := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			p := channel.DefaultPolicy()
			p.Durable = durable
			g := newCluster(t, p)
			defer g.close()
			g.tape.write(told, "1", 3) // announced by nobody
			time.Sleep(10 * time.Second)
			synctest.Wait()
			if _, head, _ := g.hub.Head(told); (head.Offset == 3) != durable {
				t.Fatalf("durable %v: the ring ends at %d", durable, head.Offset)
			}
			time.Sleep(slowRound)
			synctest.Wait()
			if _, head, _ := g.hub.Head(told); head.Offset != 3 {
				t.Fatalf("after the slow round: %d", head.Offset)
			}
		})
	}
}

// What somebody listens to without a ring is not lost with the line either.
func TestListenedIsMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newCluster(t, channel.DefaultPolicy())
		defer g.close()
		const own = channel.Name("user:ann")
		first := g.tape.write(own, "1", 2)
		if err := g.Listen(own); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * healEvery)
		g.Records(g.tape.write(own, "1", 1))
		g.Trouble(true)
		last := g.tape.write(own, "2", 1)
		g.Trouble(false)
		time.Sleep(2 * healPause)
		synctest.Wait()
		g.Records(last) // late
		if want := first[1].At.Next([]byte("1")); !slices.Equal(g.missed, []channel.Position{want}) {
			t.Fatalf("missed %+v, want after %+v", g.missed, want)
		}
		g.tape.write(own, "3", 1)
		g.Records(g.tape.write(own, "3", 1)) // one passed by
		if !slices.Equal(g.missed[1:], []channel.Position{last[0].At}) {
			t.Fatalf("missed %+v, want after %+v", g.missed, last[0].At)
		}
	})
}

// Heads of many channels are asked for a thousand at a time.
func TestHeadsInThousands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newCluster(t, channel.DefaultPolicy())
		defer g.close()
		names := make([]channel.Name, 2500)
		for i := range names {
			names[i] = told
		}
		g.tape.heads = 0
		if left := g.compare(names, look{}); len(left) > 0 || g.tape.heads != 3 {
			t.Fatalf("%d questions", g.tape.heads)
		}
	})
}
