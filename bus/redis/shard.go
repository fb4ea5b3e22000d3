package redis

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"time"

	"carillon/backbone"
	"carillon/bus"
	"carillon/channel"
)

const (
	takeBytes = 1 << 20                // that one step of Redis hands out, or one command
	takeEvery = time.Second            // the stream is read without a bell: one may have been lost
	takeGrace = 200 * time.Millisecond // for a read under way when the owner's time is over
)

// holding is a shard in the hands of one owner: the bus.Shard of one tenure.
type holding struct {
	d      *Desk
	number int
	keys   shardKeys
	token  string
	lose   context.CancelFunc // ends the run: the lease is not ours any more
	marks  []streamID         // how far owners before were handed commands
	bell   chan struct{}
	mailed chan struct{} // rung when answers went out
	turn   chan struct{} // who may read; has room for one
	owed   bool          // the stream is first; who has the turn has it too

	mu       sync.Mutex
	after    string               // id of the last command handed out
	more     bool                 // there may be further ones without a bell
	here     []*ask               // handed to us without the stream, and not to the owner yet
	near     map[channel.Name]int // of those, and of those the owner has, without an answer
	leaving  bool                 // the run is about to end
	shutDown bool                 // it has
	tickets  map[uint64]given
	last     uint64
	mailing  int           // letters with answers that Redis does not have yet
	gone     []string      // ids and sizes of commands whose answers it has, and that are still in the stream
	removing chan struct{} // closed when the removal under way ends; nil: none is
}

// given is a command that was handed out.
type given struct {
	here  *ask // asked here: all there is to know
	id    string
	bytes int
	inbox string
	ask   uint64
}

func newHolding(d *Desk, service string, shard int) *holding {
	return &holding{
		d: d, number: shard, keys: d.shardKeys(service, shard), token: randomID(), bell: make(chan struct{}, 1), mailed: make(chan struct{}, 1), turn: make(chan struct{}, 1),
		more: true, tickets: make(map[uint64]given), near: make(map[channel.Name]int),
	}
}

// held are the keys that the scripts about leases want.
func (k *shardKeys) held() []string { return []string{k.lease, k.stream, k.state} }

// begin takes in what owners before left.
func (h *holding) begin(marks string) {
	for _, word := range strings.Fields(marks) {
		if id, ok := parseStreamID(word); ok {
			h.marks = append(h.marks, id)
		}
	}
}

// hear listens to the bell until ctx ends.
func (h *holding) hear(ctx context.Context) {
	h.d.subscribe(ctx, h.keys.bell, func(on bool) {
		if on { // what came before we heard rang for nobody
			h.wake()
		}
	}, func(string) { h.wake() })
}

func (h *holding) wake() {
	h.mu.Lock()
	h.more = true
	h.mu.Unlock()
	ring(h.bell)
}

// Number is bus.Shard's.
func (h *holding) Number() int { return h.number }

// Next is bus.Shard's. Commands that Redis handed out are returned even if ctx ended meanwhile.
func (h *holding) Next(ctx context.Context, max int) ([]bus.Asked, error) {
	select {
	case h.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-h.turn }()
	again := time.NewTimer(takeEvery)
	defer again.Stop()
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		as, err := h.some(ctx, max)
		if len(as) > 0 {
			return as, nil
		}
		if err != nil {
			h.lose()
			if ctx.Err() == nil {
				return nil, bus.ErrClosed
			}
			continue
		}
		select {
		case <-ctx.Done():
		case <-h.bell:
		case <-again.C:
			h.wake()
			again.Reset(takeEvery)
		}
	}
}

// some gives what there is: from here, and the next time from the stream first. What was asked here waits for Redis only where
// it is the stream's turn and there is something in it.
func (h *holding) some(ctx context.Context, max int) (as []bus.Asked, err error) {
	owed := h.owed
	if h.owed = false; !owed {
		if as = h.takeHere(max); len(as) > 0 {
			h.owed = true
			return as, nil
		}
	}
	if h.due() {
		as, err = h.take(ctx, max)
	}
	if owed && err == nil && len(as) < max {
		as = append(as, h.takeHere(max-len(as))...)
	}
	return as, err
}

// due tells whether there may be something to take, and from here on only what comes later says so again.
func (h *holding) due() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	more := h.more
	h.more = false
	return more
}

// take reads the stream where we left it. An error says that the tenure is over; while Redis does not answer there is
// nothing to take. What Redis hands out counts as an attempt, so a read under way is not broken off with ctx at once.
func (h *holding) take(ctx context.Context, max int) ([]bus.Asked, error) {
	call, cancel := context.WithCancel(h.d.ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		pause(call, takeGrace)
		cancel()
	})()
	args := []string{h.token, h.after, decimal(max), decimal(takeBytes)}
	lines, err := h.d.run(call, h.d.scripts.take, h.keys.held(), args).ToArray()
	if err != nil {
		return nil, nil // the next look comes within takeEvery; renewal decides about the lease
	}
	if ours, _ := lines[0].AsInt64(); ours != 1 || len(lines) < 3 {
		return nil, errLost
	}
	seconds, _ := lines[1].AsInt64()
	micros, _ := lines[2].AsInt64()
	now := time.Unix(seconds, micros*1000)
	lines = lines[3:]
	as := make([]bus.Asked, 0, len(lines)/3)
	bytes := 0
	for ; len(lines) >= 3; lines = lines[3:] {
		id, _ := lines[0].ToString()
		form, _ := lines[1].ToString()
		beside, _ := lines[2].ToString()
		bytes += len(form)
		if a, ok := h.give(id, form, now); ok {
			trip, tries := parseBeside(beside)
			a.Command.Trip = trip
			a.Attempt += tries
			as = append(as, a)
		}
	}
	if n := len(as); n >= max || bytes >= takeBytes {
		h.wake()
	}
	return as, nil
}

// give makes a ticket of a line of the stream. One that cannot be read is removed: nobody ever could.
func (h *holding) give(id, form string, now time.Time) (bus.Asked, bool) {
	at, _ := parseStreamID(id)
	a, err := parseAsk(form)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.after = id
	if err != nil {
		h.gone = append(h.gone, id, decimal(len(form)))
		h.d.log.Warn("a command is passed over", "shard", h.number, "bytes", len(form), "cause", err)
		return bus.Asked{}, false
	}
	h.last++
	h.tickets[h.last] = given{id: id, bytes: len(form), inbox: a.inbox, ask: a.ask}
	if waited := now.Sub(time.UnixMilli(int64(at.ms))); waited > 0 {
		a.command.Waited += waited
	}
	attempt := 1
	for _, m := range h.marks {
		if !m.less(at) {
			attempt++
		}
	}
	return bus.Asked{Ticket: h.last, Attempt: attempt, Command: a.command}, true
}

// Answer is bus.Shard's. It only enqueues: the answers go out at once, and what they answer is removed after them: of an owner that
// dies between the two, the next one answers again. It works also after the tenure, for an answer stays true.
func (h *holding) Answer(as []bus.Answered) error {
	var letters map[string]*answers
	var here []reply
	h.mu.Lock()
	for i := range as {
		g, known := h.tickets[as[i].Ticket]
		if !known {
			continue
		}
		delete(h.tickets, as[i].Ticket)
		a := answer{ask: g.ask, fault: h.d.faultOf(as[i].Err), reply: as[i].Reply}
		if len(a.reply.Body) > maxBody {
			a.fault, a.reply = unnamed+"the reply is too long", channel.Reply{ID: a.reply.ID}
		}
		if g.here != nil {
			h.settled(g.here)
			here = append(here, reply{g.here.number, a.reply, h.d.errorOf(a.fault)})
			continue
		}
		if letters == nil {
			letters = make(map[string]*answers, 1)
		}
		l := letters[g.inbox]
		if l == nil {
			l = &answers{message: append(make([]byte, 0, 1+answersSize(as[i:])), mailAnswers)}
			letters[g.inbox] = l
		}
		l.message = appendAnswer(l.message, &a)
		l.answered = append(l.answered, g.id, decimal(g.bytes))
	}
	h.mailing += len(letters)
	h.mu.Unlock()
	h.d.answer(here)
	for inbox, l := range letters {
		h.d.mail(inbox, l.message, func() { h.sent(l.answered) })
	}
	return nil
}

// answers are a letter to one inbox.
type answers struct {
	message  []byte
	answered []string // ids and sizes of the commands
}

// sent notes that answers went out, and has what they answer removed.
func (h *holding) sent(answered []string) {
	h.mu.Lock()
	h.mailing--
	h.gone = append(h.gone, answered...)
	h.mu.Unlock()
	h.remove()
	ring(h.mailed)
}

// answersSize is room enough, mostly, for the forms of answers.
func answersSize(as []bus.Answered) (n int) {
	for i := range as {
		n += 4 + leastReply + len(as[i].Reply.ID) + len(as[i].Reply.Body)
	}
	return min(n, takeBytes)
}

// remove begins to take out of the stream what was answered, unless that is under way.
func (h *holding) remove() {
	h.mu.Lock()
	start := h.removing == nil && len(h.gone) > 0
	if start {
		h.removing = make(chan struct{})
	}
	h.mu.Unlock()
	if start && !h.d.begin(h.removeAll) {
		h.removed(nil)
	}
}

// removeAll works until nothing is left, or Redis fails: then the next renewal begins anew.
func (h *holding) removeAll() {
	for {
		h.mu.Lock()
		n := min(len(h.gone), 2*batchCommands)
		some := h.gone[:n:n]
		h.gone = h.gone[n:]
		if n == 0 {
			h.gone = nil
			close(h.removing)
			h.removing = nil
		}
		h.mu.Unlock()
		if n == 0 {
			return
		}
		if h.d.run(h.d.ctx, h.d.scripts.answer, []string{h.keys.stream, h.keys.state}, some).Error() != nil {
			h.removed(some)
			return
		}
	}
}

// removed ends a removal that left something.
func (h *holding) removed(left []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.gone = append(left, h.gone...)
	close(h.removing)
	h.removing = nil
}

// settle waits until what was answered is removed, so that the next owner does not see it; not for ever.
func (h *holding) settle(ctx context.Context) {
	t := time.NewTimer(backbone.CallTimeout)
	defer t.Stop()
	h.remove()
	for {
		h.mu.Lock()
		removing, mailing := h.removing, h.mailing
		h.mu.Unlock()
		if removing == nil && mailing == 0 {
			return
		}
		select {
		case <-removing:
		case <-h.mailed:
		case <-t.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// streamID is the id of a line of a stream.
type streamID struct{ ms, seq uint64 }

func (a streamID) less(b streamID) bool { return a.ms < b.ms || a.ms == b.ms && a.seq < b.seq }

func parseStreamID(s string) (id streamID, ok bool) {
	ms, seq, found := strings.Cut(s, "-")
	if !found {
		return id, false
	}
	var err, err2 error
	id.ms, err = strconv.ParseUint(ms, 10, 64)
	id.seq, err2 = strconv.ParseUint(seq, 10, 64)
	return id, err == nil && err2 == nil && id.ms < 1<<62
}
