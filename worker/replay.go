package worker

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"carillon/app"
	"carillon/channel"
	"carillon/journal"
)

// ErrMismatch: the commands kept, run again, do not come to what is kept. The text says where.
var ErrMismatch = errors.New("replay differs from what is kept")

// Report is what Replay proved.
type Report struct {
	Channel   channel.Name
	From, To  journal.Version // the commands after From, up to To, were run again
	Commands  int
	Records   int              // logged events they came to, each with the tag it has in the log
	Snapshots int              // proved byte for byte
	Bytes     int              // of the machine's state now
	Head      channel.Position // of the log
	Erased    int              // commands that lost their body: what they did stands in the snapshot after them alone
}

// Replay runs the commands of a channel again from the oldest snapshot kept and compares: each command leads to the tag
// that the log had after it, and the state at the newest snapshot is that snapshot, byte for byte. A channel that does not
// agree gives an error that wraps ErrMismatch, with the report up to there; other errors are those of the archive.
func Replay(ctx context.Context, s app.Service, a journal.Archive, n channel.Name) (Report, error) {
	past, err := a.Past(ctx, n)
	if err != nil {
		return Report{Channel: n}, fmt.Errorf("read the past of %s: %w", n, err)
	}
	p := proof{service: s, past: &past, report: Report{Channel: n, From: past.At, To: past.At, Head: past.Start}}
	if err := p.run(); err != nil {
		return p.report, fmt.Errorf("channel %s, after version %d: %w: %w", n, p.report.To, ErrMismatch, err)
	}
	return p.report, nil
}

type proof struct {
	service app.Service
	past    *journal.Past
	machine app.Machine
	report  Report
}

func (p *proof) run() (err error) {
	if p.machine, err = begin(p.service, p.report.Channel, &p.past.State); err != nil {
		return err
	}
	if p.past.Snapshot != nil {
		if err := p.same(p.past.Snapshot); err != nil {
			return err
		}
	}
	for i := range p.past.Commands {
		if err := p.step(&p.past.Commands[i]); err != nil {
			return err
		}
	}
	b, err := snapshot(p.machine)
	if err != nil {
		return err
	}
	p.report.Bytes = len(b)
	if p.report.To != p.past.Version || p.report.Head != p.past.Head {
		return broken("the commands end at version %d and %v, the channel is at version %d and %v", p.report.To, p.report.Head, p.past.Version, p.past.Head)
	}
	return nil
}

// step runs one command. Where it lost its body, the newest snapshot takes the place of all that came before.
func (p *proof) step(k *journal.Kept) (err error) {
	r := &p.report
	if k.Erased || r.Erased > 0 && k.Version <= p.past.NewerAt {
		if p.past.Newer == nil || k.Version > p.past.NewerAt {
			return broken("version %d lost its command, and no snapshot follows it", k.Version)
		}
		r.Erased++
		r.To, r.Head = k.Version, k.Head
		if k.Version == p.past.NewerAt {
			p.machine, err = begin(p.service, r.Channel, &journal.State{Snapshot: p.past.Newer, At: p.past.NewerAt})
			if err == nil {
				err = p.same(p.past.Newer)
			}
		}
		return err
	}
	head, _, err := again(p.machine, k, r.Head)
	if err != nil {
		return err
	}
	r.Commands++
	r.Records += int(head.Offset - r.Head.Offset)
	r.To, r.Head = k.Version, head
	if p.past.Newer != nil && k.Version == p.past.NewerAt {
		return p.same(p.past.Newer)
	}
	return nil
}

// same holds the machine against a snapshot.
func (p *proof) same(want []byte) error {
	got, err := snapshot(p.machine)
	if err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		at := 0
		for at < len(got) && at < len(want) && got[at] == want[at] {
			at++
		}
		return broken("the state has %d bytes, the snapshot %d, and they differ from byte %d on", len(got), len(want), at)
	}
	p.report.Snapshots++
	return nil
}
