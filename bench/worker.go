package bench

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"time"
)

// maxOrder is the longest line between coordinator and worker, in bytes.
const maxOrder = 64 << 20

// maxOrders is how many orders may wait in a worker.
const maxOrders = 16

// garbage is how much of it a worker lets gather, in percent of what lives: a collection makes what arrives meanwhile wait, and
// keeps the server that is measured beside it from the processors.
const garbage = 400

// Work is a worker process: it reads orders, a line of JSON each, and writes answers, until in ends.
func Work(in io.Reader, out io.Writer) error {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbage)
	}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxOrder)
	answers := json.NewEncoder(out)
	var first order
	if !lines.Scan() {
		return errors.Join(errors.New("a worker needs orders"), lines.Err())
	}
	if err := json.Unmarshal(lines.Bytes(), &first); err != nil || first.Setup == nil {
		return errors.Join(errors.New("the first order of a worker is its setup"), err)
	}
	e, err := newEngine(first.Setup)
	if err != nil {
		return answers.Encode(answer{ID: first.ID, Error: err.Error()})
	}
	if err := answers.Encode(answer{ID: first.ID}); err != nil {
		return err
	}
	orders := make(chan order, maxOrders)
	go readOrders(lines, orders, e.poll.ring) // it ends with in, which the coordinator closes
	var broken error
	err = e.run(func() bool {
		for {
			select {
			case o, ok := <-orders:
				if !ok {
					return true
				}
				if broken = answers.Encode(e.obey(&o)); broken != nil {
					return true
				}
			default:
				return false
			}
		}
	})
	return errors.Join(err, broken)
}

func readOrders(lines *bufio.Scanner, orders chan<- order, ring func()) {
	defer ring()
	defer close(orders)
	for lines.Scan() {
		var o order
		if json.Unmarshal(lines.Bytes(), &o) != nil {
			return // the coordinator is of another version, or gone
		}
		orders <- o
		ring()
	}
}

// obey does what an order says.
func (e *engine) obey(o *order) answer {
	a := answer{ID: o.ID}
	if o.Group >= len(e.crowds) {
		a.Error = fmt.Sprintf("there is no group %d", o.Group)
		return a
	}
	var err error
	switch o.Do {
	case doOpen:
		e.open(o.Group, o.Window)
	case doTalk:
		e.talks = append(e.talks, &talk{g: e.crowds[o.Group], steps: o.Steps, mix: o.Mix, act: o.Act, quiet: o.Quiet, begin: o.Start})
	case doPump:
		e.start(&pump{g: e.crowds[o.Group], depth: o.Depth, until: o.Start}, e.now())
	case doMark:
		a.Mark = e.flush()
	case doSent:
		a.Sent, a.Newest = e.sent()
	case doCheck:
		a.Missing = e.missing(o.Sent, o.Newest)
	case doDrop:
		e.drop(o.Group, o.Every)
	case doStall:
		err = e.stall(o.Group, o.Every, o.Bytes, e.now())
	case doRelease:
		err = e.release()
	default:
		err = fmt.Errorf("no order %q", o.Do)
	}
	if err != nil {
		a.Error = err.Error()
	}
	return a
}

// answerTime is how long the coordinator waits for an answer; an overloaded machine may need long.
const answerTime = 60 * time.Second
