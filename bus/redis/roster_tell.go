package redis

import (
	"context"
	"crypto/rand"
	"math/big"
	"strings"
	"time"

	"carillon/bus"

	"github.com/redis/rueidis"
)

// op is one thing to tell of an entry.
type op struct {
	entry *entry
	kind  byte // see tellLua
	since time.Time
	lost  time.Time
	quiet bool // it was told before
}

// lot is one step that tells: some entries of one spot.
type lot struct {
	spot   *spot
	number uint64
	ops    []op
	step   step
}

// turn is a stay that began or ended, as Told hears of it.
type turn struct {
	member bus.Member
	here   bool
}

// tell is the goroutine that tells Redis of entries, and gives signs that this node lives.
func (r *Roster) tell() {
	ticker := time.NewTicker(tellAgain)
	defer ticker.Stop()
	var signed, kept, failed time.Time
	next := 0 // district whose entries are put down anew
	for {
		now := time.Now()
		if now.Sub(signed) >= r.o.Dead/signs {
			signed = now
			if !r.touch(r.districts[:]) {
				signed = now.Add(tellAgain - r.o.Dead/signs)
			}
		}
		if now.Sub(kept) >= keepEntries/3/time.Duration(len(r.districts)) {
			kept = now
			r.keep(next)
			next = (next + 1) % len(r.districts)
		}
		r.forgetLost(now)
		more := false
		if now.Sub(failed) >= tellAgain {
			var ok bool
			if more, ok = r.round(); !ok {
				failed = now
			}
		}
		if more {
			continue
		}
		select {
		case <-r.ctx.Done():
			return
		case <-r.wake:
		case <-ticker.C:
		}
	}
}

// keep has all entries of a district put down again: what Redis keeps of them expires otherwise.
func (r *Roster) keep(district int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.districts[district].spots {
		for _, e := range s.entries {
			if e.conn != 0 {
				r.soil(e)
			}
		}
	}
}

// forgetLost lets go of entries that were lost so long ago that nothing has to be restored.
func (r *Roster) forgetLost(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, e := range r.lost {
		if e.conn == 0 && (e.dirty || now.Sub(e.lost) < r.o.Debounce) {
			break
		}
		n++
		if e.listed = false; e.conn == 0 {
			r.forget(e)
		}
	}
	clear(r.lost[:n])
	if r.lost = r.lost[n:]; len(r.lost) == 0 {
		r.lost = nil
	}
}

// round tells Redis of some entries. more says that others are left; ok is false if Redis did not take them.
func (r *Roster) round() (more, ok bool) {
	lots, strangers, more := r.lots()
	if len(strangers) > 0 && !r.touch(strangers) {
		return false, false
	}
	if len(lots) == 0 {
		r.settleIfDone(more || len(strangers) > 0)
		return len(strangers) > 0, true
	}
	steps := make([]step, len(lots))
	for i, l := range lots {
		steps[i] = l.step
	}
	ok = true
	var turns []turn
	for i, a := range run(r.ctx, r.b, steps) {
		some, err := r.took(lots[i], a)
		turns = append(turns, some...)
		ok = ok && err == nil
	}
	r.toldOf(turns)
	return ok, ok
}

// lots takes out what is to be told next: first what was sent before and not taken. Districts of which Redis does not know
// enough are left for now, and returned.
func (r *Roster) lots() (lots []*lot, strangers []*district, more bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, d := range r.districts {
		switch {
		case len(d.dirty) == 0 && len(d.unsure) == 0:
		case !d.synced:
			strangers = append(strangers, d)
		case len(d.unsure) > 0:
			lots = append(lots, d.unsure...)
		default:
			for len(d.dirty) > 0 && len(lots) < stepsAtOnce {
				l := r.lot(d)
				d.unsure = append(d.unsure, l)
				lots = append(lots, l)
			}
			more = more || len(d.dirty) > 0
		}
	}
	return lots, strangers, more
}

// lot makes a step of what is to be told of one spot; r.mu is held.
func (r *Roster) lot(d *district) *lot {
	s := d.dirty[0]
	d.step++
	l := &lot{spot: s, number: d.step}
	n := 0
	for n < len(s.dirty) && len(l.ops) < opsInStep {
		e := s.dirty[n]
		n++
		l.ops = append(l.ops, e.says()...)
		e.dirty, e.sure, e.quiet = false, false, false
	}
	clear(s.dirty[:n])
	if s.dirty = s.dirty[n:]; len(s.dirty) == 0 {
		s.dirty, s.queued = nil, false
		d.dirty[0] = nil
		d.dirty = d.dirty[1:]
	}
	args := r.args(s.name, r.node, decimal(int64(l.number)))
	for _, o := range l.ops {
		ago := time.Duration(0)
		if !o.lost.IsZero() {
			ago = time.Since(o.lost)
		}
		args = append(args, string(o.kind), o.entry.user, decimal(o.since.UnixMilli()), millis(ago))
	}
	l.step = step{r.scripts.tell, r.keys(d.number, s.name, r.node), args}
	return l
}

// says is what has to be told of an entry, in order; Roster.mu is held.
func (e *entry) says() (ops []op) {
	say := func(kind byte, quiet bool) {
		ops = append(ops, op{entry: e, kind: kind, since: e.since, lost: e.lost, quiet: quiet})
	}
	if !e.known || e.quiet && e.sure {
		say('e', e.quiet && e.known)
	}
	switch {
	case e.sure:
		if say('s', false); e.conn != 0 {
			say('e', false)
		}
	case e.conn == 0 && e.quiet:
		say('r', true)
	case e.conn == 0:
		say('l', false)
	case e.known:
		say('e', e.quiet)
	}
	return ops
}

// took notes what Redis answered to a lot.
func (r *Roster) took(l *lot, a rueidis.RedisResult) (turns []turn, err error) {
	fields, err := a.ToArray()
	if err != nil || len(fields) == 0 {
		return nil, errAnswer(err)
	}
	code, err := fields[0].AsInt64()
	r.mu.Lock()
	defer r.mu.Unlock()
	d := l.spot.district
	if err != nil || code == 0 || len(fields) != 3 {
		d.synced = false
		return nil, errStranger
	}
	if len(d.unsure) == 0 || d.unsure[0] != l {
		return nil, nil // an earlier one was not taken: this one will be repeated
	}
	d.unsure = d.unsure[1:]
	said, _ := fields[1].ToString()
	watched, _ := fields[2].AsInt64()
	for i, o := range l.ops {
		e := o.entry
		e.known = e.known || o.kind == 'e'
		if i < len(said) && said[i] == '1' && !o.quiet {
			m := bus.Member{Channel: l.spot.name, User: e.user, Since: o.since, Watched: watched == 1}
			turns = append(turns, turn{m, o.kind == 'e'})
		}
		if o.kind == 's' && e.conn == 0 && !e.dirty {
			r.forget(e)
		}
	}
	return turns, nil
}

// toldOf tells of turns in their order, those of one sort together.
func (r *Roster) toldOf(turns []turn) {
	for len(turns) > 0 {
		n := 0
		var ms []bus.Member
		for n < len(turns) && turns[n].here == turns[0].here {
			ms = append(ms, turns[n].member)
			n++
		}
		r.o.Told(ms, turns[0].here)
		turns = turns[n:]
	}
}

// touch gives a sign of life in districts and hears how things stand there. Where Redis lacks what it should have, all
// entries are put down anew. It is false where Redis did not answer.
func (r *Roster) touch(ds []*district) (ok bool) {
	steps := make([]step, len(ds))
	r.mu.Lock()
	for i, d := range ds {
		least := d.step
		if len(d.unsure) > 0 {
			least = d.unsure[0].number - 1
		}
		steps[i] = step{r.scripts.touch, []string{r.b.PartitionKey("roster", d.number)}, []string{
			r.node, newGen(), millis(r.o.Dead), d.gen, decimal(int64(least)), decimal(int64(d.step)), seconds(keepNodes),
		}}
	}
	r.mu.Unlock()
	ok = true
	for i, a := range run(r.ctx, r.b, steps) {
		fields, err := a.ToArray()
		if err != nil || len(fields) < 3 {
			ok = false
			continue
		}
		ok = r.touched(ds[i], fields) && ok
	}
	return ok
}

// touched reads the answer of touchLua.
func (r *Roster) touched(d *district, fields []rueidis.RedisMessage) (ok bool) {
	gen, _ := fields[0].ToString()
	anew, _ := fields[1].AsInt64()
	alive, _ := fields[2].ToString()
	var dead []string
	for _, f := range fields[3:] {
		node, _ := f.ToString()
		dead = append(dead, node)
	}
	r.mu.Lock()
	known := d.gen
	d.synced = d.synced && anew == 0
	again := !d.synced
	d.sweeps = true
	mine := weight(r.node, d.number)
	for other := range strings.SplitSeq(alive, ",") {
		if w := weight(other, d.number); other != "" && (w > mine || w == mine && other > r.node) {
			d.sweeps = false
		}
	}
	for _, node := range dead {
		if len(r.dead) < maxEnded {
			r.dead = append(r.dead, death{node, d.number})
		}
	}
	r.mu.Unlock()
	if len(dead) > 0 {
		rouse(r.sweeper)
	}
	if !again {
		return true
	}
	if known != "" && !r.shed(r.node, d.number, true) {
		return false // the next sign finds it as it is
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.anew(d, known != "" && known != gen)
	d.gen, d.synced = gen, true
	return true
}

// anew has all entries of a district put down, and drops what was sent and not taken: it is among them. With emptied set,
// Redis lost them all, and nobody has to hear of those again of whom he heard; r.mu is held.
func (r *Roster) anew(d *district, emptied bool) {
	for _, l := range d.unsure {
		for _, o := range l.ops {
			o.entry.sure = o.entry.sure || o.kind == 's'
			r.soil(o.entry)
		}
	}
	d.unsure = nil
	for _, s := range d.spots {
		for _, e := range s.entries {
			e.quiet = emptied && e.known
			r.soil(e)
		}
	}
}

// newGen is a number that Redis did not have before.
func newGen() string {
	n, _ := rand.Int(rand.Reader, big.NewInt(1<<53-1)) // never fails
	return n.String()
}

// weight orders nodes differently for each district.
func weight(node string, district int) uint64 {
	w := uint64(14695981039346656037)
	for i := range len(node) {
		w = (w ^ uint64(node[i])) * 1099511628211
	}
	w = (w ^ uint64(district)) * 1099511628211
	w ^= w >> 29
	return w * 0x9e3779b97f4a7c15
}

// settle waits until Redis has taken all that was to be told.
func (r *Roster) settle(ctx context.Context) {
	done := make(chan struct{})
	r.mu.Lock()
	r.settled = append(r.settled, done)
	r.mu.Unlock()
	rouse(r.wake)
	select {
	case <-done:
	case <-ctx.Done():
	case <-r.ctx.Done():
	}
}

func (r *Roster) settleIfDone(more bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, d := range r.districts {
		more = more || len(d.dirty) > 0 || len(d.unsure) > 0
	}
	if more {
		return
	}
	for _, done := range r.settled {
		close(done)
	}
	r.settled = nil
}
