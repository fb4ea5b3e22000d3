package config

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

// PostgresFacts are what a Postgres is like.
type PostgresFacts struct {
	Err         error // it cannot be reached, or refuses us
	Database    string
	User        string
	Version     int // as server_version_num: 150004 is 15.4
	Settings    map[string]string
	Schema      string // where tables would be made; "": nowhere
	MayCreate   bool   // tables there
	Replica     bool   // it only follows another
	Connections int    // in use, of all users
	Ahead       time.Duration
}

// postgresLook is one row: facts first, then the settings in the order of postgresSettings.
const postgresLook = `SELECT current_database(), current_user::text, clock_timestamp(), current_setting('server_version_num')::int,
	coalesce(current_schema()::text, ''), coalesce(has_schema_privilege(current_schema(), 'CREATE'), false), pg_is_in_recovery(),
	(SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')::int`

// postgresSettings are those that are judged.
var postgresSettings = []string{"fsync", "synchronous_commit", "full_page_writes", "max_connections", "superuser_reserved_connections",
	"server_encoding", "default_transaction_read_only"}

// GatherPostgres asks a Postgres. It changes nothing.
func GatherPostgres(ctx context.Context, url string) (f PostgresFacts) {
	ctx, cancel := context.WithTimeout(ctx, lookPatience)
	defer cancel()
	option, err := pgx.ParseConfig(url)
	if err != nil {
		f.Err = errors.New("postgres.url is none: write postgres://USER:PASSWORD@HOST:PORT/NAME") // its error may show a password
		return f
	}
	option.DefaultQueryExecMode = pgx.QueryExecModeExec
	c, err := pgx.ConnectConfig(ctx, option)
	if err != nil {
		f.Err = err
		return f
	}
	defer func() { _ = c.Close(ctx) }()
	before := time.Now()
	var stamp time.Time
	f.Err = c.QueryRow(ctx, postgresLook).Scan(&f.Database, &f.User, &stamp, &f.Version, &f.Schema, &f.MayCreate, &f.Replica, &f.Connections)
	f.Ahead = ahead(stamp, before, time.Now())
	f.Settings = make(map[string]string)
	for _, name := range postgresSettings {
		var value string
		if f.Err == nil {
			f.Err = c.QueryRow(ctx, "SELECT current_setting($1, true)", name).Scan(&value)
			f.Settings[name] = value
		}
	}
	return f
}

// What a Postgres needs.
const (
	leastPostgres    = 140000 // version
	leastConnections = 16     // that our nodes may have: two nodes, with nothing to spare
	goodConnections  = 64
)

// ExaminePostgres judges the facts: one finding for each thing that has to be set otherwise, or one that all is well.
func ExaminePostgres(f PostgresFacts) (found []Finding) {
	if f.Err != nil {
		return []Finding{{Fail, "postgres", fmt.Sprintf("%s: start it, or correct postgres.url", f.Err)}}
	}
	bad := func(v Verdict, format string, args ...any) {
		found = append(found, Finding{v, "postgres", fmt.Sprintf(format, args...)})
	}
	if f.Version < leastPostgres {
		bad(Fail, "it is version %d: upgrade it to 14 or later", f.Version/10000)
	}
	if f.Replica {
		bad(Fail, "it follows another server and takes no writes: name the primary in postgres.url, or add target_session_attrs=read-write")
	}
	examineSafety(f, bad)
	examineRights(f, bad)
	examineConnections(f, bad)
	if f.Ahead > mostSkew || f.Ahead < -mostSkew {
		bad(Warn, "its clock is %s off that of this machine: let both follow a time service (timedatectl set-ntp true)", f.Ahead.Round(10*time.Millisecond))
	}
	if len(found) == 0 {
		bad(OK, "version %d.%d, database %s: keeps what it commits, and its user %s may make tables", f.Version/10000, f.Version%10000, f.Database, f.User)
	}
	return found
}

// examineSafety looks at what makes a commit less than durable.
func examineSafety(f PostgresFacts, bad func(Verdict, string, ...any)) {
	for _, s := range []struct{ name, breaks string }{
		{"fsync", "a power failure destroys the database"},
		{"full_page_writes", "a power failure can leave half-written pages"},
	} {
		if f.Settings[s.name] == "off" {
			bad(Fail, "%s is off, so that %s: ALTER SYSTEM SET %s = on; SELECT pg_reload_conf();", s.name, s.breaks, s.name)
		}
	}
	if f.Settings["synchronous_commit"] == "off" {
		bad(Fail, "synchronous_commit is off, so that a crash loses what was acknowledged as durable: ALTER DATABASE %s SET synchronous_commit = on; ALTER ROLE %s RESET synchronous_commit;",
			pgx.Identifier{f.Database}.Sanitize(), pgx.Identifier{f.User}.Sanitize())
	}
	if encoding := f.Settings["server_encoding"]; encoding != "UTF8" {
		bad(Fail, "the database keeps text as %s: CREATE DATABASE carillon ENCODING 'UTF8' TEMPLATE template0; and name it in postgres.url", encoding)
	}
}

func examineRights(f PostgresFacts, bad func(Verdict, string, ...any)) {
	user := pgx.Identifier{f.User}.Sanitize()
	switch {
	case f.Schema == "":
		bad(Fail, "there is no schema for tables: CREATE SCHEMA %s AUTHORIZATION %s;", user, user)
	case !f.MayCreate:
		bad(Fail, "its user may not make tables: GRANT USAGE, CREATE ON SCHEMA %s TO %s;", pgx.Identifier{f.Schema}.Sanitize(), user)
	}
	if f.Settings["default_transaction_read_only"] == "on" {
		bad(Fail, "transactions are for reading alone: ALTER ROLE %s SET default_transaction_read_only = off;", user)
	}
}

func examineConnections(f PostgresFacts, bad func(Verdict, string, ...any)) {
	most, _ := strconv.Atoi(f.Settings["max_connections"])
	reserved, _ := strconv.Atoi(f.Settings["superuser_reserved_connections"])
	ours := most - reserved
	const cure = "ALTER SYSTEM SET max_connections = 100; and restart it, for each node takes up to 10"
	switch {
	case ours < leastConnections:
		bad(Fail, "it takes %d connections: %s", ours, cure)
	case ours < goodConnections || ours-f.Connections < leastConnections:
		bad(Warn, "it takes %d connections, %d are in use: %s", ours, f.Connections, cure)
	}
}
