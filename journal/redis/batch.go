package redis

import (
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"strconv"
	"time"

	"carillon/backbone"
	"carillon/channel"
	"carillon/journal"

	"github.com/redis/rueidis"
)

// forget is how long a channel's state outlives its records: at least a PERIOD of prelude.lua, so that nobody who held a
// position takes the log's next life for the one he knew.
const forget = 30 * 24 * time.Hour

// What a record is, in the batch.
const (
	kindLatest = 1
	kindBinary = 2
	kindHasID  = 4
)

// Outcomes of a record, and their length in a reply: outcome, offset, tag.
const (
	outcomeDone    = 0
	outcomeReuse   = 1
	outcomeUnknown = 2
	outcomeAgain   = 3 // done before
	outcomeBytes   = 1 + 8 + 8
)

// batch is one run of append.lua.
type batch struct {
	j      *Journal
	groups []*group
	call   call
}

// group is the records of one channel, in the order of their appends.
type group struct {
	name    channel.Name
	entries []*entry
	tabled  bool
}

func (j *Journal) batch(cell int, es []entry) *batch {
	b := &batch{j: j}
	index := make(map[channel.Name]*group)
	for i := range es {
		e := &es[i]
		g := index[e.record.Channel]
		if g == nil {
			g = &group{name: e.record.Channel}
			index[g.name] = g
			b.groups = append(b.groups, g)
		}
		g.entries = append(g.entries, e)
		g.tabled = g.tabled || e.record.Class == channel.Latest
	}
	var ids []byte
	for _, g := range b.groups {
		for _, e := range g.entries {
			if e.record.ID != "" {
				ids = append(ids, e.id[:]...)
			}
		}
	}
	verb, wanted := "PUBLISH", ""
	if j.bone.Clustered() {
		verb = "SPUBLISH"
	}
	if j.carry != nil {
		wanted = "1"
	}
	b.call.keys = append(make([]string, 0, 4+5*len(b.groups)), j.bone.PartitionKey("cell", cell),
		j.bone.PartitionKey("ids0", cell), j.bone.PartitionKey("ids1", cell), j.bone.PartitionKey("ids2", cell))
	b.call.args = append(make([]string, 0, 6+3*len(b.groups)+2*len(es)), j.now(), seed(), strconv.Itoa(j.ids), verb, wanted, string(ids))
	for _, g := range b.groups {
		b.add(g)
	}
	return b
}

// add writes a group as append.lua reads it.
func (b *batch) add(g *group) {
	policy := b.j.policies(g.name)
	b.call.keys = append(b.call.keys, b.j.bone.Key("log", g.name), b.j.bone.Key("stream", g.name))
	head := binary.BigEndian.AppendUint32(make([]byte, 0, 64), uint32(len(g.entries)))
	head = appendKeep(head, policy.Retention)
	head = appendMS(head, policy.Retention.Age)
	head = appendMS(head, life(policy.Retention.Age))
	head = appendMS(head, life(policy.Latest.Age))
	tabled := byte(0)
	if g.tabled {
		tabled = 1
	}
	b.call.args = append(b.call.args, string(append(head, tabled)), b.j.bone.Subject(g.name))
	if g.tabled {
		b.call.keys = append(b.call.keys, b.j.tableKeys(g.name)...)
		table := appendKeep(make([]byte, 0, 40), policy.Latest)
		b.call.args = append(b.call.args, string(binary.BigEndian.AppendUint64(table, uint64(max(policy.LatestEach, 0)))))
	}
	for _, e := range g.entries {
		head, behind := e.form()
		b.call.args = append(b.call.args, head, behind)
	}
}

func (j *Journal) tableKeys(n channel.Name) []string {
	return []string{j.bone.Key("table", n), j.bone.Key("order", n), j.bone.Key("held", n)}
}

func appendKeep(b []byte, k channel.Keep) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(max(k.Records, 0)))
	b = binary.BigEndian.AppendUint64(b, uint64(max(k.Bytes, 0)))
	return appendMS(b, k.Age)
}

func appendMS(b []byte, d time.Duration) []byte {
	return binary.BigEndian.AppendUint64(b, uint64(max(d.Milliseconds(), 0)))
}

// life is how long what has an age is remembered after its last change; 0 for ever, as what has none.
func life(age time.Duration) time.Duration {
	if age <= 0 {
		return 0
	}
	return age + forget
}

// form is the record as append.lua takes it: what it is with the form before its place, and the form behind it.
func (e *entry) form() (head, behind string) {
	r := e.record
	var kind byte
	if r.Class == channel.Latest {
		kind = kindLatest
		r.Origin, r.NoEcho = 0, false
	} else {
		r.Key = ""
	}
	if r.Binary {
		kind |= kindBinary
	}
	if r.ID != "" {
		kind |= kindHasID
	}
	b := append(make([]byte, 0, 64+len(r.Channel)+len(r.From)+len(r.Key)+len(r.Body)), kind)
	b = appendMS(b, r.Age)
	b = binary.BigEndian.AppendUint32(b, uint32(len(r.Body)))
	b = append(b, e.hash[:]...)
	b = backbone.AppendBefore(b, &r)
	cut := len(b)
	b = backbone.AppendBehind(b, &r)
	all := rueidis.BinaryString(b)
	return all[:cut], all[cut:]
}

// latestHash is what an idempotency id of a Latest record stands for: the same body under another key is another request.
func latestHash(r *channel.Record) (sum [sha1.Size]byte) {
	h := sha1.New()
	h.Write(binary.AppendUvarint([]byte("latest"), uint64(len(r.Key))))
	h.Write([]byte(r.Key))
	h.Write(r.Body)
	h.Sum(sum[:0])
	return sum
}

var errReply = errors.New("redis answered something else than the script says; do all nodes run the same build?")

// deliver hands out what append.lua replied: each channel's records, then its answers, in order.
func (b *batch) deliver(reply []rueidis.RedisMessage) {
	each := 1
	if b.j.carry != nil {
		each = 2
	}
	if len(reply) != 2+each*len(b.groups) {
		b.fail(b.groups, errReply)
		return
	}
	if why, _ := reply[1].ToString(); why != "" {
		b.j.complain(why)
	}
	first, _ := reply[0].ToString()
	if len(first) != 8 {
		b.fail(b.groups, errReply)
		return
	}
	epoch := binary.BigEndian.Uint64([]byte(first))
	for i, g := range b.groups {
		outcomes, _ := reply[2+each*i].ToString()
		if len(outcomes) != outcomeBytes*len(g.entries) {
			b.fail(b.groups[i:i+1], errReply)
			continue
		}
		if b.j.carry != nil {
			b.tell(&reply[3+each*i])
		}
		for k, e := range g.entries {
			outcome := outcomes[outcomeBytes*k : outcomeBytes*(k+1)]
			if outcome[0] == outcomeDone && b.j.counted != nil {
				b.j.counted(e.record.Class, 1)
			}
			e.answer(epoch, []byte(outcome))
		}
	}
}

// tell carries what became true.
func (b *batch) tell(m *rueidis.RedisMessage) {
	form, err := m.ToString()
	if err != nil || form == "" {
		return
	}
	rs, err := backbone.ParseRecords(form, "")
	if err != nil {
		b.j.log.Error("records are true, but cannot be read back to be carried", "error", err)
		return
	}
	b.j.carry(rs)
}

func (b *batch) fail(groups []*group, err error) {
	for _, g := range groups {
		for _, e := range g.entries {
			e.done(channel.Position{}, errors.Join(journal.ErrUnconfirmed, err))
		}
	}
}

func (e *entry) answer(epoch uint64, outcome []byte) {
	switch outcome[0] {
	case outcomeDone, outcomeAgain:
		var at channel.Position
		if e.record.Class == channel.Logged {
			at = channel.Position{Epoch: epoch, Offset: binary.BigEndian.Uint64(outcome[1:]), Tag: binary.BigEndian.Uint64(outcome[9:])}
		}
		e.done(at, nil)
	case outcomeReuse:
		e.done(channel.Position{}, journal.ErrReuse)
	case outcomeUnknown:
		e.done(channel.Position{}, journal.ErrUnknown)
	default:
		e.done(channel.Position{}, errors.Join(journal.ErrUnconfirmed, errReply))
	}
}

// complain says now and then that records were made true but not announced.
func (j *Journal) complain(why string) {
	now := time.Now().Unix()
	last := j.complained.Load()
	if now-last >= int64(complainMin/time.Second) && j.complained.CompareAndSwap(last, now) {
		j.log.Error("redis keeps records but does not announce them; allow this user PUBLISH and SPUBLISH", "error", why)
	}
}
