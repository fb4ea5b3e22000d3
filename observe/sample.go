package observe

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// sampler counts the lines of each kind within a window of a second, which begins with the first line. It says what it
// held back when the window has ended: with the next line, or by a timer.
type sampler struct {
	out        slog.Handler
	suppressed atomic.Uint64

	mu     sync.Mutex
	kinds  map[kind]*tally
	began  time.Time
	timer  *time.Timer // armed while something is held back
	closed bool
}

// kind tells lines apart; the zero message stands for all that came when there were too many kinds.
type kind struct {
	level   slog.Level
	message string
}

type tally struct {
	lines  int
	sample string // a message of this kind
}

// kindOf is the level and the message up to its first digit: numbers and addresses make no kind of their own.
func kindOf(r *slog.Record) kind {
	m := r.Message
	for i := range len(m) {
		if i == maxKind || m[i] >= '0' && m[i] <= '9' {
			m = m[:i]
			break
		}
	}
	return kind{r.Level, m}
}

// pass decides whether a line is written.
func (s *sampler) pass(r *slog.Record) bool {
	now := time.Now()
	s.mu.Lock()
	var held []slog.Record
	if now.Sub(s.began) >= sampleWindow {
		held = s.turn(now)
	}
	k := kindOf(r)
	t := s.kinds[k]
	if t == nil && len(s.kinds) >= maxKinds {
		k = kind{}
		t = s.kinds[k]
	}
	if t == nil {
		t = &tally{sample: r.Message}
		s.kinds[k] = t
	}
	t.lines++
	ok := t.lines <= LinesPerSecond
	if !ok {
		s.suppressed.Add(1)
		if s.timer == nil && !s.closed {
			s.timer = time.AfterFunc(s.began.Add(sampleWindow).Sub(now), s.windowOver)
		}
	}
	s.mu.Unlock()
	s.write(held)
	return ok
}

// turn begins a new window and returns what there is to say about the last; s.mu is held.
func (s *sampler) turn(now time.Time) (held []slog.Record) {
	for k, t := range s.kinds {
		if more := t.lines - LinesPerSecond; more > 0 {
			text := fmt.Sprintf("%s: and %s more", cutAt(t.sample, maxValue/2), thousands(more))
			if k == (kind{}) {
				text = fmt.Sprintf("and %s more lines of many kinds", thousands(more))
			}
			r := slog.NewRecord(now, k.level, text, 0)
			r.AddAttrs(slog.Int("suppressed", more))
			held = append(held, r)
		}
	}
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
	clear(s.kinds)
	s.began = now
	return held
}

func (s *sampler) windowOver() {
	now := time.Now()
	s.mu.Lock()
	var held []slog.Record
	if s.timer != nil && now.Sub(s.began) >= sampleWindow {
		held = s.turn(now)
	}
	s.mu.Unlock()
	s.write(held)
}

func (s *sampler) close() {
	s.mu.Lock()
	s.closed = true
	held := s.turn(time.Now())
	s.mu.Unlock()
	s.write(held)
}

func (s *sampler) write(held []slog.Record) {
	for _, r := range held {
		_ = s.out.Handle(context.Background(), r) // a log that cannot be written has nobody to tell
	}
}

// thousands writes 1234567 as 1,234,567.
func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
