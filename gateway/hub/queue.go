package hub

import (
	"sync"
	"sync/atomic"
	"time"
)

// overtakes is how many jobs that come new go before one that had its turn and is not done.
const overtakes = 256

// job is a stripe to visit or a connection to resume; the zero job is to relieve the budget.
type job struct {
	stripe *stripe
	waker  Waker
}

// queue is what workers wait at. It holds every stripe at most once, and every connection at most once. A stripe that had
// a quantum and is not done goes behind all that come new: so a small room waits for a few writes of a large one's pass,
// not for the pass. No more than overtakes of them go before it.
type queue struct {
	newcomers atomic.Int32 // length of fresh

	mu       sync.Mutex
	some     sync.Cond
	fresh    lane
	begun    lane
	overtook int // jobs from fresh since the last from begun
	closed   bool

	began   time.Time // of the clock by which idle time is counted
	workers int
	asleep  int           // workers that wait for a job
	slept   time.Duration // of all workers, minus the times at which those asleep began to
}

// lane is jobs in the order in which they came.
type lane struct {
	jobs  []job // circular; length a power of two
	first int
	n     int
}

// minLane is the length to which an empty lane shrinks, in jobs.
const minLane = 64

func (l *lane) push(j job) {
	if l.n == len(l.jobs) {
		jobs := make([]job, max(minLane, 2*l.n))
		for i := range l.n {
			jobs[i] = l.jobs[(l.first+i)&(l.n-1)]
		}
		l.jobs, l.first = jobs, 0
	}
	l.jobs[(l.first+l.n)&(len(l.jobs)-1)] = j
	l.n++
}

// pop takes the oldest job; there must be one.
func (l *lane) pop() (j job) {
	j, l.jobs[l.first] = l.jobs[l.first], job{}
	l.first = (l.first + 1) & (len(l.jobs) - 1)
	l.n--
	if l.n == 0 && len(l.jobs) > minLane {
		l.jobs, l.first = nil, 0
	}
	return j
}

// push queues a job that is new.
func (q *queue) push(j job) { q.put(j, &q.fresh) }

// goOn queues a job that had its turn and is not done.
func (q *queue) goOn(j job) { q.put(j, &q.begun) }

func (q *queue) put(j job, l *lane) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return
	}
	l.push(j)
	q.newcomers.Store(int32(q.fresh.n))
	q.some.Signal()
}

// pop waits for a job; yields says that it shall give way to those that come new. Not ok when the queue is closed.
func (q *queue) pop() (j job, yields, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.waiting() == 0 && !q.closed {
		q.asleep++
		q.slept -= time.Since(q.began)
		for q.waiting() == 0 && !q.closed {
			q.some.Wait()
		}
		q.asleep--
		q.slept += time.Since(q.began)
	}
	if q.closed { // for ever
		q.asleep++
		q.slept -= time.Since(q.began)
		return job{}, false, false
	}
	switch {
	case q.begun.n > 0 && (q.fresh.n == 0 || q.overtook >= overtakes):
		yields = q.overtook < overtakes
		q.overtook = 0
		return q.begun.pop(), yields, true
	case q.begun.n > 0:
		q.overtook++
	}
	j = q.fresh.pop()
	q.newcomers.Store(int32(q.fresh.n))
	return j, true, true
}

func (q *queue) waiting() int { return q.fresh.n + q.begun.n }

// load returns how many jobs wait, and how long workers have been at work.
func (q *queue) load() (n int, busy time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Since(q.began)
	return q.waiting(), time.Duration(q.workers-q.asleep)*now - q.slept
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.some.Broadcast()
}

func (q *queue) isClosed() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.closed
}
