package main

import (
	"errors"
	"fmt"

	"carillon/config"
)

// Exit codes, as --help lists them.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitRefused     = 3
	exitUnreachable = 4
	exitInterrupted = 130
)

// failure is an error as people get it: a sentence, what to do next, and the exit code.
type failure struct {
	code int
	say  string // without a capital or a full stop, as errors are
	next string // a full sentence or a command; "" where nothing sensible can be advised
}

func (f *failure) Error() string { return f.say }

func asFailure(err error) *failure {
	var f *failure
	if errors.As(err, &f) {
		return f
	}
	return nil
}

func usage(next, format string, args ...any) *failure {
	return &failure{exitUsage, fmt.Sprintf(format, args...), next}
}

// fail prints err, if there is one, and gives the exit code.
func (c *console) fail(err error) int {
	if err == nil {
		return exitOK
	}
	f := asFailure(err)
	var wrong config.Problems
	switch {
	case f != nil:
	case errors.As(err, &wrong):
		f = wrongSettings(wrong)
	default:
		f = &failure{code: exitFailed, say: err.Error()}
	}
	if f.say != "" {
		fmt.Fprintf(c.err, "%s %s\n", c.errStyle.red("carillon:"), printable(f.say))
	}
	for _, p := range wrong {
		fmt.Fprintf(c.err, "  %s\n", printable(p.String()))
	}
	if f.next != "" {
		fmt.Fprintf(c.err, "  %s\n", printable(f.next))
	}
	return f.code
}
