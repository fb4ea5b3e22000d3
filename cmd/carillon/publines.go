package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"carillon/client"
)

// Bounds of publishing line by line.
const (
	window      = 128     // lines under way
	maxLine     = 1 << 20 // bytes; a server takes less
	maxReported = 10      // refusals that are told one by one
	progressGap = 250 * time.Millisecond
)

// inputLine is a line of standard input with its number, from 1.
type inputLine struct {
	number int
	text   []byte
	err    error // it is no line, or the input broke; the number is right all the same
}

// tally is what became of the lines.
type tally struct {
	Published   int     `json:"published"`
	Skipped     int     `json:"skipped"`     // empty ones
	Resent      int     `json:"resent"`      // were under way when a connection was lost, and sent again
	Refused     int     `json:"refused"`     // by the server, or no JSON
	Unconfirmed int     `json:"unconfirmed"` // sent, and neither acknowledged nor refused
	Doubtful    int     `json:"doubtful"`    // sent again under another user: may stand in the channel twice
	Seconds     float64 `json:"seconds"`
	PerSecond   float64 `json:"lines_per_second"`
}

// linePublisher publishes standard input.
type linePublisher struct {
	*pubCommand
	c       *console
	s       *session
	began   time.Time
	pending chan sent
	settled sync.WaitGroup
	flying  atomic.Int64 // lines under way

	mu    sync.Mutex
	t     tally
	worst *failure // decides the exit code
}

type sent struct {
	number int
	p      *client.Pending
}

func (p *pubCommand) lines(ctx context.Context, c *console) error {
	s, err := p.connect(ctx, c, outagePublish)
	if err != nil {
		return err
	}
	defer s.end()
	l := &linePublisher{pubCommand: p, c: c, s: s, began: time.Now(), pending: make(chan sent, window-2)} // beside them, one is awaited and one about to be queued
	s.watch(l.lineLost, l.lineBack)
	if c.inTerm {
		c.note("reading lines from the terminal; Ctrl-D ends them")
	}
	l.settled.Go(l.settle)
	err = l.publishAll()
	close(l.pending)
	l.settled.Wait()
	l.summary()
	if err == nil && l.worst != nil {
		err = l.worst
	}
	return s.explain(err)
}

// publishAll sends lines until the input or the session ends.
func (l *linePublisher) publishAll() error {
	input := make(chan inputLine, window)
	go readLines(l.s.ctx, l.c.in, input) // ends with its input; a read that hangs when we are interrupted ends with the process
	ticker := time.NewTicker(progressGap)
	defer ticker.Stop()
	for {
		select {
		case <-l.s.ctx.Done():
			return context.Cause(l.s.ctx)
		case <-l.s.Done():
			return l.s.Err()
		case <-ticker.C:
			l.progress()
		case line, ok := <-input:
			if !ok {
				return nil
			}
			if err := l.publish(line); err != nil {
				return err
			}
		}
	}
}

// publish sends one line, and waits while too many are under way. Its error ends everything.
func (l *linePublisher) publish(line inputLine) error {
	if line.err != nil && line.text == nil {
		return fmt.Errorf("reading standard input: %w", line.err)
	}
	text := line.text
	if !l.Text {
		text = bytes.TrimSpace(text)
	}
	if len(text) == 0 {
		l.count(func(t *tally) { t.Skipped++ })
		return nil
	}
	body, err := text, line.err
	if err == nil {
		body, err = l.encode(text)
	}
	if err == nil {
		var p *client.Pending
		if p, err = l.s.PublishAsync(l.s.ctx, l.Channel, body, client.PublishOptions{}); err == nil {
			l.flying.Add(1)
			l.pending <- sent{line.number, p}
			return nil
		}
	}
	f := asFailure(err)
	if f != nil && f.code == exitUsage && l.nothingYet() {
		return &failure{exitUsage, fmt.Sprintf("line %d: %s", line.number, f.say), f.next} // most likely all lines are like that
	}
	if refused := new(client.Error); f != nil && f.code == exitUsage || errors.As(err, &refused) {
		l.refuse(line.number, l.s.explain(err))
		return nil
	}
	return err
}

// nothingYet tells whether every line so far was empty.
func (l *linePublisher) nothingYet() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.t.Published == 0 && l.t.Refused == 0 && l.flying.Load() == 0
}

// settle awaits the answers, in order.
func (l *linePublisher) settle() {
	for s := range l.pending {
		_, err := s.p.Wait()
		l.flying.Add(-1)
		var refused *client.Error
		switch {
		case err == nil:
			l.count(func(t *tally) { t.Published++ })
		case errors.As(err, &refused) && !errors.Is(err, client.ErrOutcomeUnknown):
			l.refuse(s.number, l.s.explain(err))
		default:
			l.lose(s.number, err)
		}
	}
}

func (l *linePublisher) count(change func(*tally)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(&l.t)
}

// refuse reports a line that is not in the channel.
func (l *linePublisher) refuse(number int, err error) {
	f := asFailure(err)
	l.mu.Lock()
	l.t.Refused++
	n := l.t.Refused
	if l.worst == nil {
		l.worst = &failure{exitRefused, "some lines were refused, the first is line " + fmt.Sprint(number), f.next}
	}
	l.mu.Unlock()
	if n <= maxReported {
		l.clear()
		fmt.Fprintf(l.c.err, "%s line %d: %s\n", l.c.errStyle.red("carillon:"), number, printable(f.say))
	}
	if n == maxReported {
		l.c.note("further refusals are only counted")
	}
}

// lose counts a line of which nobody knows whether it is in the channel.
func (l *linePublisher) lose(number int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !errors.Is(err, client.ErrOutcomeUnknown) {
		return // it was never sent: not in the channel
	}
	if l.t.Unconfirmed++; l.t.Unconfirmed == 1 {
		l.worst = asFailure(l.s.explain(err))
		l.worst = &failure{l.worst.code, fmt.Sprintf("%s; lines from %d on are not confirmed and may be in the channel or not", l.worst.say, number), l.worst.next}
	}
}

// lineLost and lineBack follow the connection.
func (l *linePublisher) lineLost() {
	n := int(l.flying.Load())
	l.count(func(t *tally) { t.Resent += n })
}

func (l *linePublisher) lineBack(before, now client.State) {
	n := int(l.flying.Load())
	if before.User == now.User || n == 0 {
		return
	}
	l.count(func(t *tally) { t.Doubtful += n })
	l.c.note("the server knows us as %s now, not as %s: up to %s may be in the channel twice; with a token that cannot happen", now.User, before.User, plural(n, "line"))
}

// progress shows on a terminal how far it is.
func (l *linePublisher) progress() {
	if !l.c.errTerm || l.c.inTerm {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(l.c.err, "\r%s\x1b[K", l.c.errStyle.dim(fmt.Sprintf("%s published, %s/s", plural(l.t.Published, "line"), rate(l.t.Published, time.Since(l.began)))))
}

func (l *linePublisher) clear() {
	if l.c.errTerm {
		fmt.Fprint(l.c.err, "\r\x1b[K")
	}
}

// summary says what became of the lines: to people on standard error, to programs on standard output.
func (l *linePublisher) summary() {
	l.clear()
	took := time.Since(l.began)
	t := l.t
	t.Seconds = float64(took.Milliseconds()) / 1000
	if took > 0 {
		t.PerSecond = float64(int(float64(t.Published) / took.Seconds()))
	}
	if l.json(l.c) {
		line, _ := json.Marshal(t) // numbers
		fmt.Fprintf(l.c.out, "%s\n", line)
	}
	parts := []string{plural(t.Published, "line") + " published to " + l.Channel}
	for _, p := range []struct {
		n    int
		what string
	}{{t.Skipped, "empty skipped"}, {t.Refused, "refused"}, {t.Resent, "sent again"}, {t.Unconfirmed, "not confirmed"}, {t.Doubtful, "perhaps twice"}} {
		if p.n > 0 {
			parts = append(parts, grouped(p.n)+" "+p.what)
		}
	}
	l.c.note("%s; %.1f s, %s lines/s", strings.Join(parts, ", "), took.Seconds(), rate(t.Published, took))
}

// readLines reads to the end of the input, or until ctx ends. The line feed, and a carriage return before it, are cut.
func readLines(ctx context.Context, in io.Reader, lines chan<- inputLine) {
	defer close(lines)
	r := bufio.NewReaderSize(in, 64<<10)
	for number := 1; ; number++ {
		text, err := readLine(r)
		if err == io.EOF && len(text) == 0 {
			return
		}
		line := inputLine{number: number, text: text}
		if err == errLongLine {
			line.err = usage("Split it, or publish something shorter.", "it is longer than %d bytes", maxLine)
		} else if err != nil && err != io.EOF {
			line.text, line.err = nil, err
		}
		select {
		case lines <- line:
		case <-ctx.Done():
			return
		}
		if err != nil && err != errLongLine {
			return
		}
	}
}

var errLongLine = errors.New("line too long")

// readLine reads one line; of one beyond maxLine it reads all and keeps the beginning. io.EOF comes with the last line, if
// that has no line feed, or with nothing.
func readLine(r *bufio.Reader) (line []byte, err error) {
	for {
		part, e := r.ReadSlice('\n')
		if len(line) <= maxLine { // else only its end is looked for
			line = append(line, part...)
		}
		if e != bufio.ErrBufferFull {
			err = e
			break
		}
	}
	line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
	if len(line) > maxLine && (err == nil || err == io.EOF) {
		return line[:maxLine], errLongLine
	}
	return line, err
}
