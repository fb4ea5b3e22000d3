package redis_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"carillon/channel"
	"carillon/journal"
	"carillon/journal/redis"
)

// waiting is how long a test waits for what must come.
const waiting = time.Minute

type outcome struct {
	at  channel.Position
	err error
}

// start appends without waiting.
func start(j *redis.Journal, r channel.Record) <-chan outcome {
	got := make(chan outcome, 2) // a second call of done must not be lost on us
	j.Append(r, func(at channel.Position, err error) { got <- outcome{at, err} })
	return got
}

func wait(t testing.TB, got <-chan outcome) outcome {
	t.Helper()
	select {
	case o := <-got:
		return o
	case <-time.After(waiting):
		t.Fatal("done was not called")
		return outcome{}
	}
}

func try(t testing.TB, j *redis.Journal, r channel.Record) (channel.Position, error) {
	t.Helper()
	o := wait(t, start(j, r))
	return o.at, o.err
}

func add(t testing.TB, j *redis.Journal, n channel.Name, body string) channel.Position {
	t.Helper()
	at, err := try(t, j, channel.Record{Channel: n, From: "ann", Body: []byte(body)})
	if err != nil {
		t.Fatalf("append to %s: %v", n, err)
	}
	return at
}

// read asks again while Redis cannot be reached: a line that broke with a server that was killed is noticed by its first use.
func read(t testing.TB, j *redis.Journal, n channel.Name, q journal.Query) journal.Page {
	t.Helper()
	p, err := j.Read(context.Background(), n, q)
	for end := time.Now().Add(waiting); errors.Is(err, journal.ErrUnavailable) && time.Now().Before(end); p, err = j.Read(context.Background(), n, q) {
		<-time.After(20 * time.Millisecond)
	}
	if err != nil {
		t.Fatalf("read %s %+v: %v", n, q, err)
	}
	return p
}

// all reads a whole log.
func all(t testing.TB, j *redis.Journal, n channel.Name) (rs []channel.Record) {
	t.Helper()
	p := read(t, j, n, journal.Query{})
	for rs = p.Records; p.More; rs = append(rs, p.Records...) {
		p = read(t, j, n, journal.Query{After: rs[len(rs)-1].At})
	}
	return rs
}

// heals waits until appends succeed again.
func heals(t testing.TB, j *redis.Journal, n channel.Name) {
	t.Helper()
	for end := time.Now().Add(waiting); ; <-time.After(20 * time.Millisecond) {
		_, err := try(t, j, channel.Record{Channel: n, Body: []byte(`"healed?"`)})
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("still %v", err)
		}
	}
}

// forever keeps every record.
func forever(channel.Name) channel.Policy { return channel.Policy{} }

// publisher sends records with ids, one after the other in each channel, and sends again what failed, as clients do. It
// keeps what it was told.
type publisher struct {
	t    testing.TB
	j    *redis.Journal
	stop chan struct{}
	over sync.WaitGroup

	mu    sync.Mutex
	acked map[channel.Name][]ack
	lost  int // outcomes nobody knows for good
}

type ack struct {
	at   channel.Position
	body string
}

func publish(t testing.TB, j *redis.Journal, channels int) *publisher {
	p := &publisher{t: t, j: j, stop: make(chan struct{}), acked: map[channel.Name][]ack{}}
	for c := range channels {
		p.over.Go(func() { p.run(channel.Name(fmt.Sprintf("room:%d", c))) })
	}
	return p
}

func (p *publisher) run(n channel.Name) {
	for i := 0; ; i++ {
		body := fmt.Sprintf(`"%d"`, i)
		first := time.Now()
		for sent := 0; ; sent++ {
			select {
			case <-p.stop:
				return
			default:
			}
			r := channel.Record{Channel: n, From: "ann", ID: fmt.Sprint(i), Body: []byte(body)}
			if sent > 0 {
				r.Age = time.Since(first)
			}
			o := wait(p.t, start(p.j, r))
			if o.err == nil {
				p.mu.Lock()
				p.acked[n] = append(p.acked[n], ack{o.at, body})
				p.mu.Unlock()
				break
			}
			if errors.Is(o.err, journal.ErrUnknown) {
				p.mu.Lock()
				p.lost++
				p.mu.Unlock()
				break
			}
			if !errors.Is(o.err, journal.ErrUnconfirmed) && !errors.Is(o.err, journal.ErrUnavailable) {
				p.t.Errorf("append to %s: %v", n, o.err)
			}
			<-time.After(5 * time.Millisecond)
		}
	}
}

// count is how many records were acknowledged.
func (p *publisher) count() (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, as := range p.acked {
		n += len(as)
	}
	return n
}

// more waits until that many more are acknowledged.
func (p *publisher) more(n int) {
	p.t.Helper()
	want := p.count() + n
	for end := time.Now().Add(waiting); p.count() < want; <-time.After(5 * time.Millisecond) {
		if time.Now().After(end) {
			p.t.Fatalf("%d acknowledged of %d", p.count(), want)
		}
	}
}

func (p *publisher) end() {
	close(p.stop)
	p.over.Wait()
}

// audit compares what was acknowledged with what is there: a record that is gone must be told to whoever stands behind it,
// nothing stands twice, and what is acknowledged goes up. It returns how many records are gone, and how many of all.
func (p *publisher) audit(j *redis.Journal) (gone, of int) {
	p.t.Helper()
	for n, as := range p.acked {
		log := all(p.t, j, n)
		there := map[channel.Position]string{}
		seen := map[string]bool{}
		for _, r := range log {
			there[r.At] = string(r.Body)
			if r.From == "ann" && seen[string(r.Body)] {
				p.t.Errorf("%s: %s stands twice", n, r.Body)
			}
			seen[string(r.Body)] = true
		}
		for i, a := range as {
			of++
			if i > 0 && as[i-1].at.Epoch == a.at.Epoch && as[i-1].at.Offset >= a.at.Offset && there[as[i-1].at] != "" {
				p.t.Errorf("%s: acknowledged at %d and then at %d", n, as[i-1].at.Offset, a.at.Offset)
			}
			if there[a.at] == a.body {
				continue
			}
			gone++
			if gap := read(p.t, j, n, journal.Query{After: a.at}).Gap; gap == channel.GapNone {
				p.t.Errorf("%s: %s was acknowledged at %d and is gone, and nobody is told", n, a.body, a.at.Offset)
			}
		}
	}
	return gone, of
}

func splitAddress(t testing.TB, address string) (host, port string) {
	t.Helper()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	return host, port
}
