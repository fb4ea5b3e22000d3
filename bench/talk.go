package bench

import "carillon/channel"

// talk is an open-loop schedule: message k of a step is due at a time that depends on nothing that happened, and its
// latency is counted from then on. A generator that waited for a slow server would leave out just the bad moments.
type talk struct {
	g     *crowd
	steps []Step
	mix   Mix
	act   string
	quiet bool
	begin int64  // of the first of steps, ns since the epoch
	k     uint64 // message within it
	n     uint64 // message of the schedule
}

// due is when the next message is due; not ok at the end.
func (t *talk) due() (int64, bool) {
	for len(t.steps) > 0 {
		s := t.steps[0]
		if t.k < s.messages() {
			return t.begin + int64(float64(t.k)/s.Rate*1e9), true
		}
		t.begin += int64(s.Seconds * 1e9)
		t.steps, t.k = t.steps[1:], 0
	}
	return 0, false
}

// left is how many messages are still to come, over all workers.
func (t *talk) left() (n uint64) {
	for _, s := range t.steps {
		n += s.messages()
	}
	return n - t.k
}

// maxTurn is how many messages a schedule sends before the lines are read again: who is behind must not stop reading.
const maxTurn = 128

// publishDue sends what is due and returns when the next is; 0 means never.
func (e *engine) publishDue(now int64) (next int64) {
	for _, t := range e.talks {
		for turn := 0; ; turn++ {
			due, ok := t.due()
			if !ok {
				break
			}
			if due > now || turn == maxTurn {
				next = earlier(next, due)
				break
			}
			e.publish(t, due)
			t.k++
			t.n++
		}
	}
	return next
}

// publish sends one message, if its publisher is here: the channels in turn, and in each its publishers in turn.
func (e *engine) publish(t *talk, due int64) {
	g := t.g
	c := int(t.n % uint64(g.Channels))
	publishers := g.publishers()
	p := int(t.n / uint64(g.Channels) % uint64(publishers))
	l := g.who[c*publishers+p]
	if l == nil {
		return
	}
	if l.state != open {
		e.mark.Unsent++
		return
	}
	if t.act != actPublish {
		e.act(t, c, p, l, due)
		record(e.lag, e.now()-due)
		return
	}
	s := stamp{Group: g.index, Channel: c, Publisher: p, Seq: g.sent[c][p], Due: due, Class: t.mix.class(t.n)}
	if s.Class == channel.Latest {
		s.Seq = g.newest[c][p]
		g.newest[c][p]++
	}
	name := g.names[c]
	if t.quiet {
		name = g.quiet[c]
	} else if s.Class == channel.Logged {
		g.sent[c][p]++
	}
	e.mark.Published++
	e.scratch = s.append(e.scratch[:0], e.setup.Payload)
	n := len(e.scratch)
	e.scratch = e.d.publish(e.scratch, e.mark.Published, name, s.Class, e.scratch[:n])
	e.send(l, e.facts.op, e.scratch[n:])
	record(e.lag, e.now()-due)
}
