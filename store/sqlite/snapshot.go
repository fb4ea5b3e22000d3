package sqlite

import (
	"context"
	"crypto/sha1"
	"database/sql"
	"errors"
	"fmt"

	"carillon/channel"
	"carillon/store"
)

// snapshotWork is a snapshot that waits for the other rows of its batch.
type snapshotWork struct {
	log     *logWork
	version uint64
	head    channel.Position
	body    []byte
	erase   []uint64
}

// snapshot keeps the state of a channel as of now; with erase, it is the only thing that is left from before.
func (b *batchWork) snapshot(st *logWork, body []byte, erase []uint64) {
	if st.version == 0 || body == nil {
		return // of a channel without a change there is nothing to keep
	}
	if len(erase) > 0 {
		st.pack = store.CommandPack{}
	}
	b.flushPack(st)
	b.snapshots = append(b.snapshots, snapshotWork{log: st, version: st.version, head: st.head, body: body, erase: erase})
}

// keepSnapshots writes the snapshots of a batch, and drops what no longer proves anything: all before the older of the two
// that stay, or before the new one if it erases.
func (w *writer) keepSnapshots(ctx context.Context, b *batchWork) error {
	for i := range b.snapshots {
		s := &b.snapshots[i]
		if len(s.erase) > 0 {
			if err := w.erase(ctx, s); err != nil {
				return err
			}
		}
		id, version := s.log.id, int64(s.version)
		_, err := w.service.addSnapshot.ExecContext(ctx, id, version, int64(s.head.Offset), int64(s.head.Tag),
			store.SealPlace(s.log.name, s.version, s.body), s.body)
		if err != nil {
			return err
		}
		if len(s.erase) > 0 {
			continue
		}
		for _, stmt := range []*sql.Stmt{w.service.dropCommands, w.service.dropSnapshots} {
			if _, err := stmt.ExecContext(ctx, id, version); err != nil {
				return err
			}
		}
	}
	return nil
}

// erase takes the bodies out of the log and everything before the snapshot that might hold them. The connection overwrites whatever it deletes (secure_delete).
func (w *writer) erase(ctx context.Context, s *snapshotWork) error {
	for _, offset := range s.erase {
		if err := w.eraseOne(ctx, s.log, offset); err != nil {
			return err
		}
	}
	for _, stmt := range []*sql.Stmt{w.service.forgetCommands, w.service.forgetSnapshots} {
		if _, err := stmt.ExecContext(ctx, s.log.id, int64(s.version)); err != nil {
			return err
		}
	}
	w.erased = true
	return nil
}

// eraseOne empties one record and leaves its hash. A record that is gone or empty already stays as it is.
func (w *writer) eraseOne(ctx context.Context, st *logWork, offset uint64) error {
	var body, hash []byte
	err := w.service.findBody.QueryRowContext(ctx, st.id, int64(offset)).Scan(&body, &hash)
	if errors.Is(err, sql.ErrNoRows) || err == nil && hash != nil {
		return nil
	}
	if err != nil {
		return err
	}
	sum := sha1.Sum(body)
	st.bytes -= int64(len(body))
	_, err = w.service.eraseBody.ExecContext(ctx, sum[:], st.id, int64(offset))
	return err
}

// sweepErased empties the log file after an erasure, for the bodies still stand in it.
func (w *writer) sweepErased(ctx context.Context) {
	if !w.erased || w.conn == nil {
		return
	}
	// A reader in the way must not hold up those who wait for a commit.
	if _, err := w.conn.ExecContext(ctx, "PRAGMA busy_timeout = 0"); err != nil {
		return
	}
	defer func() { _, _ = w.conn.ExecContext(ctx, fmt.Sprintf("PRAGMA busy_timeout = %d", busyTimeout)) }()
	var busy, pages, moved int
	err := w.conn.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &pages, &moved)
	w.erased = err != nil || busy != 0 // a reader was in the way: the next round tries again
}
