package observe

import (
	"context"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/mattn/go-isatty"
)

// LogFormat is how log lines look.
type LogFormat string

// The formats.
const (
	LogAuto LogFormat = "auto" // text on a terminal, JSON elsewhere
	LogText LogFormat = "text" // key=value
	LogJSON LogFormat = "json" // one object a line
)

// Bounds of a log.
const (
	LinesPerSecond = 20  // of one kind; see Logger
	maxValue       = 512 // bytes of a value or a message
	maxKinds       = 1024
	maxKind        = 64 // bytes of a message that tell its kind
	sampleWindow   = time.Second
)

// Logger writes one line for each record: control characters and what a terminal might obey are escaped, long values
// cut, and what a key or its own look calls a secret is replaced. Of each kind of line, the same level and the same
// message up to its first digit, at most LinesPerSecond are written in a second; then one line says how many more there
// were.
type Logger struct {
	*slog.Logger
	sampler *sampler
}

// NewLogger makes a Logger for lines of at least this level; a *slog.LevelVar can be changed later. The caller closes it.
func NewLogger(w io.Writer, format LogFormat, level slog.Leveler) *Logger {
	if format == LogText || format != LogJSON && isTerminal(w) {
		return newLogger(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: cleanAttr}))
	}
	return newLogger(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: cleanAttr}))
}

func newLogger(plain slog.Handler) *Logger {
	s := &sampler{out: plain, kinds: make(map[kind]*tally)}
	return &Logger{Logger: slog.New(&handler{next: plain, sampler: s}), sampler: s}
}

// Close says what was held back and not said yet. Lines written later are written still.
func (l *Logger) Close() { l.sampler.close() }

// Suppressed counts the lines that were counted instead of written.
func (l *Logger) Suppressed() uint64 { return l.sampler.suppressed.Load() }

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && (isatty.IsTerminal(f.Fd()) || isatty.IsCygwinTerminal(f.Fd()))
}

// handler puts sampling before a handler of log/slog.
type handler struct {
	next    slog.Handler
	sampler *sampler
}

// Enabled implements slog.Handler.
func (h *handler) Enabled(ctx context.Context, l slog.Level) bool { return h.next.Enabled(ctx, l) }

// Handle implements slog.Handler.
func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	if !h.sampler.pass(&r) {
		return nil
	}
	return h.next.Handle(ctx, r)
}

// Suppressed counts the lines that were counted instead of written: who is handed a plain slog.Logger finds it here.
func (h *handler) Suppressed() uint64 { return h.sampler.suppressed.Load() }

// WithAttrs implements slog.Handler.
func (h *handler) WithAttrs(as []slog.Attr) slog.Handler {
	return &handler{h.next.WithAttrs(as), h.sampler}
}

// WithGroup implements slog.Handler.
func (h *handler) WithGroup(name string) slog.Handler {
	return &handler{h.next.WithGroup(name), h.sampler}
}
