package redis

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"carillon/backbone"
	"carillon/bus"
	"carillon/channel"
)

// death is a node that has to be given up in one partition.
type death struct {
	node      string
	partition int
}

// ending is a stay whose time is over.
type ending struct {
	member    bus.Member
	partition int
	token     string    // ours on it
	until     time.Time // nobody else tells of it
}

// place is a channel, or a part of the channel "".
type place struct {
	channel   channel.Name
	partition int
}

// Sweep is bus.Roster's. It tells of those that were found a moment ago and forgets them afterwards; it never waits.
func (r *Roster) Sweep(limit int, tell func([]bus.Member)) error {
	now := time.Now()
	var gone []ending
	var ms []bus.Member
	r.mu.Lock()
	for len(r.ended) > 0 && len(gone) < limit {
		if e := r.ended[0]; now.Before(e.until) {
			gone, ms = append(gone, e), append(ms, e.member)
		} // else it was found too long ago, and is found again
		r.ended = r.ended[1:]
	}
	r.mu.Unlock()
	if len(gone) == 0 {
		return nil
	}
	tell(ms)
	r.mu.Lock()
	r.over = append(r.over, gone...)
	r.mu.Unlock()
	rouse(r.sweeper)
	return nil
}

// sweep is the goroutine that finds stays whose time is over, forgets those that were told, and takes leave for dead nodes.
func (r *Roster) sweep() {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		select {
		case <-r.ctx.Done():
			return
		case <-r.sweeper:
			r.bury()
			r.end()
		case <-ticker.C:
			r.end()
			r.find()
		case done := <-r.looks:
			r.end()
			r.find()
			close(done)
		}
	}
}

// find looks for stays whose time is over, in the districts that are this node's to sweep.
func (r *Roster) find() {
	var steps []step
	var at []int
	r.mu.Lock()
	for _, d := range r.districts {
		if d.sweeps && d.synced && len(r.ended) < maxEnded {
			keys := []string{r.b.PartitionKey("roster", d.number), r.b.PartitionKey("away", d.number)}
			steps = append(steps, step{r.scripts.due, keys, []string{millis(r.o.ahead()), decimal(dueAtOnce)}})
			at = append(at, d.number)
		}
	}
	r.mu.Unlock()
	due := make(map[place][]string)
	for i, a := range run(r.ctx, r.b, steps) {
		found, err := a.AsStrSlice()
		if err != nil {
			r.o.Log.Debug("roster: redis did not say whose time is over", "error", err)
		}
		for _, f := range found {
			if n, user, ok := strings.Cut(f, "\x00"); ok {
				p := place{channel.Name(n), at[i]}
				due[p] = append(due[p], user)
			}
		}
	}
	r.claim(due)
}

// claim makes sure that this node alone tells of stays, and hands them to Sweep.
func (r *Roster) claim(due map[place][]string) {
	var steps []step
	var places []place
	r.mu.Lock()
	r.tokens++
	token := fmt.Sprintf("%s.%d", r.node, r.tokens)
	r.mu.Unlock()
	for p, users := range due {
		args := r.args(p.channel, r.node, token, millis(tellWithin))
		steps = append(steps, step{r.scripts.claim, r.keys(p.partition, p.channel, r.node), append(args, users...)})
		places = append(places, p)
	}
	until := time.Now().Add(tellWithin / 2)
	for len(steps) > 0 {
		n := min(stepsAtOnce, len(steps))
		for i, a := range run(r.ctx, r.b, steps[:n]) {
			fields, err := a.AsStrSlice()
			if err != nil || len(fields) == 0 {
				continue // found again
			}
			r.mu.Lock()
			for f := fields[1:]; len(f) >= 3; f = f[3:] {
				m := bus.Member{Channel: places[i].channel, User: f[0], Since: inMillis(f[1]), Watched: fields[0] == "1"}
				r.ended = append(r.ended, ending{m, places[i].partition, token, until})
			}
			r.mu.Unlock()
		}
		steps, places = steps[n:], places[n:]
	}
}

// end forgets stays that were told to be over. What Redis does not take is tried again while nobody else may tell of it.
func (r *Roster) end() {
	r.mu.Lock()
	over := r.over
	r.over = nil
	r.mu.Unlock()
	type told struct {
		place
		token string
	}
	groups := make(map[told][]ending)
	for _, e := range over {
		t := told{place{e.member.Channel, e.partition}, e.token}
		groups[t] = append(groups[t], e)
	}
	var steps []step
	var sent [][]ending
	for t, es := range groups {
		args := r.args(t.channel, r.node, t.token)
		for _, e := range es {
			args = append(args, e.member.User)
		}
		steps = append(steps, step{r.scripts.end, r.keys(t.partition, t.channel, r.node), args})
		sent = append(sent, es)
	}
	for len(steps) > 0 {
		n := min(stepsAtOnce, len(steps))
		for i, a := range run(r.ctx, r.b, steps[:n]) {
			if a.Error() == nil {
				continue
			}
			r.mu.Lock()
			for _, e := range sent[i] {
				if time.Now().Before(e.until) {
					r.over = append(r.over, e)
				}
			}
			r.mu.Unlock()
		}
		steps, sent = steps[n:], sent[n:]
	}
}

// bury takes leave for nodes that are dead.
func (r *Roster) bury() {
	r.mu.Lock()
	dead := r.dead
	r.dead = nil
	r.mu.Unlock()
	var steps []step
	for _, d := range dead {
		if r.ctx.Err() != nil || !r.shed(d.node, d.partition, false) {
			continue // a later sign finds it again
		}
		steps = append(steps, step{r.scripts.bury,
			[]string{r.b.PartitionKey("roster", d.partition), r.b.PartitionKey("own."+d.node, d.partition)},
			[]string{d.node, millis(r.o.Dead)},
		})
		if len(steps) == stepsAtOnce {
			run(r.ctx, r.b, steps)
			steps = nil
		}
	}
	run(r.ctx, r.b, steps)
}

// shed takes the leave of all users that a node has in a partition. It is false if it could not be done, or the node lives.
func (r *Roster) shed(node string, partition int, self bool) bool {
	limit := ""
	if !self {
		limit = millis(r.o.Dead)
	}
	c := r.b.Client()
	own := r.b.PartitionKey("own."+node, partition)
	names, err := c.Do(r.ctx, c.B().Smembers().Key(own).Build()).AsStrSlice()
	if err != nil {
		return false
	}
	for _, n := range names {
		keys := r.keys(partition, channel.Name(n), node)
		for cursor := "0"; ; {
			s := step{r.scripts.shed, keys, r.args(channel.Name(n), node, cursor, limit)}
			next, err := run(r.ctx, r.b, []step{s})[0].ToString()
			if err != nil || next == "" {
				return false
			}
			if cursor = next; cursor == "0" {
				break
			}
		}
	}
	return true
}

var (
	errNoAnswer = errors.New("redis answered nothing that is known here")
	errStranger = errors.New("redis lacks what this node told it: it is told again")
)

// errAnswer is why an answer cannot be used.
func errAnswer(err error) error {
	if err == nil {
		return errNoAnswer
	}
	return err
}

// partitions of a channel.
func partitionsOf(n channel.Name) (all []int) {
	if n != "" {
		return []int{backbone.Partition(n)}
	}
	for p := range backbone.Partitions {
		all = append(all, p)
	}
	return all
}
