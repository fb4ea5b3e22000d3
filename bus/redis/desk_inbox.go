package redis

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"time"

	"carillon/backbone"

	"github.com/redis/rueidis"
)

const (
	deafGrace = 2 * time.Second        // for answers after the inbox was deaf; see asks.heardAgain
	firstWait = 20 * time.Millisecond  // before a subscription that ended is tried again; doubles
	lastWait  = 500 * time.Millisecond // see firstWait
	mailBytes = 256 << 10              // of answers in one message, if there are several
)

func decimal[N int | int64](n N) string { return strconv.FormatInt(int64(n), 10) }

// publish is the command that reaches a subject.
func (d *Desk) publish() string {
	if d.b.Clustered() {
		return "SPUBLISH"
	}
	return "PUBLISH"
}

// inbox tells whether this desk hears what is sent to it.
type inbox struct {
	mu    sync.Mutex
	hears bool
	once  bool          // it heard before
	up    chan struct{} // closed while hears
}

func (i *inbox) init() { i.up = make(chan struct{}) }

// set notes whether it hears; again: it does so after it was deaf.
func (i *inbox) set(hears bool) (again bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if hears == i.hears {
		return false
	}
	if i.hears = hears; !hears {
		i.up = make(chan struct{})
		return false
	}
	again, i.once = i.once, true
	close(i.up)
	return again
}

// await waits until it hears; false: ctx ended before.
func (i *inbox) await(ctx context.Context) bool {
	i.mu.Lock()
	up := i.up
	i.mu.Unlock()
	select {
	case <-up:
		return true
	case <-ctx.Done():
		return false
	}
}

// listen hears what is sent to this desk until it closes.
func (d *Desk) listen() {
	d.subscribe(d.ctx, d.b.NodeKey("desk-inbox", d.id), func(on bool) {
		if d.inbox.set(on) {
			d.asks.heardAgain(time.Now())
		}
	}, d.heard)
}

// heard takes in a message.
func (d *Desk) heard(m string) {
	var err error
	switch {
	case m == "":
		err = errForm
	case m[0] == mailAnswers:
		err = parseAnswers(m[1:], func(a answer) { d.asks.end(a.ask, a.reply, d.errorOf(a.fault)) })
	case m[0] == mailLook:
		d.look(m[1:])
	default:
		err = errForm
	}
	if err != nil {
		d.log.Warn("a message to this node's inbox is passed over", "bytes", len(m), "cause", err)
	}
}

// subscribe hears a subject until ctx ends, whatever becomes of the line. set is told when it begins to hear and when it is
// deaf; neither function may wait or call Redis.
func (d *Desk) subscribe(ctx context.Context, subject string, set func(on bool), heard func(message string)) {
	wait := firstWait
	for ctx.Err() == nil {
		began := time.Now()
		d.receive(ctx, subject, set, heard)
		set(false)
		if time.Since(began) > lastWait {
			wait = firstWait
		}
		pause(ctx, wait)
		wait = min(2*wait, lastWait)
	}
}

// receive is one subscription, until ctx ends or the line is lost. The client's line stands still, for all who listen by it, once
// more than a few messages lie unread with one of them: whoever has registered has to read, so this one goes on reading until
// Redis has confirmed its end. The client itself does not read while it waits for a subscription to be confirmed, behind messages
// to one before it: if that takes long it is given up, and tried again.
func (d *Desk) receive(ctx context.Context, subject string, set func(on bool), heard func(message string)) {
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	hears, over := make(chan struct{}), make(chan struct{})
	var ending sync.WaitGroup
	defer ending.Wait()
	defer close(over)
	ending.Go(func() {
		defer end()
		late := time.NewTimer(backbone.CallTimeout)
		defer late.Stop()
		select {
		case <-hears:
		case <-over:
			return
		case <-late.C:
			return
		}
		select {
		case <-ctx.Done():
		case <-over:
			return
		}
		late.Reset(backbone.CallTimeout)
		d.unsubscribe(subject)
		select {
		case <-over:
		case <-late.C:
		}
	})
	var first sync.Once
	hooked := rueidis.WithOnSubscriptionHook(life, func(s rueidis.PubSubSubscription) {
		on := strings.HasSuffix(s.Kind, "subscribe") && !strings.HasSuffix(s.Kind, "unsubscribe")
		if set(on); on {
			first.Do(func() { close(hears) })
		}
	})
	b := d.b.Ears().B()
	command := b.Subscribe().Channel(subject).Build()
	if d.b.Clustered() {
		command = b.Ssubscribe().Channel(subject).Build()
	}
	_ = d.b.Ears().Receive(hooked, command, func(m rueidis.PubSubMessage) { heard(m.Message) })
}

// unsubscribe ends a subscription, if Redis answers.
func (d *Desk) unsubscribe(subject string) {
	ctx, cancel := context.WithTimeout(context.Background(), backbone.CallTimeout)
	defer cancel()
	b := d.b.Ears().B()
	command := b.Unsubscribe().Channel(subject).Build()
	if d.b.Clustered() {
		command = b.Sunsubscribe().Channel(subject).Build()
	}
	_ = d.b.Ears().Do(ctx, command).Error()
}

// pause waits for a time, or until ctx ends.
func pause(ctx context.Context, wait time.Duration) {
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// sweep ends asks that wait for too long.
func (d *Desk) sweep() {
	t := time.NewTicker(sweepEvery)
	defer t.Stop()
	for {
		select {
		case now := <-t.C:
			d.asks.expire(now)
		case <-d.ctx.Done():
			return
		}
	}
}

// post is what is on its way to the inboxes of others: one message to each at a time, and the next one gathers meanwhile.
type post struct {
	mu    sync.Mutex
	piles map[string]*pile // by inbox; gone when there is nothing
	bytes int
	empty chan struct{} // closed when piles is empty, if somebody waits
}

// pile is what waits for one inbox.
type pile struct{ letters []letter }

// letter is a message, and what is to be done once Redis has it, or will never have it.
type letter struct {
	message []byte
	sent    []func()
}

// mail sends a message, or drops it where too much is under way: who asked hears bus.ErrUnanswered in time. Answers join
// those that wait already. sent, which may be nil, is called once that is over.
func (d *Desk) mail(to string, message []byte, sent func()) {
	d.post.mu.Lock()
	if d.post.bytes+len(message) > MaxAnswerBytes {
		d.post.mu.Unlock()
		d.dropped.Add(1)
		d.log.Warn("answers are dropped: too many wait for Redis", "inbox", to)
		if sent != nil {
			sent()
		}
		return
	}
	p := d.post.piles[to]
	start := p == nil
	if start {
		p = &pile{}
		d.post.piles[to] = p
	}
	var l *letter
	if n := len(p.letters); n > 0 && message[0] == mailAnswers && p.letters[n-1].message[0] == mailAnswers && len(p.letters[n-1].message)+len(message) <= mailBytes {
		l = &p.letters[n-1]
		l.message = append(l.message, message[1:]...)
		d.post.bytes += len(message) - 1
	} else {
		p.letters = append(p.letters, letter{message: message})
		l = &p.letters[n]
		d.post.bytes += len(message)
	}
	if sent != nil {
		l.sent = append(l.sent, sent)
	}
	d.post.mu.Unlock()
	if start && !d.begin(func() { d.deliver(to, p) }) {
		for l, ok := d.post.next(to, p); ok; l, ok = d.post.next(to, p) {
			l.over()
		}
	}
}

func (l *letter) over() {
	for _, f := range l.sent {
		f()
	}
}

// next takes a letter; false: there is none, and the pile is gone.
func (o *post) next(to string, p *pile) (letter, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(p.letters) == 0 {
		if delete(o.piles, to); len(o.piles) == 0 && o.empty != nil {
			close(o.empty)
			o.empty = nil
		}
		return letter{}, false
	}
	l := p.letters[0]
	p.letters = p.letters[1:]
	o.bytes -= len(l.message)
	return l, true
}

// deliver sends what waits for an inbox. What Redis does not take is lost: nothing is repeated.
func (d *Desk) deliver(to string, p *pile) {
	subject := d.b.NodeKey("desk-inbox", to)
	for l, ok := d.post.next(to, p); ok; l, ok = d.post.next(to, p) {
		ctx, cancel := context.WithTimeout(d.ctx, backbone.CallTimeout)
		b := d.b.Client().B()
		command := b.Publish().Channel(subject).Message(rueidis.BinaryString(l.message)).Build()
		if d.b.Clustered() {
			command = b.Spublish().Channel(subject).Message(rueidis.BinaryString(l.message)).Build()
		}
		err := d.b.Client().Do(ctx, command).Error()
		cancel()
		if d.note(err); err != nil {
			d.dropped.Add(1)
		}
		l.over()
	}
}

// flush waits until everything is sent, though not for long.
func (o *post) flush(ctx context.Context) {
	o.mu.Lock()
	if len(o.piles) == 0 {
		o.mu.Unlock()
		return
	}
	if o.empty == nil {
		o.empty = make(chan struct{})
	}
	empty := o.empty
	o.mu.Unlock()
	t := time.NewTimer(backbone.CallTimeout)
	defer t.Stop()
	select {
	case <-empty:
	case <-t.C:
	case <-ctx.Done():
	}
}
