package redis

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"carillon/backbone"
	"carillon/channel"
	"carillon/journal"

	"github.com/redis/rueidis"
)

// headsCall is how many heads one call asks for.
const headsCall = 256

// ready tells whether there is any use in asking Redis about these channels.
func (j *Journal) ready(ctx context.Context, ns ...channel.Name) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if j.closed.Load() {
		return journal.ErrClosed
	}
	for _, n := range ns {
		if j.lane(n).isAway() {
			return journal.ErrUnavailable
		}
	}
	return nil
}

// page is what read.lua replies.
type page struct {
	head, oldest channel.Position
	asked        uint64 // tag at the offset asked for
	hasAsked     bool
	more         bool
	records      []channel.Record // in log order
	damage       *journal.Damage  // why records ends; behind its last forwards, before its first backwards
}

// Read is journal.Reader's.
func (j *Journal) Read(ctx context.Context, n channel.Name, q journal.Query) (journal.Page, error) {
	if err := j.ready(ctx, n); err != nil {
		return journal.Page{}, err
	}
	back := ""
	if q.Back {
		back = "1"
	}
	a := call{
		keys: []string{j.bone.PartitionKey("cell", j.cell(n)), j.bone.Key("log", n), j.bone.Key("stream", n)},
		args: []string{
			j.now(), seed(), string(appendKeep(nil, j.policies(n).Retention)), back, strconv.Itoa(q.Max()), strconv.Itoa(journal.MaxPageBytes),
			string(binary.BigEndian.AppendUint64(nil, q.After.Epoch)), strconv.FormatUint(q.After.Offset, 10),
		},
	}
	limited, cancel := context.WithTimeout(ctx, backbone.CallTimeout)
	defer cancel()
	reply, err := readScript.run(limited, j.bone.Client(), a).ToArray()
	if err != nil {
		if ctx.Err() == nil {
			j.lane(n).lost(err)
		}
		return journal.Page{}, unread(ctx, err)
	}
	p, err := parsePage(n, reply, q)
	if err != nil {
		return journal.Page{}, err
	}
	return p.answer(n, q)
}

// answer judges the question and cuts the page to its bounds.
func (p *page) answer(n channel.Name, q journal.Query) (journal.Page, error) {
	out := journal.Page{Head: p.head, Oldest: p.oldest, Base: p.head, More: p.more}
	var err error
	out.Gap, err = journal.Judge(q.After, p.oldest, p.head, func(offset uint64) (uint64, error) {
		if !p.hasAsked {
			return 0, &journal.Damage{Channel: n, Offset: offset, Why: "the record is not in its stream"}
		}
		return p.asked, nil
	})
	if err != nil {
		return journal.Page{}, err
	}
	if out.Gap == channel.GapDiverged || out.Gap == channel.GapAhead || out.Gap != channel.GapNone && q.Back {
		out.More = false
		return out, nil
	}
	if len(p.records) == 0 && p.damage != nil {
		return journal.Page{}, p.damage
	}
	out.More = out.More || p.damage != nil
	keep := fit(p.records, q.Back)
	out.More = out.More || keep < len(p.records)
	if q.Back {
		out.Records = p.records[len(p.records)-keep:]
	} else {
		out.Records = p.records[:keep]
	}
	if keep > 0 {
		first := out.Records[0]
		out.Base = channel.Position{Epoch: p.head.Epoch, Offset: first.At.Offset - 1, Tag: first.Prev}
	}
	return out, nil
}

// fit counts the records of a page, from the end backwards: at least one, then as many as MaxPageBytes of bodies hold.
func fit(rs []channel.Record, back bool) int {
	bytes := 0
	for i := range rs {
		k := i
		if back {
			k = len(rs) - 1 - i
		}
		if bytes += len(rs[k].Body); i > 0 && bytes > journal.MaxPageBytes {
			return i
		}
	}
	return len(rs)
}

// parsePage reads a reply of read.lua. Each record must stand where the one before it says, the first where the question
// says: what does not is damaged, and ends the page.
func parsePage(n channel.Name, reply []rueidis.RedisMessage, q journal.Query) (*page, error) {
	if len(reply) < 7 {
		return nil, errReply
	}
	f := fields{reply: reply}
	epoch := f.word(0)
	p := &page{
		head:   channel.Position{Epoch: epoch, Tag: f.word(1), Offset: f.number(2)},
		oldest: channel.Position{Epoch: epoch, Tag: f.word(3), Offset: f.number(4)},
		more:   f.number(6) == 1,
	}
	if asked := f.text(5); len(asked) == 8 {
		p.asked, p.hasAsked = binary.BigEndian.Uint64([]byte(asked)), true
	}
	if f.err != nil {
		return nil, f.err
	}
	at := p.oldest // the position before the next record, or of the next one backwards
	switch {
	case q.After.Epoch == epoch && q.After.Offset >= p.oldest.Offset:
		at = q.After
	case q.Back:
		at = p.head
	}
	for i := range reply[7:] {
		r, why := parseValue(n, epoch, f.text(7+i))
		if why == "" && (q.Back && r.At != at || !q.Back && (r.Prev != at.Tag || r.At.Offset != at.Offset+1)) {
			why = "the entry is not the next of the chain"
		}
		if why != "" {
			p.damage = &journal.Damage{Channel: n, Offset: due(at, q.Back), Why: why}
			break
		}
		p.records = append(p.records, r)
		if at = r.At; q.Back {
			at = channel.Position{Epoch: epoch, Offset: r.At.Offset - 1, Tag: r.Prev}
		}
	}
	if len(reply) == 7 && p.more {
		p.damage = &journal.Damage{Channel: n, Offset: due(at, q.Back), Why: "the record is not in its stream"}
	}
	if q.Back {
		slices.Reverse(p.records)
	}
	return p, f.err
}

// due is the offset of the record that comes next.
func due(at channel.Position, back bool) uint64 {
	if back {
		return at.Offset
	}
	return at.Offset + 1
}

// parseValue reads a value of a stream and says what is wrong with it: the tag vouches for offset and body.
func parseValue(n channel.Name, epoch uint64, v string) (r channel.Record, why string) {
	if len(v) < 8 {
		return r, "the entry is cut short"
	}
	rs, err := backbone.ParseRecords(v[8:], n)
	switch {
	case err != nil:
		return r, err.Error()
	case len(rs) != 1 || len(rs[0].Body) == 0 || rs[0].Channel != n || rs[0].At.Epoch != epoch || rs[0].Class != channel.Logged:
		return r, "the entry is that of something else"
	}
	r = rs[0]
	if want := (channel.Position{Epoch: epoch, Offset: r.At.Offset - 1, Tag: r.Prev}).Next(r.Body); want != r.At {
		return r, "the entry does not fit its tag"
	}
	return r, ""
}

// Heads is journal.Reader's.
func (j *Journal) Heads(ctx context.Context, ns []channel.Name) ([]channel.Position, error) {
	if err := j.ready(ctx, ns...); err != nil {
		return nil, err
	}
	var calls []call
	var places [][]int // of the names of each call
	open := make(map[int]int)
	for i, n := range ns {
		cell := j.cell(n)
		k, ok := open[cell]
		if !ok || len(places[k]) >= headsCall {
			k = len(calls)
			open[cell] = k
			calls = append(calls, call{keys: []string{j.bone.PartitionKey("cell", cell)}, args: []string{j.now(), seed()}})
			places = append(places, nil)
		}
		calls[k].keys = append(calls[k].keys, j.bone.Key("log", n))
		places[k] = append(places[k], i)
	}
	limited, cancel := context.WithTimeout(ctx, backbone.CallTimeout)
	defer cancel()
	heads := make([]channel.Position, len(ns))
	for k, r := range headsScript.runAll(limited, j.bone.Client(), calls) {
		reply, err := r.ToArray()
		if err != nil {
			if ctx.Err() == nil {
				j.lane(ns[places[k][0]]).lost(err)
			}
			return nil, unread(ctx, err)
		}
		f := fields{reply: reply}
		for i, place := range places[k] {
			heads[place] = channel.Position{Epoch: f.word(0), Tag: f.word(1 + 2*i), Offset: f.number(2 + 2*i)}
		}
		if f.err != nil {
			return nil, f.err
		}
	}
	return heads, nil
}

// Latest is journal.Tables'.
func (j *Journal) Latest(ctx context.Context, n channel.Name) (journal.Table, error) {
	if err := j.ready(ctx, n); err != nil {
		return journal.Table{}, err
	}
	keys := append([]string{j.bone.PartitionKey("cell", j.cell(n)), j.bone.Key("log", n)}, j.tableKeys(n)[:2]...)
	age := max(j.policies(n).Latest.Age.Milliseconds(), 0)
	limited, cancel := context.WithTimeout(ctx, backbone.CallTimeout)
	defer cancel()
	reply, err := latestScript.run(limited, j.bone.Client(), call{keys, []string{j.now(), seed(), strconv.FormatInt(age, 10)}}).ToArray()
	if err != nil {
		if ctx.Err() == nil {
			j.lane(n).lost(err)
		}
		return journal.Table{}, unread(ctx, err)
	}
	f := fields{reply: reply}
	out := journal.Table{Epoch: f.word(0), Rev: f.number(1)}
	if f.err != nil {
		return journal.Table{}, f.err
	}
	for i := 2; i < len(reply); i++ {
		rs, err := backbone.ParseRecords(f.text(i), n)
		if err != nil || len(rs) != 1 || rs[0].Channel != n || rs[0].Class != channel.Latest || len(rs[0].Body) == 0 {
			return journal.Table{}, fmt.Errorf("table of %s: %w", n, errors.Join(journal.ErrDamaged, err, f.err))
		}
		out.Records = append(out.Records, rs[0])
	}
	return out, nil
}

// fields reads a reply of a script; the first thing that is not what it should be is the error.
type fields struct {
	reply []rueidis.RedisMessage
	err   error
}

func (f *fields) text(i int) string {
	if i >= len(f.reply) {
		f.err = errReply
		return ""
	}
	s, err := f.reply[i].ToString()
	if err != nil && f.err == nil {
		f.err = errors.Join(errReply, err)
	}
	return s
}

// word is eight bytes.
func (f *fields) word(i int) uint64 {
	s := f.text(i)
	if len(s) != 8 {
		if f.err == nil {
			f.err = errReply
		}
		return 0
	}
	return binary.BigEndian.Uint64([]byte(s))
}

func (f *fields) number(i int) uint64 {
	if i >= len(f.reply) {
		f.err = errReply
		return 0
	}
	n, err := f.reply[i].ToInt64()
	if err != nil && f.err == nil {
		f.err = errors.Join(errReply, err)
	}
	return uint64(n)
}
