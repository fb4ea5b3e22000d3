package rules

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// measure is something counted that has a limit. A place over it may be listed as an exception.
type measure struct {
	kind  string // "function", "file", …: the first word of an exception
	path  string
	name  string // what in the file; "" for the file as a whole
	line  int
	size  int
	limit int
	text  string // what is counted, and the cure
}

func (m measure) where() string {
	if m.name == "" {
		return m.path
	}
	return m.path + "#" + m.name
}

// Exception allows one place a size over the limit, and not more than that.
type Exception struct {
	Line   int
	Kind   string
	Where  string // path, or path#Name
	Size   int
	Reason string
}

const exceptionsFile = "internal/rules/exceptions.txt"

var exceptionLine = regexp.MustCompile(`^(\S+)\s+(\S+)\s+(\d+)\s+(\S+(?:\s+\S+){2,})$`)

func (t *Tree) readExceptions() {
	for i, line := range strings.Split(t.text(exceptionsFile), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		m := exceptionLine.FindStringSubmatch(line)
		if m == nil {
			t.problems = append(t.problems, Problem{exceptionsFile, i + 1, "an exception reads: kind path#Name size reason, the reason in at least three words"})
			continue
		}
		size, _ := strconv.Atoi(m[3])
		t.Exceptions = append(t.Exceptions, Exception{Line: i + 1, Kind: m[1], Where: m[2], Size: size, Reason: m[4]})
	}
}

// over turns what exceeds its limit into problems, unless an exception covers it.
func (t *Tree) over(ms []measure) (found []Problem) {
	for _, m := range ms {
		if m.size <= m.limit {
			continue
		}
		if e := t.exception(m); e == nil {
			found = append(found, Problem{m.path, m.line, fmt.Sprintf("%s %d (limit %d): %s", label(m), m.size, m.limit, m.text)})
		} else if m.size > e.Size {
			found = append(found, Problem{m.path, m.line, fmt.Sprintf("%s %d, but its exception says %d: an exception does not grow; %s", label(m), m.size, e.Size, m.text)})
		}
	}
	return found
}

func label(m measure) string { return strings.TrimSpace(m.kind + " " + m.name) }

func (t *Tree) exception(m measure) *Exception {
	i := slices.IndexFunc(t.Exceptions, func(e Exception) bool { return e.Kind == m.kind && e.Where == m.where() })
	if i < 0 {
		return nil
	}
	return &t.Exceptions[i]
}

// checkExceptions finds exceptions that nothing needs any more.
func checkExceptions(t *Tree) (found []Problem) {
	all := slices.Concat(t.sizes(), t.contracts(), t.goroutines(), t.globals(), t.sleeps())
	for i, e := range t.Exceptions {
		needed := slices.ContainsFunc(all, func(m measure) bool {
			return m.kind == e.Kind && m.where() == e.Where && m.size > m.limit
		})
		if !needed {
			found = append(found, Problem{exceptionsFile, e.Line, e.Kind + " " + e.Where + " keeps the rule now: remove its exception"})
		}
		if slices.ContainsFunc(t.Exceptions[:i], func(o Exception) bool { return o.Kind == e.Kind && o.Where == e.Where }) {
			found = append(found, Problem{exceptionsFile, e.Line, e.Kind + " " + e.Where + " is listed twice: keep one"})
		}
	}
	return found
}
