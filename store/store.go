// Package store owns what lies on disk: the schema of each database and its migrations, how long things must be kept there,
// and the form of rows and the judgement of what was read that every dialect shares. It opens no database and runs no query;
// store/sqlite and store/postgres do. Start with SQLite.
package store

import (
	"embed"
	"io/fs"
	"time"
)

//go:embed migrations
var migrations embed.FS

// SQLite are the goose migrations of a SQLite database, in the root of the file system.
func SQLite() fs.FS { return dialect("migrations/sqlite") }

// Postgres are those of a Postgres database.
func Postgres() fs.FS { return dialect("migrations/postgres") }

func dialect(folder string) fs.FS {
	sub, err := fs.Sub(migrations, folder)
	if err != nil {
		panic(err) // the folder is a constant of this file
	}
	return sub
}

const (
	// IDsKnown is how long an idempotency id is known at least. Older resends are answered journal.ErrUnknown.
	IDsKnown = 24 * time.Hour
	// IDsKept is how long its row is kept; longer than IDsKnown, so that a clock that is off by an hour forgets nothing.
	IDsKept = 26 * time.Hour
)
