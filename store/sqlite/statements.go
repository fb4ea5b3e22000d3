package sqlite

import (
	"context"
	"database/sql"
)

// serviceStatements are what the committer needs for services and tables.
type serviceStatements struct {
	findFence, raiseFence, touchFence *sql.Stmt

	addSnapshot, dropSnapshots, forgetSnapshots *sql.Stmt
	dropCommands, forgetCommands                *sql.Stmt
	findBody, eraseBody                         *sql.Stmt
	lookTable                                   *sql.Stmt
	findRow, addRow, dropRow, addTerm, dropTerm *sql.Stmt

	addCommands, addAccess, addSends, addSteps, addLatest many
	moveMachines, dropKeys, dropSends                     many
}

func (p *serviceStatements) prepare(ctx context.Context, w *writer) error {
	for stmt, text := range map[**sql.Stmt]string{
		&p.findFence: "SELECT id, n, steps, served FROM fences WHERE service = ? AND shard = ?",
		&p.raiseFence: `INSERT INTO fences (service, shard, n, steps, served) VALUES (?, ?, 1, 0, ?)
			ON CONFLICT (service, shard) DO UPDATE SET n = n + 1, served = excluded.served RETURNING id, n`,
		&p.touchFence:  "UPDATE fences SET steps = ?, served = ? WHERE id = ?",
		&p.addSnapshot: "INSERT OR REPLACE INTO snapshots (channel, version, offset, tag, seal, body) VALUES (?, ?, ?, ?, ?, ?)",
		// Of the snapshots before a new one the newest stays, and the commands after it.
		&p.dropSnapshots: `DELETE FROM snapshots WHERE channel = ?1 AND version <
			(SELECT max(version) FROM snapshots WHERE channel = ?1 AND version < ?2)`,
		&p.dropCommands: `DELETE FROM commands WHERE channel = ?1 AND last <=
			(SELECT max(version) FROM snapshots WHERE channel = ?1 AND version < ?2)`,
		&p.forgetSnapshots: "DELETE FROM snapshots WHERE channel = ? AND version <= ?",
		&p.forgetCommands:  "DELETE FROM commands WHERE channel = ? AND last <= ?",
		&p.findBody:        "SELECT body, hash FROM records WHERE channel = ? AND offset = ?",
		&p.eraseBody:       "UPDATE records SET body = zeroblob(0), hash = ? WHERE channel = ? AND offset = ?",
		&p.lookTable:       "SELECT sender, key, rev, time, length(body) FROM latest WHERE channel = ? ORDER BY rev",
		&p.findRow:         "SELECT id, rank, terms FROM rows WHERE service = ? AND kind = ? AND key = ?",
		&p.addRow: `INSERT INTO rows (service, kind, key, rank, terms, body) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT (service, kind, key) DO UPDATE SET rank = excluded.rank, terms = excluded.terms, body = excluded.body`,
		&p.dropRow:  "DELETE FROM rows WHERE id = ?",
		&p.addTerm:  "INSERT OR IGNORE INTO terms (service, kind, term, rank, key) VALUES (?, ?, ?, ?, ?)",
		&p.dropTerm: "DELETE FROM terms WHERE service = ? AND kind = ? AND term = ? AND rank = ? AND key = ?",
	} {
		if err := w.prepare(ctx, stmt, text); err != nil {
			return err
		}
	}
	for m, text := range map[*many][2]string{
		&p.addCommands: {"INSERT INTO commands (channel, first, last, seal, body) VALUES %rows%", "(?,?,?,?,?)"},
		&p.addAccess: {`INSERT INTO access (channel, user, rights, version) VALUES %rows%
			ON CONFLICT (channel, user) DO UPDATE SET rights = excluded.rights, version = excluded.version`, "(?,?,?,?)"},
		&p.addSends: {"INSERT INTO sends (shard, source, version, place, target, binary, body) VALUES %rows%", "(?,?,?,?,?,?,?)"},
		&p.addSteps: {"INSERT INTO steps (shard, first, last, time, body) VALUES %rows%", "(?,?,?,?,?)"},
		&p.addLatest: {`INSERT INTO latest (channel, sender, key, rev, time, binary, body) VALUES %rows%
			ON CONFLICT (channel, sender, key) DO UPDATE SET rev = excluded.rev, time = excluded.time, binary = excluded.binary,
			body = excluded.body`, "(?,?,?,?,?,?,?)"},
		&p.moveMachines: {`INSERT INTO channels (id, name, head, tag, oldest, oldest_tag, bytes, last, rev, version, commanded, shard, wake)
			VALUES %rows% ON CONFLICT (id) DO UPDATE SET ` + movedColumns + `, version = excluded.version,
			commanded = excluded.commanded, shard = excluded.shard, wake = excluded.wake`, "(?,?,?,?,?,?,?,?,?,?,?,?,?)"},
		&p.dropKeys:  {"DELETE FROM latest WHERE (channel, sender, key) IN (VALUES %rows%)", "(?,?,?)"},
		&p.dropSends: {"DELETE FROM sends WHERE (ticket, shard) IN (VALUES %rows%)", "(?,?)"},
	} {
		if err := w.prepareMany(ctx, m, text); err != nil {
			return err
		}
	}
	return nil
}

// serviceReads are what readers need for services and tables.
type serviceReads struct {
	table, entries                       *sql.Stmt
	machine, newest, snapshots, commands *sql.Stmt
	fence, fences, sends, timers, steps  *sql.Stmt
	places                               *sql.Stmt
	ids                                  idReads
	rights                               many
}

func (p *serviceReads) prepare(ctx context.Context, db *sql.DB) (err error) {
	for stmt, text := range map[**sql.Stmt]string{
		&p.table:     "SELECT id, rev FROM channels WHERE name = ?",
		&p.entries:   "SELECT sender, key, rev, time, binary, body FROM latest WHERE channel = ? ORDER BY rev",
		&p.machine:   "SELECT id, head, tag, version, commanded, ifnull(wake, 0) FROM channels WHERE name = ?",
		&p.newest:    `SELECT version, offset, tag, seal, body FROM snapshots WHERE channel = ? ORDER BY version DESC LIMIT 1`,
		&p.snapshots: `SELECT version, offset, tag, seal, body FROM snapshots WHERE channel = ? ORDER BY version`,
		&p.commands:  "SELECT first, last, seal, body FROM commands WHERE channel = ? AND last > ? ORDER BY last",
		&p.fence:     "SELECT id, n FROM fences WHERE service = ? AND shard = ?",
		&p.fences:    "SELECT id, service, shard, steps FROM fences WHERE steps > 0 ORDER BY id",
		&p.sends: `SELECT ticket, source, version, place, target, binary, body FROM sends
			WHERE shard = ? AND ticket > ? ORDER BY ticket LIMIT ?`,
		&p.timers: "SELECT name, version, wake FROM channels WHERE shard = ? AND wake IS NOT NULL ORDER BY wake LIMIT ?",
		&p.places: "SELECT key FROM id_places WHERE key > ? ORDER BY key LIMIT ?",
		&p.steps:  "SELECT first, last, time, body FROM steps WHERE shard = ? AND last > ? ORDER BY last LIMIT ?",
	} {
		if *stmt, err = db.PrepareContext(ctx, text); err != nil {
			return err
		}
	}
	if err = p.ids.prepare(ctx, db); err != nil {
		return err
	}
	p.rights, err = prepareMany(ctx, db, `WITH g (name, user) AS (VALUES %rows%)
		SELECT g.name, g.user, a.user, a.rights, a.version FROM g CROSS JOIN channels c ON c.name = g.name
		CROSS JOIN access a ON a.channel = c.id AND a.user IN (g.user, '')`, "(?,?)")
	return err
}

func (p *serviceReads) close() {
	for _, stmt := range []*sql.Stmt{p.table, p.entries, p.machine, p.newest, p.snapshots, p.commands, p.fence, p.fences,
		p.sends, p.timers, p.steps, p.places} {
		if stmt != nil {
			_ = stmt.Close()
		}
	}
	_ = p.ids.close()
	_ = p.rights.close()
}
