package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// workerEnv tells a process that it is a worker of the generator and not what its arguments say.
const workerEnv = "CARILLON_BENCH_WORKER"

// keptFiles are descriptors of a worker that are no connections.
const keptFiles = 64

// fleet is the worker processes of one run.
type fleet struct {
	workers []*worker
	groups  []Group
	number  uint64
}

// worker is one process, as the coordinator sees it.
type worker struct {
	cmd     *exec.Cmd
	orders  io.WriteCloser
	answers chan answer
	failed  error // why answers ended; set before it is closed
}

// startFleet starts as many processes as the connections need and tells them what they are.
func startFleet(ctx context.Context, s setup, least int) (*fleet, error) {
	files, err := descriptors()
	if err != nil {
		return nil, err
	}
	conns := 0
	for i := range s.Groups {
		conns += s.Groups[i].conns()
	}
	each := min(files-keptFiles, sourceLines)
	s.Workers = max((conns+each-1)/each, least, 1)
	if apart(s.Groups) {
		s.Workers++
	}
	f := &fleet{groups: s.Groups}
	for i := range s.Workers {
		w, err := startWorker(ctx)
		if err != nil {
			f.close()
			return nil, err
		}
		f.workers = append(f.workers, w)
		own := s
		own.Worker = i
		if err := w.tell(&order{Do: doSetup, Setup: &own}); err != nil {
			f.close()
			return nil, err
		}
	}
	for _, w := range f.workers {
		if _, err := w.hear(ctx); err != nil {
			f.close()
			return nil, err
		}
	}
	return f, nil
}

func startWorker(ctx context.Context) (*worker, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("the generator cannot find itself: %w", err)
	}
	cmd := exec.CommandContext(ctx, self, os.Args[1:]...)
	cmd.Env = append(os.Environ(), workerEnv+"=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting a worker: %w", err)
	}
	w := &worker{cmd: cmd, orders: in, answers: make(chan answer, maxOrders)}
	go w.listen(out) // ends with the process, which close waits for
	return w, nil
}

func (w *worker) listen(out io.Reader) {
	defer close(w.answers)
	d := json.NewDecoder(bufio.NewReader(out))
	for {
		var a answer
		if err := d.Decode(&a); err != nil {
			w.failed = fmt.Errorf("a worker ended: %w", err)
			return
		}
		w.answers <- a
	}
}

func (w *worker) tell(o *order) error {
	b, err := json.Marshal(o)
	if err != nil {
		return err
	}
	_, err = w.orders.Write(append(b, '\n'))
	return err
}

func (w *worker) hear(ctx context.Context) (answer, error) {
	late := time.NewTimer(answerTime)
	defer late.Stop()
	select {
	case <-ctx.Done():
		return answer{}, ctx.Err()
	case <-late.C:
		return answer{}, fmt.Errorf("a worker did not answer within %s", answerTime)
	case a, ok := <-w.answers:
		switch {
		case !ok:
			return answer{}, w.failed
		case a.Error != "":
			return answer{}, errors.New(a.Error)
		}
		return a, nil
	}
}

// do gives all workers an order and collects what they answer.
func (f *fleet) do(ctx context.Context, o order) ([]answer, error) {
	f.number++
	o.ID = f.number
	for _, w := range f.workers {
		if err := w.tell(&o); err != nil {
			return nil, fmt.Errorf("telling a worker to %s: %w", o.Do, err)
		}
	}
	all := make([]answer, 0, len(f.workers))
	for _, w := range f.workers {
		a, err := w.hear(ctx)
		if err != nil {
			return nil, fmt.Errorf("asking a worker to %s: %w", o.Do, err)
		}
		all = append(all, a)
	}
	return all, nil
}

func (f *fleet) order(ctx context.Context, o order) error {
	_, err := f.do(ctx, o)
	return err
}

// close ends the workers and waits for them.
func (f *fleet) close() {
	for _, w := range f.workers {
		_ = w.orders.Close() // the worker ends with its input
	}
	for _, w := range f.workers {
		for range w.answers { // so that listen ends before Wait closes the pipe
		}
		_ = w.cmd.Wait() // its answers said what there was to say
	}
}

// mark is what all workers saw, and the histograms of the time since the mark before.
type mark struct {
	workerMark
	latency, beside, lateness, opened, replies, whole *hdrhistogram.Histogram
}

// mark collects the figures of all workers.
func (f *fleet) mark(ctx context.Context) (*mark, error) {
	as, err := f.do(ctx, order{Do: doMark})
	if err != nil {
		return nil, err
	}
	m := &mark{latency: newHistogram(), beside: newHistogram(), lateness: newHistogram(), opened: newHistogram(), replies: newHistogram(), whole: newHistogram()}
	m.Closed = map[int]uint64{}
	for _, a := range as {
		if a.Mark == nil {
			return nil, errors.New("a worker answered a mark with nothing")
		}
		if err := m.add(a.Mark); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *mark) add(w *workerMark) error {
	m.At = max(m.At, w.At)
	m.Count.Add(w.Count)
	m.Side.Add(w.Side)
	m.Published += w.Published
	m.Unsent += w.Unsent
	m.Acked += w.Acked
	m.Refused += w.Refused
	m.Open += w.Open
	m.Opening += w.Opening
	m.Failed += w.Failed
	m.Pending = max(m.Pending, w.Pending)
	m.CPU += w.CPU
	m.Others += w.Others
	m.Commands.add(&w.Commands)
	for code, n := range w.Closed {
		m.Closed[code] += n
	}
	if w.Refusal != "" {
		m.Refusal = w.Refusal
	}
	if w.Failure != "" {
		m.Failure = w.Failure
	}
	for _, h := range []struct {
		into *hdrhistogram.Histogram
		b    []byte
	}{{m.latency, w.Latency}, {m.beside, w.Beside}, {m.lateness, w.Lateness}, {m.opened, w.Opened}, {m.replies, w.Replies}, {m.whole, w.Whole}} {
		if len(h.b) == 0 {
			continue
		}
		from, err := hdrhistogram.Decode(h.b)
		if err != nil {
			return fmt.Errorf("reading a histogram: %w", err)
		}
		h.into.Merge(from)
	}
	return nil
}

// missing asks how many receipts are still owed.
func (f *fleet) missing(ctx context.Context) (n uint64, err error) {
	as, err := f.do(ctx, order{Do: doSent})
	if err != nil {
		return 0, err
	}
	all, newest := as[0].Sent, as[0].Newest
	for _, a := range as[1:] {
		sumUp(all, a.Sent)
		sumUp(newest, a.Newest)
	}
	as, err = f.do(ctx, order{Do: doCheck, Sent: all, Newest: newest})
	for _, a := range as {
		n += a.Missing
	}
	return n, err
}

func sumUp(all, more [][][]uint32) {
	for g := range more {
		for c := range more[g] {
			for p, sent := range more[g][c] {
				all[g][c][p] += sent
			}
		}
	}
}
