package redis

import (
	"context"
	"time"

	"carillon/backbone"

	"github.com/redis/rueidis"
)

// commandsAtOnce is how many commands that subscribe are sent together.
const commandsAtOnce = 64

// settle subscribes what was asked for and unsubscribes what was left, until nothing is. Whoever asks meanwhile is served
// by the next round, all together.
func (s *session) settle() error {
	f, l := s.line.f, s.line
	for {
		f.mu.Lock()
		gone, fresh, all := l.unasked, l.fresh, l.rescan
		l.unasked, l.fresh, l.rescan = nil, nil, false
		if l.busy = all; all {
			fresh = s.missing()
		}
		f.mu.Unlock()
		if len(gone) == 0 && len(fresh) == 0 && !all {
			return nil
		}
		err := s.part(gone)
		if err == nil {
			err = s.take(fresh)
		}
		f.mu.Lock()
		l.busy = false
		if redirected(err) {
			l.rescan, f.unsettled = true, true
		}
		f.mu.Unlock()
		if all || err != nil {
			f.poke()
		}
		if redirected(err) {
			return nil // the keeper asks who owns what, and nudges
		}
		if err != nil {
			return err
		}
	}
}

// missing lists all that this line should have subscribed and this session has not; Feed.mu is held.
func (s *session) missing() (all []asking) {
	f, l := s.line.f, s.line
	for subject, sub := range f.subs {
		if f.owners[sub.partition] == l && sub.on != s {
			all = append(all, asking{subject, sub.partition, sub})
		}
	}
	if f.owners[0] == l {
		all = append(all, asking{f.lost, 0, nil})
	}
	return all
}

// take subscribes. If some of it belongs to another Redis node now, it does what it can and returns that error.
func (s *session) take(fresh []asking) (err error) {
	groups := s.line.group(fresh)
	for len(groups) > 0 {
		n := min(commandsAtOnce, len(groups))
		for i, e := range s.do(groups[:n], s.subscribe) {
			switch {
			case e == nil:
				s.confirm(groups[i])
			case err == nil || redirected(err):
				err = e
			}
		}
		if groups = groups[n:]; err != nil && !redirected(err) {
			return err
		}
	}
	return err
}

// part unsubscribes. What Redis moved away it has unsubscribed itself.
func (s *session) part(gone []asking) error {
	groups := s.line.group(gone)
	for len(groups) > 0 {
		n := min(commandsAtOnce, len(groups))
		for _, err := range s.do(groups[:n], s.unsubscribe) {
			if err != nil && !redirected(err) {
				return err
			}
		}
		groups = groups[n:]
	}
	return nil
}

// group cuts subjects into what one command may name: on a Cluster, those of one partition.
func (l *line) group(all []asking) (groups [][]asking) {
	open := make(map[int]int, 1) // of a partition: its group that has room
	for _, a := range all {
		p := 0
		if l.f.b.Clustered() {
			p = a.partition
		}
		at, ok := open[p]
		if !ok || len(groups[at]) == subscribeNames {
			at = len(groups)
			open[p] = at
			groups = append(groups, nil)
		}
		groups[at] = append(groups[at], a)
	}
	return groups
}

// do sends one command for each group, together, and returns their errors.
func (s *session) do(groups [][]asking, command func([]string) rueidis.Completed) []error {
	cmds := make(rueidis.Commands, len(groups))
	for i, g := range groups {
		subjects := make([]string, len(g))
		for j := range g {
			subjects[j] = g[j].subject
		}
		cmds[i] = command(subjects)
	}
	ctx, cancel := context.WithTimeout(s.line.ctx, backbone.CallTimeout)
	defer cancel()
	errs := make([]error, len(groups))
	for i, r := range s.client.DoMulti(ctx, cmds...) {
		errs[i] = r.Error()
	}
	return errs
}

func (s *session) subscribe(subjects []string) rueidis.Completed {
	if s.line.f.b.Clustered() {
		return s.client.B().Ssubscribe().Channel(subjects...).Build()
	}
	return s.client.B().Subscribe().Channel(subjects...).Build()
}

func (s *session) unsubscribe(subjects []string) rueidis.Completed {
	if s.line.f.b.Clustered() {
		return s.client.B().Sunsubscribe().Channel(subjects...).Build()
	}
	return s.client.B().Unsubscribe().Channel(subjects...).Build()
}

// redirected tells an error that will be over when it is known who owns what, from one of the connection or of rights.
func redirected(err error) bool {
	refusal, ok := rueidis.IsRedisErr(err)
	if !ok {
		return false
	}
	_, moved := refusal.IsMoved()
	_, ask := refusal.IsAsk()
	return moved || ask || refusal.IsClusterDown() || refusal.IsTryAgain()
}

// confirm lets those go on who waited for a subscription.
func (s *session) confirm(group []asking) {
	f := s.line.f
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, a := range group {
		if a.sub == nil {
			continue
		}
		switch present := f.subs[a.subject]; {
		case present == a.sub:
			a.sub.on, a.sub.ever = s, true
			if a.sub.ready != nil {
				close(a.sub.ready)
				a.sub.ready = nil
			}
		case present == nil: // left and gone meanwhile
			s.line.unasked = append(s.line.unasked, asking{a.subject, a.partition, nil})
			s.line.nudge()
		}
	}
}

// message is called by the connection's reader for each message. It waits while too much is not delivered yet: then Redis
// keeps the rest, to its own bound, and cuts the line when that is reached.
func (s *session) message(m rueidis.PubSubMessage) {
	switch m.Channel {
	case s.beat.subject:
		s.heard.Store(time.Now().UnixNano())
	case s.line.f.lost:
		s.line.f.alarmRaised()
	default:
		s.inbox.put(m)
	}
}

// changed is called by the connection's reader when a subscription began or ended. One that ended unasked is that of a slot
// which the Cluster moved to another node.
func (s *session) changed(c rueidis.PubSubSubscription) {
	if c.Kind != "sunsubscribe" {
		return
	}
	if c.Channel == s.beat.subject {
		select {
		case s.moved <- struct{}{}:
		default:
		}
		return
	}
	f := s.line.f
	f.mu.Lock()
	defer f.mu.Unlock()
	if sub := f.subs[c.Channel]; sub != nil && sub.on == s || c.Channel == f.lost {
		if sub != nil {
			sub.on = nil
		}
		f.unsettled = true
		f.lapses++
		f.poke()
	}
}

// alarmRaised hears that some node dropped records: they have to be looked up. It is told seldom, but never not at all.
func (f *Feed) alarmRaised() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Since(f.alarmed) < alarmEvery {
		f.alarm = true
		return
	}
	f.alarmed = time.Now()
	f.lapses++
	f.poke()
}
