package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"

	"github.com/mattn/go-isatty"
)

// console is where a command reads and prints.
type console struct {
	in       io.Reader
	out, err io.Writer
	inTerm   bool // standard input is a terminal, and so on
	outTerm  bool
	errTerm  bool
	outStyle style
	errStyle style
}

func newConsole() *console {
	c := &console{in: os.Stdin, out: os.Stdout, err: os.Stderr}
	c.inTerm, c.outTerm, c.errTerm = terminal(os.Stdin), terminal(os.Stdout), terminal(os.Stderr)
	coloured := os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	c.outStyle, c.errStyle = style(c.outTerm && coloured), style(c.errTerm && coloured)
	return c
}

func terminal(f *os.File) bool { return isatty.IsTerminal(f.Fd()) || isatty.IsCygwinTerminal(f.Fd()) }

// hungUp tells whether the terminal that the command was started in is gone.
func (c *console) hungUp() bool { return c.inTerm && !terminal(os.Stdin) }

// outputFlags choose between people and programs.
type outputFlags struct {
	JSON *bool `name:"json" negatable:"" help:"JSON lines; the default where standard output is no terminal."`
}

func (o outputFlags) json(c *console) bool {
	if o.JSON != nil {
		return *o.JSON
	}
	return !c.outTerm
}

// note prints one line about the course of things, for people.
func (c *console) note(format string, args ...any) {
	fmt.Fprintln(c.err, c.errStyle.dim(printable(fmt.Sprintf(format, args...))))
}

// style colours text, or leaves it alone.
type style bool

func (s style) wrap(code, text string) string {
	if !s {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (s style) bold(text string) string  { return s.wrap("1", text) }
func (s style) dim(text string) string   { return s.wrap("2", text) }
func (s style) red(text string) string   { return s.wrap("31", text) }
func (s style) green(text string) string { return s.wrap("32", text) }
func (s style) blue(text string) string  { return s.wrap("36", text) }

// printable makes text from outside harmless on a terminal: control characters, escapes and what turns the direction
// of writing are shown by number. Line ends become blanks.
func printable(text string) string {
	clean := true
	for _, r := range text {
		clean = clean && unicode.IsPrint(r)
	}
	if clean {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		switch {
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r == '\n' || r == '\r' || r == '\t':
			b.WriteByte(' ')
		case r > 0xffff:
			fmt.Fprintf(&b, `\U%08x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}
