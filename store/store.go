// Package store owns what lies on disk: the schema of each database and its migrations, and how long things must be kept
// there. It opens no database and runs no query; store/sqlite does. Start with SQLite.
package store

import (
	"embed"
	"io/fs"
	"time"
)

//go:embed migrations
var migrations embed.FS

// SQLite are the goose migrations of a SQLite database, in the root of the file system.
func SQLite() fs.FS {
	sub, err := fs.Sub(migrations, "migrations/sqlite")
	if err != nil {
		panic(err) // the path is a constant of this file
	}
	return sub
}

const (
	// IDsKnown is how long an idempotency id is known at least. Older resends are answered journal.ErrUnknown.
	IDsKnown = 24 * time.Hour
	// IDsKept is how long its row is kept; longer than IDsKnown, so that a clock that is off by an hour forgets nothing.
	IDsKept = 26 * time.Hour
)
