package store

import (
	"encoding/binary"
	"fmt"
	"slices"

	"carillon/channel"
	"carillon/journal"
)

// StepPack gathers the steps of one Commit, which become one row of steps. The zero value is empty.
type StepPack struct {
	Count int
	Body  []byte
}

// Add takes what a change did.
func (p *StepPack) Add(n channel.Name, version uint64, head channel.Position, erased []uint64, access []channel.Access) {
	p.Count++
	p.Body = appendText(p.Body, string(n))
	p.Body = binary.AppendUvarint(p.Body, version)
	p.Body = appendPlace(p.Body, head)
	p.Body = binary.AppendUvarint(p.Body, uint64(len(erased)))
	for _, offset := range erased {
		p.Body = binary.AppendUvarint(p.Body, offset)
	}
	p.Body = binary.AppendUvarint(p.Body, uint64(len(access)))
	for _, a := range access {
		p.Body = append(appendText(p.Body, a.User), byte(a.Rights))
	}
}

// StepRow is a row of steps: those of a Commit, numbered First to Last, and when it was (ms).
type StepRow struct {
	First, Last uint64
	MS          int64
	Body        []byte
}

// ShardTrail is the trail of a shard: its row in fences, its end, and after which step it is followed.
type ShardTrail struct {
	ID    int64
	End   journal.Mark
	After uint64
}

// Moved gives the trails, of those that have steps, that go on after the marks; shards without a mark are followed from their beginning.
// A mark beyond its trail is of one that was lost: journal.ErrTrimmed.
func Moved(trails []ShardTrail, after []journal.Mark) (moved []ShardTrail, err error) {
	type shard struct {
		service string
		number  int
	}
	seen := make(map[shard]uint64, len(after))
	for _, m := range after {
		seen[shard{m.Service, m.Shard}] = m.Seq
	}
	for _, t := range trails {
		k := shard{t.End.Service, t.End.Shard}
		t.After = seen[k]
		delete(seen, k)
		switch {
		case t.After > t.End.Seq:
			return nil, journal.ErrTrimmed
		case t.After < t.End.Seq:
			moved = append(moved, t)
		}
	}
	for _, seq := range seen {
		if seq > 0 {
			return nil, journal.ErrTrimmed
		}
	}
	return moved, nil
}

// Steps reads the rows of a trail after After, by number, and gives at most max steps. Rows from before limit (ms) count as
// gone, whether they are or not: then, and if there is none, it is journal.ErrTrimmed.
func (t *ShardTrail) Steps(epoch uint64, rows []StepRow, limit int64, max int) (steps []journal.Step, err error) {
	next, room := t.After+1, 0
	for i := range rows {
		room += int(min(rows[i].Last-rows[i].First+1, uint64(len(rows[i].Body))))
	}
	steps = make([]journal.Step, 0, min(room, max))
	for i := range rows {
		row := &rows[i]
		if row.First > next || row.MS < limit {
			return nil, journal.ErrTrimmed
		}
		before := len(steps)
		if steps, err = t.unpack(steps, epoch, row); err != nil {
			return nil, fmt.Errorf("steps of %s %d: %w: %w", t.End.Service, t.End.Shard, journal.ErrDamaged, err)
		}
		known := min(next-row.First, uint64(len(steps)-before))
		if steps = slices.Delete(steps, before, before+int(known)); len(steps) >= max {
			return steps[:max], nil
		}
		next = row.Last + 1
	}
	if len(steps) == 0 {
		return nil, journal.ErrTrimmed
	}
	return steps, nil
}

// unpack appends the steps of a row.
func (t *ShardTrail) unpack(steps []journal.Step, epoch uint64, row *StepRow) ([]journal.Step, error) {
	r := unpacker{rest: row.Body, epoch: epoch}
	mark := t.End
	for mark.Seq = row.First; mark.Seq <= row.Last && !r.bad; mark.Seq++ {
		s := journal.Step{Mark: mark, Channel: channel.Name(r.text()), Version: journal.Version(r.uvarint())}
		s.Head = r.place()
		for count := r.uvarint(); count > 0 && !r.bad; count-- {
			s.Erased = append(s.Erased, r.uvarint())
		}
		for count := r.uvarint(); count > 0 && !r.bad; count-- {
			a := channel.Access{Channel: s.Channel, User: r.text(), Version: uint64(s.Version)}
			a.Rights = channel.Rights(r.bytes(1)[0])
			s.Access = append(s.Access, a)
		}
		steps = append(steps, s)
	}
	if r.bad || len(r.rest) > 0 {
		return nil, errPack
	}
	return steps, nil
}

// Rights gathers the answers to grants, of which each is looked up once. Use NewRights.
type Rights struct {
	asked  []journal.Grant
	grants []journal.Grant
	held   map[journal.Grant]channel.Access
	own    map[journal.Grant]bool
}

// NewRights begins with nothing granted.
func NewRights(gs []journal.Grant) *Rights {
	r := &Rights{asked: gs, held: make(map[journal.Grant]channel.Access, len(gs)), own: map[journal.Grant]bool{}}
	for _, g := range gs {
		if _, twice := r.held[g]; !twice {
			r.held[g] = channel.Access{Channel: g.Channel, User: g.User}
			r.grants = append(r.grants, g)
		}
	}
	return r
}

// Grants are what is to be looked up: for each, the entry of its user and that of "".
func (r *Rights) Grants() []journal.Grant { return r.grants }

// Found takes an entry that was found for a grant.
func (r *Rights) Found(g journal.Grant, a channel.Access) {
	if a.User == g.User {
		r.own[g] = true
	} else if r.own[g] {
		return
	}
	r.held[g] = a
}

// Answers are the entries that hold, in the order of the grants asked for.
func (r *Rights) Answers() []channel.Access {
	as := make([]channel.Access, len(r.asked))
	for i, g := range r.asked {
		as[i] = r.held[g]
	}
	return as
}
