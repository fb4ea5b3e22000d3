package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"carillon/bus"

	"github.com/redis/rueidis"
)

const (
	leaseFor      = 3 * time.Second        // by Redis' clock: a lease, and a worker's word that it lives
	leaseSafe     = 500 * time.Millisecond // before the end of a lease its owner takes it for lost
	beat          = time.Second            // between renewals
	retry         = 250 * time.Millisecond // after one that failed
	leasePatience = time.Second            // for the answer to one
	rest          = time.Second            // a shard stays without us after its run ended by itself
)

// owner is a call of Own: a worker of a service.
type owner struct {
	d       *Desk
	service string
	shards  int
	run     func(context.Context, bus.Shard) error
	id      string        // of the worker: 16 hexadecimal digits
	key     string        // of all workers of the service
	wake    chan struct{} // somebody came, went, or gave something up
	runs    sync.WaitGroup

	mu      sync.Mutex
	held    map[int]*tenure
	resting map[int]time.Time // when shards may be taken again
	others  []member          // as seen last
	leaving bool
}

// tenure is the time for which an owner has a shard.
type tenure struct {
	o      *owner
	shard  *holding
	cancel context.CancelFunc // of its run
	giving bool               // it shall end; guarded by owner.mu
}

func newOwner(d *Desk, service string, shards int, run func(context.Context, bus.Shard) error) *owner {
	return &owner{
		d: d, service: service, shards: shards, run: run, id: randomID(), key: d.b.ShardKey("desk-workers", service, 0),
		wake: make(chan struct{}, 1), held: make(map[int]*tenure), resting: make(map[int]time.Time),
	}
}

// serve takes part until ctx ends or the desk closes.
func (o *owner) serve(ctx context.Context) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	next := time.NewTimer(0)
	defer next.Stop()
	for err == nil {
		select {
		case <-ctx.Done():
			o.leave()
			return nil
		case <-o.d.stop:
			err = bus.ErrClosed
			continue
		case <-o.wake:
		case <-next.C:
		}
		var wait time.Duration
		if wait, err = o.look(ctx); err == nil {
			next.Reset(wait)
		}
	}
	cancel()
	o.leave()
	return err
}

// look says that this worker lives, sees who else does, gives up what is too much and takes what it should have. It returns
// how long to wait before the next look. An error is final.
func (o *owner) look(ctx context.Context) (time.Duration, error) {
	me := o.member()
	callCtx, cancel := context.WithTimeout(ctx, leasePatience)
	defer cancel()
	lines, err := o.d.run(callCtx, o.d.scripts.present, []string{o.key},
		[]string{o.id, decimal(leaseFor.Milliseconds()), me.says(), decimal(o.shards), decimal(MaxWorkers)}).AsStrSlice()
	if err != nil {
		return retry, o.refusal(err)
	}
	others := o.meet(lines)
	all, mine := order(others, me)
	plan := divide(o.shards, all)
	take, give := o.compare(plan, mine)
	for _, t := range give {
		t.cancel()
	}
	wait := o.take(ctx, take)
	for i := range others { // who has some of them still learns at once that he has too many
		if slices.ContainsFunc(take, func(shard int) bool { return others[i].held[shard] }) {
			o.d.mail(others[i].inbox, o.hint(), nil)
		}
	}
	return wait, nil
}

// hint is the message that has another worker of the service look at once.
func (o *owner) hint() []byte { return append([]byte{mailLook}, o.service...) }

// refusal is the error of a worker that may not take part; nil: trouble that may pass.
func (o *owner) refusal(err error) error {
	refused, ok := rueidis.IsRedisErr(err)
	if !ok {
		return nil
	}
	switch code, number, _ := strings.Cut(refused.Error(), " "); code {
	case "CROWDED":
		return fmt.Errorf("service %q has %s workers already: end some of them", o.service, number)
	case "SHARDS":
		return fmt.Errorf("service %q has %s shards already, not %d: let all of its owners say the same", o.service, number, o.shards)
	}
	return nil
}

// member is what this worker says of itself.
func (o *owner) member() member {
	m := member{id: o.id, inbox: o.d.id, shards: o.shards, held: make([]bool, o.shards)}
	o.mu.Lock()
	defer o.mu.Unlock()
	for shard := range o.held {
		m.held[shard] = true
	}
	return m
}

// holds is how many shards this worker has.
func (o *owner) holds() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.held)
}

// meet reads what the others say.
func (o *owner) meet(lines []string) (others []member) {
	for ; len(lines) >= 2; lines = lines[2:] {
		if m, ok := parseMember(lines[0], lines[1]); ok && m.shards == o.shards {
			others = append(others, m)
			continue
		}
		o.d.log.Warn("a worker cannot be understood; do all nodes run the same build?", "service", o.service)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.others = others
	return others
}

// order puts all in the order of their ids, and says where this one stands.
func order(others []member, me member) (all []member, mine int) {
	all = append(slices.Clone(others), me)
	slices.SortFunc(all, func(a, b member) int { return strings.Compare(a.id, b.id) })
	return all, slices.IndexFunc(all, func(m member) bool { return m.id == me.id })
}

// compare tells what to take and what to give up.
func (o *owner) compare(plan []int, mine int) (take []int, give []*tenure) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	for shard, who := range plan {
		t := o.held[shard]
		switch {
		case t != nil && who != mine && !t.giving:
			t.giving = true
			give = append(give, t)
		case t == nil && who == mine && !now.Before(o.resting[shard]):
			delete(o.resting, shard)
			take = append(take, shard)
		}
	}
	return take, give
}

// take tries to get leases, all at once, and begins a tenure for each it got. It returns when to look again at the latest.
func (o *owner) take(ctx context.Context, shards []int) time.Duration {
	var trying sync.WaitGroup
	var mu sync.Mutex
	wait := beat
	for _, shard := range shards {
		trying.Go(func() {
			after := o.lease(ctx, shard) // 0, if it was got: look again, and say so
			mu.Lock()
			defer mu.Unlock()
			wait = min(wait, after)
		})
	}
	trying.Wait()
	return wait
}

// lease tries to get one lease; it returns 0 if it did, else when to try again.
func (o *owner) lease(ctx context.Context, shard int) time.Duration {
	h := newHolding(o.d, o.service, shard)
	ctx, cancel := context.WithTimeout(ctx, leasePatience)
	defer cancel()
	sent := time.Now()
	lines, err := o.d.run(ctx, o.d.scripts.lease, h.keys.held(), []string{h.token, decimal(leaseFor.Milliseconds())}).ToArray()
	if err != nil || len(lines) != 2 {
		return retry
	}
	if got, _ := lines[0].AsInt64(); got != 1 {
		left, _ := lines[1].AsInt64() // of the lease of whoever has it; he may be dead
		return time.Duration(max(left, 1)+5) * time.Millisecond
	}
	marks, _ := lines[1].ToString()
	h.begin(marks)
	// The run's context does not end with the look that began it.
	run, lose := context.WithCancel(context.WithoutCancel(ctx))
	h.lose = lose
	t := &tenure{o: o, shard: h, cancel: lose}
	o.mu.Lock()
	o.held[shard] = t
	o.mu.Unlock()
	o.runs.Go(func() { t.live(run, sent.Add(leaseFor-leaseSafe)) })
	return 0
}

// live is a tenure from its beginning to its end. until is how long its lease is safe. Errors are the run's to tell.
func (t *tenure) live(ctx context.Context, until time.Time) {
	o, h := t.o, t.shard
	aside, end := context.WithCancel(o.d.ctx)
	var crew sync.WaitGroup
	crew.Go(func() { h.hear(aside) })
	crew.Go(func() { t.renew(aside, until) })
	r := o.d.route(o.service)
	if r != nil {
		r.serve(h, o.shards)
		context.AfterFunc(ctx, h.leave)
	}
	_ = o.run(ctx, h)
	byItself := ctx.Err() == nil
	t.cancel()
	if r != nil {
		r.retire(h)
	}
	h.settle(o.d.ctx)
	end()
	crew.Wait()
	call, cancel := context.WithTimeout(o.d.ctx, leasePatience)
	defer cancel()
	_ = o.d.run(call, o.d.scripts.release, []string{h.keys.lease}, []string{h.token}).Error() // else it ends by itself
	o.mu.Lock()
	delete(o.held, h.number)
	if byItself {
		o.resting[h.number] = time.Now().Add(rest)
	}
	others, leaving := o.others, o.leaving
	o.mu.Unlock()
	o.tell(others, leaving, h.number)
	ring(o.wake)
}

// tell lets whoever should have a shard that is free now look at once.
func (o *owner) tell(others []member, leaving bool, shard int) {
	all, mine := others, -1
	if !leaving {
		all, mine = order(others, o.member())
	}
	if len(all) == 0 {
		return
	}
	if who := divide(o.shards, all)[shard]; who != mine {
		o.d.mail(all[who].inbox, o.hint(), nil)
	}
}

// renew keeps the lease until ctx ends. When it is another's, or cannot be renewed before it might end in Redis, the run ends.
func (t *tenure) renew(ctx context.Context, until time.Time) {
	h := t.shard
	timer := time.NewTimer(beat)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		call, cancel := context.WithDeadline(ctx, minTime(time.Now().Add(leasePatience), until))
		sent := time.Now()
		ours, err := t.o.d.run(call, t.o.d.scripts.renew, h.keys.held(), []string{h.token, decimal(leaseFor.Milliseconds()), decimal(KeepFor.Milliseconds())}).AsInt64()
		cancel()
		switch {
		case err == nil && ours == 1:
			until = sent.Add(leaseFor - leaseSafe)
			h.remove() // what could not be removed when it was answered
			timer.Reset(beat)
			continue
		case err == nil || ctx.Err() == nil && !time.Now().Before(until):
			if ctx.Err() == nil {
				t.o.d.log.Warn("the lease of a shard was lost", "service", t.o.service, "shard", h.number, "cause", errors.Join(err, errLost))
			}
			h.lose()
			return
		}
		timer.Reset(max(min(retry, time.Until(until)), 0))
	}
}

var errLost = errors.New("another has it, or Redis did not answer in time")

func minTime(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// leave ends all runs, waits for them and tells the others, who are counted without this worker from the beginning.
func (o *owner) leave() {
	ctx, cancel := context.WithTimeout(o.d.ctx, leasePatience)
	defer cancel()
	lines, err := o.d.run(ctx, o.d.scripts.leave, []string{o.key}, []string{o.id}).AsStrSlice()
	if err == nil {
		o.meet(lines)
	}
	o.mu.Lock()
	o.leaving = true
	for _, t := range o.held {
		t.giving = true
		t.cancel()
	}
	o.mu.Unlock()
	o.runs.Wait()
}
