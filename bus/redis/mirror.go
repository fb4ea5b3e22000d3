package redis

import (
	"context"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"

	"carillon/backbone"
	"carillon/channel"
	"carillon/observe"

	"github.com/redis/rueidis"
)

// MirrorLasts is how long a mirrored record is to be found after it was last written.
const MirrorLasts = 2 * time.Hour

// Bounds of a Mirror.
const (
	maxMirrored      = 1 << 14               // records that wait, each the newest of its key
	maxMirroredBytes = 16 << 20              // of their bodies
	mirrorBatch      = 256                   // records sent together
	mirrorStep       = 32                    // of them in one step of Redis
	mirrorGathers    = 50 * time.Millisecond // how long the first of them waits for others
	mirrorRests      = time.Second           // after Redis did not take them
)

// Mirror copies Latest records into Redis, where any program reads them with GET: the body under EntryKey("latest", channel,
// key), for MirrorLasts. It is a copy and never the truth: it comes a moment later, leaves out what came in between, and is
// missing where Redis forgot. Nobody waits for it, and no older record takes the place of a newer one, whichever node writes.
type Mirror struct {
	b      *backbone.Backbone
	log    *slog.Logger
	script *rueidis.Lua
	count  MirrorStats
	ctx    context.Context
	cancel context.CancelFunc
	done   sync.WaitGroup
	wake   chan struct{}

	mu      sync.Mutex
	waiting map[mirrored]channel.Record
	order   []mirrored // of waiting, the longest first
	bytes   int
}

// MirrorStats counts records.
type MirrorStats struct {
	Written observe.Counter
	Stale   observe.Counter // Redis had a newer one
	Failed  observe.Counter // attempts that Redis did not take; they are made again
	Dropped observe.Counter // for want of room
}

// mirrored is which record it is.
type mirrored struct {
	channel channel.Name
	key     string
}

// NewMirror makes a mirror that begins to write. Close ends it before the backbone.
func NewMirror(b *backbone.Backbone, log *slog.Logger) *Mirror {
	m := &Mirror{
		b: b, log: log, script: rueidis.NewLuaScriptNoSha(mirrorScript), wake: make(chan struct{}, 1), waiting: make(map[mirrored]channel.Record),
	}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	m.done.Go(m.run)
	return m
}

// mirrorScript writes records, each unless one of the same or a later revision was written before: 1, or 0. Without a body it
// deletes. KEYS of each the record and its revision. ARGV ms to keep, then of each the revision and the body.
const mirrorScript = `
local wrote = {}
for i = 1, #KEYS, 2 do
	local rev, body = ARGV[i + 1], ARGV[i + 2]
	local was = tonumber(redis.call('GET', KEYS[i + 1]) or '0')
	if was >= tonumber(rev) then
		wrote[#wrote + 1] = 0
	else
		redis.call('SET', KEYS[i + 1], rev, 'PX', ARGV[1])
		if body == '' then
			redis.call('DEL', KEYS[i])
		else
			redis.call('SET', KEYS[i], body, 'PX', ARGV[1])
		end
		wrote[#wrote + 1] = 1
	end
end
return wrote`

// Put has a record mirrored. It only enqueues: of a key the newest counts.
func (m *Mirror) Put(r channel.Record) {
	k := mirrored{r.Channel, r.Key}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ctx.Err() != nil || !m.put(k, r) {
		m.count.Dropped.Add(1)
		return
	}
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// put notes a record, unless a newer one waits; false: there is no room. m.mu is held.
func (m *Mirror) put(k mirrored, r channel.Record) bool {
	old, known := m.waiting[k]
	grows := len(r.Body) - len(old.Body)
	switch {
	case known && old.Rev >= r.Rev:
		return true
	case !known && len(m.waiting) >= maxMirrored || grows > 0 && m.bytes+grows > maxMirroredBytes:
		return false
	case !known:
		m.order = append(m.order, k)
	}
	m.waiting[k] = r
	m.bytes += grows
	return true
}

// Counts are the mirror's counters.
func (m *Mirror) Counts() *MirrorStats { return &m.count }

// Close ends it. What waits is dropped.
func (m *Mirror) Close() {
	m.cancel()
	m.done.Wait()
}

func (m *Mirror) run() {
	for m.ctx.Err() == nil {
		select {
		case <-m.wake:
		case <-m.ctx.Done():
			return
		}
		pause(m.ctx, mirrorGathers)
		for batch := m.take(); len(batch) > 0 && m.ctx.Err() == nil; batch = m.take() {
			if !m.write(batch) {
				pause(m.ctx, mirrorRests)
			}
		}
	}
}

// take gives what has waited longest.
func (m *Mirror) take() []channel.Record {
	m.mu.Lock()
	defer m.mu.Unlock()
	batch := make([]channel.Record, 0, min(len(m.order), mirrorBatch))
	for _, k := range m.order[:cap(batch)] {
		batch = append(batch, m.waiting[k])
		m.bytes -= len(m.waiting[k].Body)
		delete(m.waiting, k)
	}
	if m.order = m.order[len(batch):]; len(m.order) == 0 {
		m.order = nil
	}
	return batch
}

// write has Redis take a batch. What it does not take waits again; false if there was any.
func (m *Mirror) write(batch []channel.Record) bool {
	ctx, cancel := context.WithTimeout(m.ctx, backbone.CallTimeout)
	defer cancel()
	together := mirrorStep
	if m.b.Clustered() {
		together = 1 // keys of different channels live on different nodes
	}
	parts := slices.Collect(slices.Chunk(batch, together))
	steps := make([]rueidis.LuaExec, len(parts))
	for i, part := range parts {
		steps[i].Args = []string{decimal(MirrorLasts.Milliseconds())}
		for j := range part {
			r := &part[j]
			steps[i].Keys = append(steps[i].Keys, m.b.EntryKey("latest", r.Channel, r.Key), m.b.EntryKey("latest-rev", r.Channel, r.Key))
			steps[i].Args = append(steps[i].Args, strconv.FormatUint(r.Rev, 10), rueidis.BinaryString(r.Body))
		}
	}
	var failed error
	for i, result := range m.script.ExecMulti(ctx, m.b.Client(), steps...) {
		wrote, err := result.AsIntSlice()
		if err == nil && len(wrote) != len(parts[i]) {
			err = errForm
		}
		if err != nil {
			failed = err
			m.count.Failed.Add(uint64(len(parts[i])))
			for _, r := range parts[i] {
				m.again(r)
			}
			continue
		}
		for _, n := range wrote {
			m.count.Written.Add(uint64(n))
			m.count.Stale.Add(uint64(1 - n))
		}
	}
	if failed != nil {
		m.log.Debug("records are not mirrored: Redis does not take them", "cause", failed)
	}
	return failed == nil
}

// again has a record wait once more, unless there is a newer one.
func (m *Mirror) again(r channel.Record) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.put(mirrored{r.Channel, r.Key}, r) {
		m.count.Dropped.Add(1)
	}
}
