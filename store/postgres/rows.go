package postgres

import (
	"crypto/sha1"

	"carillon/store"

	"github.com/jackc/pgx/v5"
)

// What a Commit writes beside logs. Each statement writes all rows of its table.
const (
	wipeCommands = `DELETE FROM commands k USING unnest($1::bigint[], $2::bigint[]) AS w (id, upto) WHERE k.channel = w.id AND k.last <= w.upto`

	wipeSnapshots = `DELETE FROM snapshots s USING unnest($1::bigint[], $2::bigint[]) AS w (id, upto) WHERE s.channel = w.id AND s.version <= w.upto`

	addCommands = `INSERT INTO commands (channel, first, last, seal, body)
		SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bytea[])`

	addSnapshots = `INSERT INTO snapshots (channel, version, "offset", tag, seal, body)
		SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bytea[])
		ON CONFLICT (channel, version) DO UPDATE SET "offset" = excluded."offset", tag = excluded.tag, seal = excluded.seal, body = excluded.body`

	// olderSnapshots are the last but one of each channel: what comes before them proves nothing any more.
	olderSnapshots = `(SELECT c.id, (SELECT version FROM snapshots WHERE channel = c.id ORDER BY version DESC OFFSET 1 LIMIT 1) AS version
		FROM unnest($1::bigint[]) AS c (id)) AS older`

	pruneCommands = `DELETE FROM commands k USING ` + olderSnapshots + ` WHERE k.channel = older.id AND k.last <= older.version`

	pruneSnapshots = `DELETE FROM snapshots s USING ` + olderSnapshots + ` WHERE s.channel = older.id AND s.version < older.version`

	addAccess = `INSERT INTO access (channel, "user", rights, version)
		SELECT * FROM unnest($1::bigint[], $2::bytea[], $3::smallint[], $4::bigint[])
		ON CONFLICT (channel, "user") DO UPDATE SET rights = excluded.rights, version = excluded.version`

	// Tickets are given in the order of place, under the lock of the fence: none comes after a higher one.
	addSends = `INSERT INTO sends (shard, source, version, place, target, "binary", body)
		SELECT s.shard, s.source, s.version, s.place, s.target, s."binary", s.body
		FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[], $5::text[], $6::boolean[], $7::bytea[]) WITH ORDINALITY
		AS s (shard, source, version, place, target, "binary", body, n) ORDER BY s.n`

	eraseBodies = `UPDATE records r SET body = '', hash = e.hash FROM unnest($1::bigint[], $2::bigint[], $3::bytea[]) AS e (channel, "offset", hash)
		WHERE r.channel = e.channel AND r."offset" = e."offset" AND r.hash IS NULL`

	addSteps = `INSERT INTO steps (shard, first, last, time, body)
		SELECT s.shard, s.first, s.last, $4, s.body FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $5::bytea[]) AS s (shard, first, last, body)`

	// If a fence is not as it was found or is remembered, the transaction ends.
	countSteps = `WITH counted AS (UPDATE fences f SET steps = m.steps, served = m.served
		FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[]) AS m (id, n, was, steps, served)
		WHERE f.id = m.id AND f.n = m.n AND f.steps = m.was RETURNING 1) SELECT carillon_moved((SELECT count(*) FROM counted), $6)`
)

// queue has a batch write everything; false: there is nothing to write.
func (k *commit) queue(to *pgx.Batch) bool {
	k.shrink()
	for _, m := range k.logs {
		m.flush()
	}
	counted := k.queueFences(to)
	k.b.queue(to)
	k.queueErased(to)
	k.queueKept(to)
	k.queueAccess(to)
	k.queueSends(to)
	for _, s := range k.states {
		s.queue(to)
	}
	k.queueSteps(to)
	return counted || !k.b.empty() || len(k.logs) > 0
}

// shrink takes erased bodies out of the sizes of their logs, unless the records were trimmed.
func (k *commit) shrink() {
	for p, st := range k.erased {
		if p.offset > st.oldest.Offset {
			st.bytes -= int64(len(k.bodies[p]))
			st.moved = true
		}
	}
}

func (k *commit) queueErased(to *pgx.Batch) {
	var channels, offsets []int64
	var hashes [][]byte
	for p, st := range k.erased {
		sum := sha1.Sum(k.bodies[p])
		channels, offsets, hashes = append(channels, st.id), append(offsets, int64(p.offset)), append(hashes, sum[:])
	}
	if len(channels) > 0 {
		to.Queue(eraseBodies, channels, offsets, hashes)
	}
}

// queueKept writes commands and snapshots, after what erasures wipe away, and then drops what no longer proves anything.
func (k *commit) queueKept(to *pgx.Batch) {
	var wiped, upto, pruned []int64
	var c, s struct {
		channels, first, last, offsets, tags, seals []int64
		bodies                                      [][]byte
	}
	for st, m := range k.logs {
		if m.wiped > 0 {
			wiped, upto = append(wiped, st.id), append(upto, int64(m.wiped))
		}
		for i := range m.commands {
			r := &m.commands[i]
			c.channels, c.first, c.last = append(c.channels, st.id), append(c.first, int64(r.First)), append(c.last, int64(r.Last))
			c.seals, c.bodies = append(c.seals, r.Seal), append(c.bodies, r.Body)
		}
		for i := range m.snapshots {
			r := &m.snapshots[i]
			s.channels, s.last, s.offsets = append(s.channels, st.id), append(s.last, int64(r.Version)), append(s.offsets, int64(r.At.Offset))
			s.tags, s.seals, s.bodies = append(s.tags, int64(r.At.Tag)), append(s.seals, r.Seal), append(s.bodies, r.Body)
		}
		if len(m.snapshots) > 0 {
			pruned = append(pruned, st.id)
		}
	}
	if len(wiped) > 0 {
		to.Queue(wipeCommands, wiped, upto)
		to.Queue(wipeSnapshots, wiped, upto)
	}
	if len(c.channels) > 0 {
		to.Queue(addCommands, c.channels, c.first, c.last, c.seals, c.bodies)
	}
	if len(pruned) > 0 {
		to.Queue(addSnapshots, s.channels, s.last, s.offsets, s.tags, s.seals, s.bodies)
		to.Queue(pruneCommands, pruned)
		to.Queue(pruneSnapshots, pruned)
	}
}

func (k *commit) queueAccess(to *pgx.Batch) {
	n := len(k.access)
	if n == 0 {
		return
	}
	channels, users, rights, versions := make([]int64, n), make([]string, n), make([]int16, n), make([]int64, n)
	for i, a := range k.access {
		channels[i], users[i], rights[i], versions[i] = a.log.id, a.user, int16(a.rights), int64(a.version)
	}
	to.Queue(addAccess, channels, users, rights, versions)
}

func (k *commit) queueSends(to *pgx.Batch) {
	n := len(k.sends)
	if n == 0 {
		return
	}
	sources, targets, shards, versions, places := make([]string, n), make([]string, n), make([]int64, n), make([]int64, n), make([]int64, n)
	binaries, bodies := make([]bool, n), make([][]byte, n)
	for i, s := range k.sends {
		sources[i], targets[i], versions[i], places[i] = string(s.log.name), string(s.command.Channel), int64(s.version), int64(s.place)
		shards[i], binaries[i], bodies[i] = s.log.shard, s.command.Binary, store.Blob(s.command.Body)
	}
	to.Queue(addSends, shards, sources, versions, places, targets, binaries, bodies)
}

// queueFences counts steps, which are numbered from the fences, and notes that the shards are served. It comes first, for where
// fences were not locked before it locks them, and proves them.
func (k *commit) queueFences(to *pgx.Batch) bool {
	var ids, ns, was, steps, served []int64
	now := k.b.now.UnixMilli()
	for _, o := range k.offers {
		o.stepped += uint64(o.steps.Count)
		since := now - o.served
		if o.fenced() || !k.b.served && o.steps.Count == 0 && since >= 0 && since < servedEvery.Milliseconds() {
			continue
		}
		o.served = now
		ids, ns, was = append(ids, o.id), append(ns, int64(o.n)), append(was, int64(o.was))
		steps, served = append(steps, int64(o.stepped)), append(served, now)
	}
	if len(ids) > 0 {
		to.Queue(countSteps, ids, ns, was, steps, served, len(ids))
	}
	return len(ids) > 0
}

// queueSteps writes what changes did, a row for each shard.
func (k *commit) queueSteps(to *pgx.Batch) {
	var ids, first, last []int64
	var bodies [][]byte
	for _, o := range k.offers {
		if o.steps.Count > 0 {
			ids, first, last, bodies = append(ids, o.id), append(first, int64(o.was)+1), append(last, int64(o.stepped)), append(bodies, o.steps.Body)
		}
	}
	if len(ids) > 0 {
		to.Queue(addSteps, ids, first, last, k.b.now.UnixMilli(), bodies)
	}
}
