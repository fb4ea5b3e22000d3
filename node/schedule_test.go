package node_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"carillon/channel"
	"carillon/client"
	"carillon/node"
)

// The figures of one random schedule.
const (
	scheduleRecords = 40
	scheduleReaders = 2
	scheduleChannel = "demo:schedule"
)

// network is the line between clients and a node, in memory. Until it heals, every line is delayed, cut into pieces and
// torn at a random byte or time.
type network struct {
	n      *node.Node
	healed atomic.Bool
	served sync.WaitGroup

	mu  sync.Mutex
	rnd *rand.Rand
}

func (w *network) dial(context.Context, string, string) (net.Conn, error) {
	w.mu.Lock()
	seed, bytes, after := w.rnd.Uint64(), w.rnd.IntN(6000), time.Duration(w.rnd.IntN(4000))*time.Millisecond
	w.mu.Unlock()
	here, there := net.Pipe()
	near, far := here, there
	if !w.healed.Load() {
		torn := func() { _ = here.Close(); _ = there.Close() }
		left := &atomic.Int64{}
		left.Store(int64(bytes))
		timer := time.AfterFunc(after, torn)
		w.served.Go(func() { <-time.After(after); timer.Stop() })
		near = &rough{Conn: near, rnd: rand.New(rand.NewPCG(seed, 1)), left: left, torn: torn}
		far = &rough{Conn: far, rnd: rand.New(rand.NewPCG(seed, 2)), left: left, torn: torn}
	}
	w.served.Go(func() { _ = w.n.ServeConn(far) })
	return near, nil
}

// rough writes in pieces and with pauses, and tears when its bytes are used up.
type rough struct {
	net.Conn
	mu   sync.Mutex
	rnd  *rand.Rand
	left *atomic.Int64
	torn func()
}

func (r *rough) Write(p []byte) (n int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for n < len(p) {
		piece := min(1+r.rnd.IntN(300), len(p)-n)
		if r.rnd.IntN(4) == 0 {
			time.Sleep(time.Duration(r.rnd.IntN(20)) * time.Millisecond)
		}
		if r.left.Add(int64(-piece)) < 0 {
			r.torn()
			return n, io.ErrClosedPipe
		}
		k, err := r.Conn.Write(p[n : n+piece])
		n += k
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// reading is what one subscriber was handed.
type reading struct {
	events []client.Event
	err    error
}

// check follows a reading through the log, of which record n has the body n-1: every record comes once and in order, or
// a gap says exactly what is missing. Where the log is kept whole there is no gap.
func (r *reading) check(whole bool) error {
	if r.err != nil {
		return r.err
	}
	at := uint64(0)
	for _, e := range r.events {
		switch {
		case e.Gap != nil && (whole || e.Gap.From != at+1 || e.Gap.To <= at):
			return fmt.Errorf("gap %+v behind record %d", *e.Gap, at)
		case e.Gap != nil:
			at = e.Gap.To
		case e.Record.At.Offset != at+1 || string(e.Record.Body) != strconv.FormatUint(at, 10):
			return fmt.Errorf("record %d with body %s behind record %d", e.Record.At.Offset, e.Record.Body, at)
		default:
			at++
		}
	}
	if at != scheduleRecords {
		return fmt.Errorf("ends at record %d", at)
	}
	return nil
}

// schedule plays one random schedule of cuts, delays and partial writes over a node and its clients, and returns what
// is wrong with its outcome. twist changes what a subscriber was handed, to see the checker fail.
func schedule(t *testing.T, seed uint64, twist func(*reading)) (wrong error) {
	synctest.Test(t, func(t *testing.T) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		quiet := slog.New(slog.DiscardHandler)
		ring, kept := 1+rnd.IntN(30), 0
		if rnd.IntN(3) == 0 {
			kept = 1 + rnd.IntN(12)
		}
		n, err := node.New(t.Context(), node.Options{Dev: true, Listen: "127.0.0.1:0", Version: "test", Log: quiet,
			Policies: func(channel.Name) channel.Policy {
				p := channel.DefaultPolicy()
				p.Ring.Records, p.Retention = ring, channel.Keep{Records: kept}
				return p
			}})
		if err != nil {
			t.Fatal(err)
		}
		w := &network{n: n, rnd: rand.New(rand.NewPCG(seed, 3))}
		options := client.Options{NetDial: w.dial}
		var readers []*client.Client
		var readings [scheduleReaders]reading
		var reads sync.WaitGroup
		for i := range readings {
			c := client.New("ws://node/ws", options)
			readers = append(readers, c)
			sub, err := c.Subscribe(t.Context(), scheduleChannel, client.SubscribeOptions{BufferRecords: 1 + rnd.IntN(50)})
			if err != nil {
				t.Fatal(err)
			}
			reads.Go(func() { readings[i].follow(sub) })
		}
		publisher := client.New("ws://node/ws", options)
		acked := map[string]channel.Position{}
		bodies := func(yield func([]byte) bool) {
			for i := range scheduleRecords {
				time.Sleep(time.Duration(rnd.IntN(300)) * time.Millisecond)
				if !yield(strconv.AppendInt(nil, int64(i), 10)) {
					return
				}
			}
		}
		if _, err := publisher.PublishAll(t.Context(), scheduleChannel, bodies, client.PublishOptions{}, func(a client.Ack) {
			acked[a.ID] = a.At
		}); err != nil {
			wrong = fmt.Errorf("publishing: %w", err)
		}
		w.healed.Store(true)
		wrong = errors.Join(wrong, checkAcks(t.Context(), publisher, acked))
		reads.Wait()
		for i := range readings {
			if twist != nil {
				twist(&readings[i])
			}
			if err := readings[i].check(kept == 0); err != nil {
				wrong = errors.Join(wrong, fmt.Errorf("reader %d: %w", i, err))
			}
		}
		for _, c := range append(readers, publisher) {
			_ = c.Close()
		}
		w.served.Wait()
		stopNode(t, n)
	})
	return wrong
}

// follow reads up to the last record, or until even the slowest back-off must have come to an end.
func (r *reading) follow(sub *client.Subscription) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	for at := uint64(0); at < scheduleRecords; {
		e, err := sub.Next(ctx)
		if err != nil {
			r.err = err
			return
		}
		r.events = append(r.events, e)
		if at = e.Record.At.Offset; e.Gap != nil {
			at = e.Gap.To
		}
	}
}

// checkAcks wants a place of its own in the log for every acknowledged record, and nothing else in the log.
func checkAcks(ctx context.Context, c *client.Client, acked map[string]channel.Position) error {
	p, err := c.History(ctx, scheduleChannel, client.HistoryQuery{Back: true, Limit: 1})
	if err != nil {
		return err
	}
	places := map[uint64]bool{}
	for _, at := range acked {
		places[at.Offset] = true
	}
	if len(places) != scheduleRecords || p.Head.Offset != scheduleRecords {
		return fmt.Errorf("%d places acknowledged and a log of %d, for %d records", len(places), p.Head.Offset, scheduleRecords)
	}
	return nil
}

// TestSchedules plays random schedules; CARILLON_SEED repeats one, CARILLON_SCHEDULES sets how many.
func TestSchedules(t *testing.T) {
	count := 10_000
	if s := os.Getenv("CARILLON_SCHEDULES"); s != "" {
		count, _ = strconv.Atoi(s)
	}
	first := rand.Uint64() >> 20
	if s := os.Getenv("CARILLON_SEED"); s != "" {
		first, _ = strconv.ParseUint(s, 10, 64)
		count = 1
	}
	t.Logf("seeds from %d", first)
	for i := range uint64(count) {
		if wrong := schedule(t, first+i, nil); wrong != nil {
			t.Fatalf("CARILLON_SEED=%d: %v", first+i, wrong)
		}
	}
}

// TestSchedulesCheckerFails plants what must never happen.
func TestSchedulesCheckerFails(t *testing.T) {
	for name, twist := range map[string]func(*reading){
		"lost":    func(r *reading) { r.events = append(r.events[:3], r.events[4:]...) },
		"twice":   func(r *reading) { r.events = append(r.events, r.events[5]) },
		"swapped": func(r *reading) { r.events[1], r.events[2] = r.events[2], r.events[1] },
		"gap":     func(r *reading) { r.events = append(r.events, client.Event{Gap: &client.Gap{From: 1, To: 2}}) },
	} {
		if schedule(t, 1, twist) == nil {
			t.Errorf("%s was not noticed", name)
		}
	}
}
