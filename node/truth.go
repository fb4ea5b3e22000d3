package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"carillon/channel"
	"carillon/gateway"
	"carillon/journal"
	"carillon/journal/memory"
	"carillon/journal/redis"
	"carillon/store/postgres"
	"carillon/store/sqlite"
)

// truth is where records become true. Which journal that is stands in one place each: plain channels in openPlain, what
// lasts and what belongs to services in openLasting.
type truth struct {
	plain   plain
	lasting lasting // nil: nothing lasts
	stage   lasting // of services; lasting, or a store in memory; nil where none runs
}

// plain is a journal of channels that promise to outlive no disaster.
type plain interface {
	gateway.Journal
	Close()
}

// lasting is a store in which durable channels and services become true.
type lasting interface {
	gateway.Journal
	serviceStore
	database
}

// serviceStore is what services need of it.
type serviceStore interface {
	journal.Stage
	journal.Agenda
	journal.Trail
	journal.Pulse
}

// database is a store as the node sees it.
type database interface {
	// Present tells why it cannot be used now.
	Present() error
	// Waiting counts the records before its committers.
	Waiting() int
	Close() error
}

// journal is the one in which records of a channel become true.
func (n *Node) journal(name channel.Name) gateway.Journal {
	p := n.o.Policies(name)
	switch {
	case p.Service && n.truth.stage != nil:
		return n.truth.stage
	case p.Durable && n.truth.lasting != nil:
		return n.truth.lasting
	}
	return n.truth.plain
}

// openTruth opens the journals. What the SQL ones make true they hand to carry.
func (n *Node) openTruth(ctx context.Context, carry journal.Carry) (err error) {
	t := &n.truth
	if t.lasting, err = n.openLasting(ctx, carry); err != nil {
		return err
	}
	if len(n.o.Services) > 0 {
		if t.stage = t.lasting; t.stage == nil {
			t.stage, err = n.openScratch(ctx, carry)
		}
	}
	if err == nil {
		t.plain, err = n.openPlain(ctx, carry)
	}
	if err != nil {
		return errors.Join(err, t.close())
	}
	return nil
}

// openPlain makes the journal of plain channels.
func (n *Node) openPlain(ctx context.Context, carry journal.Carry) (plain, error) {
	o, m := &n.o, n.meters
	if over := n.hints.redis; over != nil {
		j, err := redis.Open(ctx, redis.Options{
			Backbone: over.backbone, Policies: o.Policies, Counted: m.came, MaxIDs: o.IDs, Log: n.log, Commits: m.handed, Batches: m.together,
		})
		if err != nil {
			return nil, fmt.Errorf("redis.url: %w", err)
		}
		return j, nil
	}
	return memory.New(memory.Options{
		Policies: o.Policies, Carry: carry, MaxBytes: int(o.Memory), MaxLogs: o.Logs, MaxIDs: o.IDs, Commits: m.handed, Batches: m.together,
	}), nil
}

// openLasting opens the store of what lasts; nil where nothing does.
func (n *Node) openLasting(ctx context.Context, carry journal.Carry) (lasting, error) {
	switch {
	case n.o.Postgres != "":
		return n.openPostgres(ctx, carry)
	case n.o.Data != "":
		s, err := sqlite.Open(ctx, n.o.Data, n.sqliteOptions(carry))
		if err != nil {
			return nil, err
		}
		return s, nil
	}
	return nil, nil
}

// postgresTimeout is how long a start waits for a database, and for another node that brings its tables up to date.
const postgresTimeout = 5 * time.Minute

func (n *Node) openPostgres(ctx context.Context, carry journal.Carry) (lasting, error) {
	ctx, cancel := context.WithTimeout(ctx, postgresTimeout)
	defer cancel()
	m := n.meters
	s, err := postgres.Open(ctx, n.o.Postgres, postgres.Options{
		Policies: n.o.Policies, Carry: carry, Commits: m.commits, Batches: m.batches, Failures: &m.failures,
		Trouble: n.storeTrouble, Stepped: n.stepped,
	})
	if err != nil {
		return nil, fmt.Errorf("postgres.url: %w", err)
	}
	return s, nil
}

// openScratch makes the store of services where nothing lasts.
func (n *Node) openScratch(ctx context.Context, carry journal.Carry) (lasting, error) {
	s, err := sqlite.OpenMemory(ctx, n.sqliteOptions(carry))
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (n *Node) sqliteOptions(carry journal.Carry) sqlite.Options {
	m := n.meters
	return sqlite.Options{
		Policies: n.o.Policies, Carry: carry, Commits: m.commits, Batches: m.batches, Failures: &m.failures,
		Trouble: n.storeTrouble, Stepped: n.stepped,
	}
}

// storeTrouble logs that the store is not to be reached any more, or is again.
func (n *Node) storeTrouble(err error) {
	if err == nil {
		n.log.Info("the store is where it was again")
		return
	}
	n.log.Error("the store takes nothing", "error", err)
}

// close ends the journals after what they took in hand.
func (t *truth) close() (err error) {
	if t.plain != nil {
		t.plain.Close()
	}
	if t.stage != nil && t.stage != t.lasting {
		err = t.stage.Close()
	}
	if t.lasting != nil {
		err = errors.Join(err, t.lasting.Close())
	}
	return err
}
