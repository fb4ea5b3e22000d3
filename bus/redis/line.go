package redis

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
)

var (
	errSilent  = errors.New("no heartbeat came back: redis is frozen, or no longer who answers for these channels")
	errMoved   = errors.New("redis moved the heartbeat's subscription elsewhere")
	errUnknown = errors.New("the address of a redis node is not known to the client yet")
)

// line is everything between this Feed and one Redis node: one connection that all its subscriptions share, and the queue
// of what is carried there.
type line struct {
	f       *Feed
	address string // "": the one Redis there is
	out     *outgoing
	wake    chan struct{}
	ctx     context.Context
	end     context.CancelFunc
	done    sync.WaitGroup

	// Guarded by Feed.mu.
	session *session // the present connection; nil while there is none
	rescan  bool     // every subscription of this line has to be looked at
	busy    bool     // that is being done
	dead    bool     // it was dialled again since it was lost, in vain
	fresh   []asking // to be subscribed
	unasked []asking // to be unsubscribed
}

// asking is a subscription to begin or end. Without a sub it is one of the Feed's own.
type asking struct {
	subject   string
	partition int
	sub       *sub
}

// session is one connection of a line.
type session struct {
	line   *line
	beat   asking       // our own heartbeat on it
	heard  atomic.Int64 // when it last came back, Unix ns
	moved  chan struct{}
	inbox  *arrivals
	client rueidis.DedicatedClient
}

// open starts a line; f.mu is held, or nobody else knows f yet.
func (f *Feed) open(address string) *line {
	l := &line{f: f, address: address, out: newOutgoing(), wake: make(chan struct{}, 1), rescan: true}
	l.ctx, l.end = context.WithCancel(f.ctx)
	f.lines[address] = l
	f.work.Go(l.run)
	f.work.Go(l.send)
	return l
}

// shut ends a line; f.mu is held. What it still has to send it sends.
func (f *Feed) shut(address string, l *line) {
	delete(f.lines, address)
	l.end()
	l.out.close()
}

// ask queues a subscription; f.mu is held.
func (l *line) ask(subject string, s *sub) {
	l.fresh = append(l.fresh, asking{subject, s.partition, s})
	l.nudge()
}

func (l *line) nudge() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// run keeps the line up until it is shut.
func (l *line) run() {
	defer l.done.Wait()
	pause := againFirst
	for {
		began := time.Now()
		err := l.hold()
		if l.ctx.Err() != nil {
			return
		}
		l.lapse(err)
		if time.Since(began) > againMost {
			pause = againFirst
		}
		select {
		case <-time.After(pause):
		case <-l.ctx.Done():
			return
		}
		pause = min(2*pause, againMost)
	}
}

// lapse notes that the line is lost, and that records may be.
func (l *line) lapse(err error) {
	f := l.f
	f.mu.Lock()
	was := l.session != nil && !l.rescan
	l.dead = l.session == nil
	l.session, l.rescan, l.busy = nil, true, false
	f.unsettled = f.b.Clustered()
	f.lapses++
	f.mu.Unlock()
	f.count.reconnects.Add(1)
	if was {
		f.o.Log.Warn("bus: a line to redis is lost; dialling again", "redis", l.address, "error", err)
	}
	f.poke()
}

// hold dials and serves one connection until it is lost, silent, or the line is shut.
func (l *line) hold() error {
	node, err := l.node()
	if err != nil {
		return err
	}
	client, _ := node.Dedicate()
	s := &session{line: l, beat: l.heartbeat(), moved: make(chan struct{}, 1), inbox: newArrivals(), client: client}
	s.heard.Store(time.Now().UnixNano())
	lost := client.SetPubSubHooks(rueidis.PubSubHooks{OnMessage: s.message, OnSubscription: s.changed})
	l.done.Go(func() { s.inbox.deliver(l.f) })
	defer l.done.Go(client.Close) // of a frozen Redis it takes a second
	defer s.inbox.close()
	if err := s.take([]asking{s.beat}); err != nil {
		return err
	}
	l.f.mu.Lock()
	l.session, l.dead, l.rescan, l.fresh, l.unasked = s, false, true, nil, nil // a scan finds what is asked
	l.f.mu.Unlock()
	ticker := time.NewTicker(Silence / 16)
	defer ticker.Stop()
	for {
		if err := s.settle(); err != nil {
			return err
		}
		select {
		case <-l.wake:
		case err := <-lost:
			return err
		case <-s.moved:
			return errMoved
		case now := <-ticker.C:
			if now.UnixNano()-s.heard.Load() > int64(Silence) {
				return errSilent
			}
		case <-l.ctx.Done():
			return l.ctx.Err()
		}
	}
}

// node is the client for this line's Redis alone.
func (l *line) node() (rueidis.Client, error) {
	if !l.f.b.Clustered() {
		return l.f.b.Client(), nil
	}
	if c := l.f.b.Client().Nodes()[l.address]; c != nil {
		return c, nil
	}
	return nil, errUnknown // the client follows the Cluster by itself
}

// heartbeat is a subject of this node alone that the line's Redis answers for.
func (l *line) heartbeat() asking {
	f := l.f
	f.mu.RLock()
	p := max(0, slices.Index(f.owners[:], l))
	f.mu.RUnlock()
	return asking{subject: f.b.PartitionKey("beat."+f.b.Node(), p), partition: p}
}
