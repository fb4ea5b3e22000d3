package redis

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"time"

	"carillon/backbone"
	"carillon/channel"
	"carillon/journal"
)

// lane carries the records of some channels to Redis, one call after the other: what comes while a call is under way
// waits for the next, so that a busy lane makes large batches and an idle one answers at once.
type lane struct {
	j    *Journal
	cell int
	wake chan struct{} // holds one

	mu     sync.Mutex
	queue  []entry
	away   bool // Redis is known not to answer; run looks for it
	closed bool
}

// entry is a record on its way.
type entry struct {
	record channel.Record
	hash   [20]byte // of the body; of the key too where it is a Latest one
	id     idKey
	came   time.Time
	done   func(channel.Position, error)
}

// idKey stands for (channel, user, id). Nobody finds two that meet.
type idKey [16]byte

func newLane(j *Journal, number int) *lane {
	l := &lane{j: j, wake: make(chan struct{}, 1)}
	if j.cells > 1 {
		l.cell = number
	}
	return l
}

// Append is journal.Appender's.
func (j *Journal) Append(r channel.Record, done func(channel.Position, error)) {
	switch {
	case r.Class == channel.Fleeting:
		done(channel.Position{}, journal.ErrClass)
		return
	case r.Class == channel.Logged && len(r.Body) == 0:
		done(channel.Position{}, journal.ErrEmpty)
		return
	}
	e := entry{record: r, came: time.Now(), done: done}
	if r.Class == channel.Latest {
		e.hash = latestHash(&r)
	} else {
		e.hash = channel.BodyHash(r.Body)
	}
	if r.ID != "" {
		e.id = keyOf(&r)
	}
	if err := j.lane(r.Channel).put(e); err != nil {
		done(channel.Position{}, err)
	}
}

func keyOf(r *channel.Record) (k idKey) {
	var room [256]byte
	// Lengths keep ("ab", "c") apart from ("a", "bc").
	b := binary.AppendUvarint(room[:0], uint64(len(r.Channel)))
	b = binary.AppendUvarint(b, uint64(len(r.From)))
	b = append(append(append(b, r.Channel...), r.From...), r.ID...)
	sum := sha256.Sum256(b)
	copy(k[:], sum[:])
	return k
}

func (l *lane) put(e entry) error {
	size := int64(len(e.record.Body))
	l.mu.Lock()
	switch {
	case l.closed:
		l.mu.Unlock()
		return journal.ErrClosed
	case l.away:
		l.mu.Unlock()
		return journal.ErrUnavailable
	case len(l.queue) >= maxWaiting || l.j.bytes.Load()+size > maxBytes:
		l.mu.Unlock()
		return journal.ErrBusy
	}
	l.j.bytes.Add(size)
	first := len(l.queue) == 0
	l.queue = append(l.queue, e)
	l.mu.Unlock()
	if first {
		l.poke()
	}
	return nil
}

func (l *lane) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *lane) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.poke()
}

// run is the goroutine of the lane.
func (l *lane) run() {
	defer l.j.running.Done()
	for range l.wake {
		for es := l.take(); len(es) > 0; es = l.take() {
			l.commit(es)
		}
		if l.over() {
			return
		}
		if l.isAway() {
			l.seek()
		}
	}
}

// over tells whether the lane is closed and has answered everything.
func (l *lane) over() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed && len(l.queue) == 0
}

func (l *lane) isAway() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.away
}

// take takes the next batch from the queue. What waited too long is refused rather than kept from its publisher any longer.
func (l *lane) take() []entry {
	l.mu.Lock()
	late := 0
	for late < len(l.queue) && time.Since(l.queue[late].came) > patience {
		late++
	}
	stale := l.cut(late)
	n, size := 0, 0
	for n < len(l.queue) && n < maxBatch {
		if size += len(l.queue[n].record.Body); n > 0 && size > batchBytes {
			break
		}
		n++
	}
	es := l.cut(n)
	l.mu.Unlock()
	l.answer(stale, journal.ErrBusy)
	return es
}

// cut takes n entries off the front. l.mu is held.
func (l *lane) cut(n int) []entry {
	es := l.queue[:n:n]
	if l.queue = l.queue[n:]; len(l.queue) == 0 {
		l.queue = nil
	}
	size := 0
	for i := range es {
		size += len(es[i].record.Body)
	}
	l.j.bytes.Add(int64(-size))
	return es
}

func (l *lane) answer(es []entry, err error) {
	for i := range es {
		es[i].done(channel.Position{}, err)
	}
}

// commit makes a batch true and answers it. If Redis is not there, everything that waits is answered too: none of it was
// sent.
func (l *lane) commit(es []entry) {
	began := time.Now()
	b := l.j.batch(l.cell, es)
	ctx, cancel := context.WithTimeout(context.Background(), backbone.CallTimeout)
	reply, err := appendScript.run(ctx, l.j.bone.Client(), b.call).ToArray()
	cancel()
	if l.j.commits != nil {
		l.j.commits.Since(began)
	}
	if l.j.batches != nil {
		l.j.batches.Record(len(es))
	}
	if err == nil {
		b.deliver(reply)
		return
	}
	var waiting []entry
	if away(err) {
		l.mu.Lock()
		l.miss(err)
		waiting = l.cut(len(l.queue))
		l.mu.Unlock()
	}
	l.answer(es, failure(err))
	l.answer(waiting, journal.ErrUnavailable)
}

// lost notes that a reader found Redis away, so that others need not find out the same way.
func (l *lane) lost(err error) {
	if !away(err) {
		return
	}
	l.mu.Lock()
	l.miss(err)
	l.mu.Unlock()
	l.poke()
}

// miss notes that Redis is not there. l.mu is held.
func (l *lane) miss(err error) {
	if !l.away && l.j.missing.Add(1) == 1 {
		l.j.log.Warn("redis does not take records; they are refused until it does", "error", err)
	}
	l.away = true
}

// found notes that it is there again.
func (l *lane) found() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.away && l.j.missing.Add(-1) == 0 {
		l.j.log.Info("redis takes records again")
	}
	l.away = false
}

// seek looks for Redis until it takes writes again or the lane is closed. No record is used for that.
func (l *lane) seek() {
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for {
		select {
		case <-l.wake:
			if l.over() {
				l.poke() // for run
				return
			}
		case <-tick.C:
		}
		ctx, cancel := context.WithTimeout(context.Background(), backbone.CallTimeout)
		c := l.j.bone.Client()
		key := l.j.bone.PartitionKey("probe", l.cell)
		err := c.Do(ctx, c.B().Set().Key(key).Value("1").Px(time.Minute).Build()).Error()
		cancel()
		if err != nil && away(err) {
			continue
		}
		l.found()
		return
	}
}
