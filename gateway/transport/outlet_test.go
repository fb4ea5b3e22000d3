package transport

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"unsafe"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A test frame is kind, length of the body, number, body; the body repeats the number, so that a torn frame shows.
const (
	kindControl = 'c'
	kindReply   = 'r'
	kindRecord  = 's'
	kindClose   = 'x'
)

func testFrame(kind byte, number, body int) []byte {
	f := make([]byte, 7+body)
	f[0] = kind
	binary.BigEndian.PutUint16(f[1:], uint16(body))
	binary.BigEndian.PutUint32(f[3:], uint32(number))
	for i := range body {
		f[7+i] = byte(number)
	}
	return f
}

type seen struct {
	kind   byte
	number int
}

func parseFrames(t *testing.T, b []byte) (out []seen) {
	t.Helper()
	for len(b) > 0 {
		if len(b) < 7 {
			t.Fatalf("stream ends inside a header: %x", b)
		}
		n := int(binary.BigEndian.Uint16(b[1:]))
		number := int(binary.BigEndian.Uint32(b[3:]))
		if len(b) < 7+n {
			t.Fatalf("stream ends inside frame %c%d", b[0], number)
		}
		for _, c := range b[7 : 7+n] {
			if c != byte(number) {
				t.Fatalf("frame %c%d is torn", b[0], number)
			}
		}
		out = append(out, seen{b[0], number})
		b = b[7+n:]
	}
	return out
}

// line is a Conn in memory that takes as many bytes as it likes and calls Writable from another goroutine.
type line struct {
	t        *testing.T
	writable func()
	inside   atomic.Bool
	mu       sync.Mutex
	rnd      *rand.Rand
	got      []byte
	stuck    bool // takes nothing
	waiting  bool // a Writable is owed
	writes   int
	closes   int
	wg       sync.WaitGroup
}

func (l *line) Write(bufs [][]byte) (int, error) {
	if l.inside.Swap(true) {
		l.t.Error("two writes overlap")
	}
	defer l.inside.Store(false)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closes > 0 {
		return 0, ErrClosed
	}
	if l.waiting {
		l.t.Error("written to while the socket is full")
	}
	l.writes++
	total := 0
	for _, b := range bufs {
		total += len(b)
	}
	take := total
	if l.stuck {
		take = 0
	} else if l.rnd != nil && l.rnd.IntN(3) == 0 {
		take = l.rnd.IntN(total + 1)
	}
	left := take
	for _, b := range bufs {
		k := min(left, len(b))
		l.got = append(l.got, b[:k]...)
		left -= k
	}
	if take < total {
		l.waiting = true
		if !l.stuck {
			l.release()
		}
	}
	return take, nil
}

// release owes the Writable to a goroutine; the caller holds mu.
func (l *line) release() {
	l.wg.Go(func() {
		l.mu.Lock()
		l.waiting = false
		l.mu.Unlock()
		l.writable()
	})
}

func (l *line) Close() {
	l.mu.Lock()
	l.closes++
	l.mu.Unlock()
}

func (l *line) Info() Info { return Info{} }

// tail is a Source: a log of frames with one cursor.
type tail struct {
	l      *line
	o      *Outlet
	inside atomic.Bool
	head   atomic.Int32
	at     int32
	runs   [][]byte // gathered, not yet told about
	again  chan struct{}
}

func (s *tail) enter() {
	if s.inside.Swap(true) {
		s.l.t.Error("two calls of the source overlap")
	}
}

func (s *tail) Begin() {}

func (s *tail) Gather(dst [][]byte, budget int) ([][]byte, bool) {
	s.enter()
	defer s.inside.Store(false)
	if len(s.runs) > 0 {
		s.l.t.Error("gathered again before Wrote")
	}
	for at := s.at; at < s.head.Load(); at++ {
		if len(s.runs) == 3 || budget <= 0 { // a small bound, so that there often is more
			return dst, true
		}
		f := testFrame(kindRecord, int(at), int(at)%50)
		s.runs = append(s.runs, f)
		dst = append(dst, f)
		budget -= len(f)
	}
	return dst, false
}

func (s *tail) Wrote(n int) (cut []byte) {
	s.enter()
	defer s.inside.Store(false)
	for _, f := range s.runs {
		if n == 0 {
			break
		}
		s.at++
		if n < len(f) {
			cut = append([]byte(nil), f[n:]...)
			break
		}
		n -= len(f)
	}
	s.runs = s.runs[:0]
	return cut
}

func (s *tail) Again() { s.again <- struct{}{} }

func newLine(t *testing.T, seed uint64, limit int) (*Outlet, *line, *tail) {
	l := &line{t: t, rnd: rand.New(rand.NewPCG(seed, 1))}
	o := &Outlet{}
	s := &tail{l: l, o: o, again: make(chan struct{}, 1)}
	o.Init(l, s, limit)
	l.writable = o.Writable
	return o, l, s
}

// worker goes on for whoever asked for Again, until stop.
func (s *tail) worker(stop chan struct{}) {
	for {
		select {
		case <-s.again:
			s.o.Resume()
		case <-stop:
			return
		}
	}
}

// TestOutletSchedules lets replies, records, pongs and a slow socket meet at random: what arrives is whole frames, each
// kind in order, nothing lost but pongs that a newer one replaced, nothing twice, and in the end nothing is left.
func TestOutletSchedules(t *testing.T) {
	for seed := range uint64(300) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { outletSchedule(t, seed) })
		})
	}
}

func outletSchedule(t *testing.T, seed uint64) {
	const each = 60
	o, l, s := newLine(t, seed, 1<<20)
	stop := make(chan struct{})
	var worker, senders sync.WaitGroup
	worker.Go(func() { s.worker(stop) })
	senders.Go(func() {
		for i := range each {
			if err := o.Send(testFrame(kindReply, i, i%90)); err != nil {
				t.Error(err)
			}
		}
	})
	senders.Go(func() {
		for range each {
			s.head.Add(3)
			o.Kick()
		}
	})
	senders.Go(func() {
		for range each {
			s.head.Add(1)
			o.Kick()
		}
	})
	senders.Go(func() {
		for i := range each {
			o.Control(testFrame(kindControl, i, 5), false)
		}
	})
	senders.Wait()
	synctest.Wait()
	close(stop)
	worker.Wait()
	l.wg.Wait()
	checkStream(t, l, each, 4*each)
	if o.Pending() != 0 || o.state.Load() != idle {
		t.Fatalf("ends in state %d with %d bytes pending", o.state.Load(), o.Pending())
	}
}

func checkStream(t *testing.T, l *line, replies, records int) {
	t.Helper()
	next := map[byte]int{}
	lastPong := -1
	for _, f := range parseFrames(t, l.got) {
		if f.kind == kindControl {
			if f.number <= lastPong {
				t.Fatalf("pong %d after %d", f.number, lastPong)
			}
			lastPong = f.number
			continue
		}
		if f.number != next[f.kind] {
			t.Fatalf("got %c%d, want %d", f.kind, f.number, next[f.kind])
		}
		next[f.kind]++
	}
	if next[kindReply] != replies || next[kindRecord] != records {
		t.Fatalf("got %d replies and %d records, want %d and %d", next[kindReply], next[kindRecord], replies, records)
	}
}

func TestOutletIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(Outlet{}); n > 160 {
		t.Fatalf("an Outlet takes %d bytes", n)
	}
}

func stream(t *testing.T, l *line) string {
	t.Helper()
	var b []byte
	for _, f := range parseFrames(t, l.got) {
		b = fmt.Appendf(b, "%c%d ", f.kind, f.number)
	}
	return string(b)
}

func (l *line) flow() {
	l.mu.Lock()
	l.stuck = false
	l.release()
	l.mu.Unlock()
	l.wg.Wait()
}

// stuckLine is a line whose socket is full from the first byte on.
func stuckLine(t *testing.T, limit int) (*Outlet, *line, *tail) {
	o, l, s := newLine(t, 0, limit)
	l.rnd, l.stuck = nil, true
	return o, l, s
}

func TestOutletOrder(t *testing.T) {
	o, l, s := stuckLine(t, 1000)
	s.head.Add(1)
	o.Kick()
	for i := range 3 {
		o.Control(testFrame(kindControl, i, 1), false)
		if err := o.Send(testFrame(kindReply, i, 1)); err != nil {
			t.Fatal(err)
		}
	}
	if !o.Blocked() || o.Pending() != 24 {
		t.Fatalf("blocked %v with %d bytes pending", o.Blocked(), o.Pending())
	}
	l.flow()
	if got, want := stream(t, l), "c2 r0 r1 r2 s0 "; got != want {
		t.Fatalf("got %q, want %q", got, want)
	}
}

func TestOutletCloseComesLast(t *testing.T) {
	o, l, s := stuckLine(t, 1000)
	for i := range 2 {
		if err := o.Send(testFrame(kindReply, i, 1)); err != nil {
			t.Fatal(err)
		}
	}
	// A Conn that is no Ender is told at once that the last frame does not get out.
	o.Control(testFrame(kindClose, 1000, 2), true)
	if l.closes != 1 {
		t.Fatalf("closed %d times", l.closes)
	}
	l.closes = 0
	s.head.Add(1)
	o.Kick()
	o.Control(testFrame(kindControl, 1, 1), false)
	if err := o.Send(testFrame(kindReply, 3, 1)); !errors.Is(err, ErrClosed) {
		t.Fatalf("a reply after the close frame: %v", err)
	}
	l.flow()
	if got, want := stream(t, l), "r0 r1 x1000 "; got != want || l.closes != 1 {
		t.Fatalf("got %q, closed %d times, want %q", got, l.closes, want)
	}
}

func TestOutletOverflowKeepsOnlyTheReason(t *testing.T) {
	o, l, _ := stuckLine(t, 20)
	if err := o.Send(testFrame(kindReply, 0, 5)); err != nil {
		t.Fatal(err)
	}
	if err := o.Send(testFrame(kindReply, 1, 5)); !errors.Is(err, ErrOverflow) {
		t.Fatalf("beyond the limit: %v", err)
	}
	o.Control(testFrame(kindClose, 4108, 2), true)
	l.closes = 0
	l.flow()
	if got, want := stream(t, l), "x4108 "; got != want {
		t.Fatalf("got %q, want %q", got, want)
	}
}

func TestOutletHandsOverAfterFourRounds(t *testing.T) {
	o, l, s := newLine(t, 0, 1000)
	l.rnd = nil
	s.head.Add(100) // three a round
	o.Kick()
	for turn := 1; turn <= 9; turn++ {
		if want := turn * maxRounds; l.writes > want || turn < 9 && l.writes != want {
			t.Fatalf("%d writes in %d turns", l.writes, turn)
		}
		select {
		case <-s.again:
		default:
			if turn != 9 {
				t.Fatal("nobody was asked to go on")
			}
			continue
		}
		o.Kick() // others do not touch the socket meanwhile
		o.Writable()
		o.Resume()
	}
	if o.state.Load() != idle || s.at != 100 {
		t.Fatalf("ends in state %d at record %d", o.state.Load(), s.at)
	}
}

func TestOutletShut(t *testing.T) {
	o, l, s := stuckLine(t, 1000)
	if err := o.Send(testFrame(kindReply, 0, 5)); err != nil {
		t.Fatal(err)
	}
	o.Shut()
	if err := o.Send(testFrame(kindReply, 1, 5)); !errors.Is(err, ErrClosed) || o.Pending() != 0 {
		t.Fatalf("after the end: %v, %d bytes pending", err, o.Pending())
	}
	s.head.Add(1)
	o.Kick()
	o.Control(nil, true)
	l.flow()
	if len(l.got) != 0 {
		t.Fatalf("%d bytes went out after the end", len(l.got))
	}
}

// TestOutletShutMeanwhile ends lines in the middle of everything; the race detector and the bubble are the judges.
func TestOutletShutMeanwhile(t *testing.T) {
	for seed := range uint64(100) {
		synctest.Test(t, func(t *testing.T) {
			o, l, s := newLine(t, seed, 1<<20)
			stop := make(chan struct{})
			var worker, others sync.WaitGroup
			worker.Go(func() { s.worker(stop) })
			for kind := range 3 {
				others.Go(func() {
					for i := range 30 {
						switch {
						case kind == 0:
							_ = o.Send(testFrame(kindReply, i, 9)) // fails from the end on
						case kind == 1:
							s.head.Add(2)
							o.Kick()
						case i == 15:
							o.Shut()
						default:
							o.Control(testFrame(kindControl, i, 9), false)
						}
					}
				})
			}
			others.Wait()
			synctest.Wait()
			close(stop)
			worker.Wait()
			l.wg.Wait()
			if o.Pending() != 0 || o.rest != nil || o.queue != nil {
				t.Fatalf("seed %d: bytes are kept after the end", seed)
			}
		})
	}
}

// taker is a Conn that takes everything.
type taker struct{ n int }

func (c *taker) Write(bufs [][]byte) (n int, err error) {
	for _, b := range bufs {
		n += len(b)
	}
	c.n += n
	return n, nil
}
func (c *taker) Close()     {}
func (c *taker) Info() Info { return Info{} }

// silent is a Source with one frame a Gather.
type silent struct{ frame []byte }

func (s *silent) Begin()                                      {}
func (s *silent) Gather(dst [][]byte, _ int) ([][]byte, bool) { return append(dst, s.frame), false }
func (s *silent) Wrote(int) []byte                            { return nil }
func (s *silent) Again()                                      {}

func BenchmarkOutletKick(b *testing.B) {
	var o Outlet
	o.Init(&taker{}, &silent{testFrame(kindRecord, 1, 130)}, 1000)
	b.ReportAllocs()
	for b.Loop() {
		o.Kick()
	}
}
