package bench

import (
	"fmt"
	"io"
	"os"
	"strings"
)

// screen shows how far a run has come: one line that is written over on a terminal, plain lines elsewhere.
type screen struct {
	w     io.Writer
	live  bool
	wrote bool
}

func newScreen(f *os.File) *screen {
	info, err := f.Stat()
	return &screen{w: f, live: err == nil && info.Mode()&os.ModeCharDevice != 0}
}

const screenWidth = 110 // columns

func (s *screen) show(b *bench, p *Phase, m *mark) {
	now := p.now
	if p.Name == "open" && !s.live && m.Opening > 0 {
		return
	}
	text := fmt.Sprintf("%-9s %-10s %6.1f s  %6d open  %9.0f /s  p50 %8.2f  p99 %8.2f ms  %4.2f cores  %5.0f MB",
		b.t.name, p.Name, now.At, now.Open, now.Delivered, now.P50, now.P99, now.ServerCPU, mega(now.Resident))
	if lost := m.Count.Lost + m.Count.Twice + m.Count.Foreign; lost > 0 {
		text += fmt.Sprintf("  %d WRONG", lost)
	}
	s.line(text)
}

// line writes a line; the screen is for people, so a failure has no consequence.
func (s *screen) line(text string) {
	s.wrote = true
	if s.live {
		_, _ = fmt.Fprintf(s.w, "\r%-*s", screenWidth, text)
		return
	}
	_, _ = fmt.Fprintln(s.w, strings.TrimRight(text, " "))
}

func (s *screen) done() {
	if s.live && s.wrote {
		_, _ = fmt.Fprintln(s.w)
	}
}
