package journaltest

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"carillon/channel"
	"carillon/journal"
)

// patience is how long the suite waits for an answer before it says there is none.
const patience = 30 * time.Second

// tb is what testing.T and rapid.T have in common.
type tb interface {
	Helper()
	Fatalf(format string, args ...any)
}

// clock is a clock that moves when told.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// policies gives retention by namespace: "records7:x" keeps 7 records, "bytes500:x" 500 bytes, "age60:x" a minute; of
// Latest records "latest7:x" keeps 7, "heavy500:x" 500 bytes, "fresh60:x" a minute, "each2:x" 2 of each user; all others
// keep everything.
func policies(n channel.Name) channel.Policy {
	p := channel.Policy{Durable: true, MaxBody: 64 << 10}
	space := n.Namespace()
	for word, bound := range map[string]*int{
		"records": &p.Retention.Records, "bytes": &p.Retention.Bytes,
		"latest": &p.Latest.Records, "heavy": &p.Latest.Bytes, "each": &p.LatestEach,
	} {
		if v, err := strconv.Atoi(strings.TrimPrefix(space, word)); err == nil {
			*bound = v
		}
	}
	for word, bound := range map[string]*time.Duration{"age": &p.Retention.Age, "fresh": &p.Latest.Age} {
		if v, err := strconv.Atoi(strings.TrimPrefix(space, word)); err == nil {
			*bound = time.Duration(v) * time.Second
		}
	}
	return p
}

// world is an open journal with everything it carried.
type world struct {
	t     *testing.T
	j     Journal
	end   func()
	clock *clock

	mu      sync.Mutex
	carried map[channel.Name][]channel.Record
}

func enter(t *testing.T, open Open, dir string) *world {
	t.Helper()
	w := &world{t: t, clock: &clock{now: time.Now()}, carried: map[channel.Name][]channel.Record{}}
	w.open(open, dir)
	return w
}

func (w *world) open(open Open, dir string) {
	w.t.Helper()
	var once sync.Once
	j, end := open(w.t, dir, Options{Clock: w.clock.Now, Policies: policies, Carry: w.carry})
	w.j, w.end = j, func() { once.Do(end) }
	w.t.Cleanup(w.end)
}

// lasts tells whether a journal is there again when it was closed and opened: a durable one, and one that lives in a server.
func lasts(j Journal) bool { return j.Tier() != journal.TierMemory }

func (w *world) carry(rs []channel.Record) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range rs {
		w.carried[r.Channel] = append(w.carried[r.Channel], r)
	}
}

func (w *world) carriedOf(n channel.Name) []channel.Record {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]channel.Record(nil), w.carried[n]...)
}

// outcome is what a done was called with.
type outcome struct {
	at  channel.Position
	err error
}

// start appends without waiting.
func (w *world) start(r channel.Record) <-chan outcome {
	got := make(chan outcome, 2) // a second call of done must not be lost on us
	w.j.Append(r, func(at channel.Position, err error) { got <- outcome{at, err} })
	return got
}

func wait(t tb, got <-chan outcome) outcome {
	t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case o := <-got:
		return o
	case <-timer.C:
		t.Fatalf("done was not called within %v", patience)
		return outcome{}
	}
}

// try appends and waits.
func (w *world) try(r channel.Record) (channel.Position, error) {
	w.t.Helper()
	o := wait(w.t, w.start(r))
	return o.at, o.err
}

// append is try that must succeed.
func (w *world) append(r channel.Record) channel.Position {
	w.t.Helper()
	at, err := w.try(r)
	if err != nil {
		w.t.Fatalf("append to %s: %v", r.Channel, err)
	}
	return at
}

// fill appends records with the bodies `"0"`, `"1"`, … and returns the positions, that before the first included.
func (w *world) fill(t tb, n channel.Name, bodies ...[]byte) []channel.Position {
	t.Helper()
	at := []channel.Position{w.head(t, n)}
	var pending []<-chan outcome
	for _, b := range bodies {
		pending = append(pending, w.start(channel.Record{Channel: n, From: "u", Body: b}))
	}
	for _, p := range pending {
		o := wait(t, p)
		if o.err != nil {
			t.Fatalf("append to %s: %v", n, o.err)
		}
		at = append(at, o.at)
	}
	return at
}

func bodies(count int) [][]byte {
	bs := make([][]byte, count)
	for i := range bs {
		bs[i] = []byte(strconv.Quote(strconv.Itoa(i)))
	}
	return bs
}

func (w *world) head(t tb, n channel.Name) channel.Position {
	t.Helper()
	heads, err := w.j.Heads(context.Background(), []channel.Name{n})
	if err != nil || len(heads) != 1 {
		t.Fatalf("heads of %s: %v, %v", n, heads, err)
	}
	return heads[0]
}

func (w *world) read(t tb, n channel.Name, q journal.Query) journal.Page {
	t.Helper()
	p, err := w.j.Read(context.Background(), n, q)
	if err != nil {
		t.Fatalf("read %s %+v: %v", n, q, err)
	}
	checkPage(t, n, p)
	return p
}

// all reads a whole log, page by page.
func (w *world) all(t tb, n channel.Name) []channel.Record {
	t.Helper()
	var rs []channel.Record
	p := w.read(t, n, journal.Query{})
	for {
		rs = append(rs, p.Records...)
		if !p.More {
			return rs
		}
		p = w.read(t, n, journal.Query{After: p.Records[len(p.Records)-1].At})
		if p.Gap != channel.GapNone {
			t.Fatalf("gap %v while paging %s", p.Gap, n)
		}
	}
}

// checkPage checks what is true of every page: an unbroken chain from Base, inside Oldest and Head.
func checkPage(t tb, n channel.Name, p journal.Page) {
	t.Helper()
	if p.Head.IsZero() || p.Oldest.IsZero() || p.Base.IsZero() {
		t.Fatalf("page without positions: %+v", p)
	}
	if p.Oldest.Offset > p.Head.Offset || p.Base.Offset < p.Oldest.Offset && len(p.Records) > 0 {
		t.Fatalf("page of %s: oldest %v, base %v, head %v", n, p.Oldest, p.Base, p.Head)
	}
	if len(p.Records) == 0 {
		if p.Base != p.Head {
			t.Fatalf("empty page of %s: base %+v, not the head %+v", n, p.Base, p.Head)
		}
		return
	}
	checkLog(t, n, p.Base, p.Records)
	if last := p.Records[len(p.Records)-1].At; last.Offset > p.Head.Offset || last.Offset == p.Head.Offset && last != p.Head {
		t.Fatalf("page of %s ends at %+v, head is %+v", n, last, p.Head)
	}
}

// checkLog checks that the records follow one another from base.
func checkLog(t tb, n channel.Name, base channel.Position, rs []channel.Record) {
	t.Helper()
	for i, r := range rs {
		if want := base.Next(r.Body); r.At != want {
			t.Fatalf("record %d of %s at %+v, want %+v", i, n, r.At, want)
		}
		if r.Prev != base.Tag || r.Channel != n || r.Class != channel.Logged {
			t.Fatalf("record %d of %s: prev %x (want %x), channel %q, class %d", i, n, r.Prev, base.Tag, r.Channel, r.Class)
		}
		if i > 0 && r.Time.Before(rs[i-1].Time) {
			t.Fatalf("time of %s goes back at offset %d", n, r.At.Offset)
		}
		base = r.At
	}
}
