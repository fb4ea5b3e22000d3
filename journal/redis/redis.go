// Package redis is the journal that many nodes share: logs and tables of plain channels in Redis, alone, under Sentinels
// or as a Cluster. A record is checked against the ids that are known, takes its place in the chain, is kept and is
// announced in one step of a script, so that no node can tell of what is not true or keep quiet about what is. What an
// acknowledgement outlives is what this Redis keeps of itself, see Tier; a log that lost its tail or all is told by tag or
// epoch. It must never block in Append nor claim to be durable. Start with Journal.Append; lane.go gathers records into
// batches, append.lua is the step, prelude.lua the form of what is kept.
package redis

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"carillon/backbone"
	"carillon/channel"
	"carillon/journal"
	"carillon/observe"
)

// Defaults and bounds.
const (
	// DefaultIDs is how many idempotency ids are kept in each of the two generations: about 100 bytes each.
	DefaultIDs = 4 << 20

	lanesAlone  = 2        // on one Redis; on a Cluster there is one for each partition
	maxWaiting  = 16384    // records that wait in a lane
	maxBytes    = 64 << 20 // of bodies that wait in all lanes
	maxBatch    = 128      // records of one call
	batchBytes  = 1 << 20  // of bodies in one call, unless one alone is larger
	patience    = 2 * time.Second
	probeEvery  = 200 * time.Millisecond
	complainMin = 10 * time.Second // between two lines on announcements that failed
)

// Options configure a Journal.
type Options struct {
	Backbone *backbone.Backbone
	Clock    journal.Clock    // that of Redis if nil
	Policies journal.Policies // channel.DefaultPolicy for all if nil
	Carry    journal.Carry    // told after each step, beside Redis; nil: nobody, as where all nodes hear it from the subjects
	MaxIDs   int              // DefaultIDs if 0; shared out evenly among the partitions of a Cluster
	Keeps    Persistence      // of the servers, where they do not say; see Open
	Log      *slog.Logger     // nil: silent

	// Counted hears of records that were made true, by class. Unlike Carry it does not make Redis send them back. May be nil.
	Counted func(class channel.Class, records int)
	// How long calls for records took, and how many records each had. May be nil.
	Commits *observe.Histogram
	Batches *observe.Sizes
}

// Journal keeps logs in Redis. Use Open.
type Journal struct {
	bone     *backbone.Backbone
	clock    journal.Clock
	policies journal.Policies
	carry    journal.Carry
	counted  func(channel.Class, int)
	log      *slog.Logger
	keeps    Persistence
	cells    int // parts with an epoch and ids of their own
	ids      int // of one generation in a cell
	commits  *observe.Histogram
	batches  *observe.Sizes

	lanes      []*lane
	bytes      atomic.Int64 // of bodies that wait
	missing    atomic.Int64 // lanes that do not reach their Redis
	complained atomic.Int64 // when an announcement failed last, Unix seconds
	closed     atomic.Bool
	running    sync.WaitGroup // lanes
	shutdown   sync.Once
}

// Open begins the logs of a Redis that has none and takes up those it has. What the servers keep of themselves is asked
// of them; where they may not say, o.Keeps counts, and without it the weaker of what is possible. Close ends the journal,
// not the backbone.
func Open(ctx context.Context, o Options) (*Journal, error) {
	if o.Policies == nil {
		policy := channel.DefaultPolicy()
		o.Policies = func(channel.Name) channel.Policy { return policy }
	}
	if o.MaxIDs <= 0 {
		o.MaxIDs = DefaultIDs
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	j := &Journal{
		bone: o.Backbone, clock: o.Clock, policies: o.Policies, carry: o.Carry, counted: o.Counted, log: o.Log,
		commits: o.Commits, batches: o.Batches, cells: 1,
	}
	lanes := lanesAlone
	if j.bone.Clustered() {
		j.cells, lanes = backbone.Partitions, backbone.Partitions
	}
	j.ids = max(o.MaxIDs/j.cells, 1)
	if err := j.begin(ctx); err != nil {
		return nil, err
	}
	var err error
	if j.keeps, err = survey(ctx, j.bone, o.Keeps, o.Log); err != nil {
		return nil, err
	}
	for i := range lanes {
		l := newLane(j, i)
		j.lanes = append(j.lanes, l)
		j.running.Add(1)
		go l.run()
	}
	return j, nil
}

// begin makes the cells that are missing: their epochs count, and their ids are known, from now on.
func (j *Journal) begin(ctx context.Context) error {
	calls := make([]call, j.cells)
	for c := range calls {
		calls[c] = call{keys: []string{j.bone.PartitionKey("cell", c)}, args: []string{j.now(), seed()}}
	}
	for _, r := range headsScript.runAll(ctx, j.bone.Client(), calls) {
		if err := r.Error(); err != nil {
			return fmt.Errorf("preparing redis for logs: %w", failure(err))
		}
	}
	return nil
}

// Tier tells what an acknowledgement outlives: "appended:redis-none", "-everysec" or "-always". It is never durable.
func (j *Journal) Tier() journal.Tier { return journal.Tier("appended:redis-" + string(j.keeps)) }

// Close refuses what comes from now on and returns when everything appended before was answered, which takes no longer
// than one call to Redis. It must not be called from within Carry or a done.
func (j *Journal) Close() {
	j.shutdown.Do(func() {
		j.closed.Store(true)
		for _, l := range j.lanes {
			l.close()
		}
		j.running.Wait()
	})
}

// cell is the part of the keyspace whose epoch and ids a channel shares: all of one Redis, a partition of a Cluster.
func (j *Journal) cell(n channel.Name) int {
	if j.cells == 1 {
		return 0
	}
	return backbone.Partition(n)
}

func (j *Journal) lane(n channel.Name) *lane { return j.lanes[backbone.Partition(n)%len(j.lanes)] }

// seed is a random epoch, never zero, for a cell that has none.
func seed() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the process instead
	b[0] |= 1
	return string(b[:])
}
