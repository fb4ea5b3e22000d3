package worker

import "sync/atomic"

// counts are of all shards together.
type counts struct {
	commands, refused, questions, duplicates atomic.Uint64
	commits, failures, loads, replayed       atomic.Uint64
	snapshots, passivated, panics, slow      atomic.Uint64
	failed, timers, sends, resends, turned   atomic.Uint64
	machines                                 atomic.Int64
}

// Stats is what a worker did since it was made; all but Machines only go up.
type Stats struct {
	Commands   uint64 // committed changes of machines, timers among them
	Refused    uint64 // refusals of the service that were committed
	Questions  uint64 // answered without a change
	Duplicates uint64 // answered from the store, or along with the first of their id
	Commits    uint64
	Failures   uint64 // commits that failed
	Loads      uint64 // machines brought back
	Replayed   uint64 // commands run again for that
	Snapshots  uint64
	Passivated uint64 // machines that left memory
	Panics     uint64 // steps that panicked, or came to what no outcome may be
	Slow       uint64 // steps that took too long
	Failed     uint64 // commands answered bus.ErrFailed
	Unserved   uint64 // commands answered bus.ErrUnavailable at once, while the store could not be reached
	Timers     uint64 // timers taken in hand
	Sends      uint64 // commands to other channels that got a final reply
	Resends    uint64 // attempts to send that did not
	Machines   int64  // in memory now
}

// Stats counts.
func (w *Worker) Stats() Stats {
	c := &w.counts
	return Stats{
		Commands: c.commands.Load(), Refused: c.refused.Load(), Questions: c.questions.Load(), Duplicates: c.duplicates.Load(),
		Commits: c.commits.Load(), Failures: c.failures.Load(), Loads: c.loads.Load(), Replayed: c.replayed.Load(),
		Snapshots: c.snapshots.Load(), Passivated: c.passivated.Load(), Panics: c.panics.Load(), Slow: c.slow.Load(),
		Failed: c.failed.Load(), Unserved: c.turned.Load(), Timers: c.timers.Load(), Sends: c.sends.Load(), Resends: c.resends.Load(),
		Machines: c.machines.Load(),
	}
}
