package config

import (
	"fmt"
	"strconv"
	"strings"
)

// Source is where a value came from.
type Source struct {
	Kind SourceKind
	Name string // path of the file, name of the variable or of the flag
	Line int    // in the file
}

// SourceKind is a kind of source; a higher one wins.
type SourceKind uint8

// The sources, from the weakest.
const (
	FromDefault SourceKind = iota
	FromFile
	FromEnv
	FromFlag
)

func (s Source) String() string {
	switch {
	case s.Kind == FromDefault && s.Name == "":
		return "default"
	case s.Kind == FromFile && s.Line > 0:
		return s.Name + ":" + strconv.Itoa(s.Line)
	}
	return s.Name
}

// Problem is something wrong, or doubtful, with one setting. It never holds a secret's value.
type Problem struct {
	Key    string // the setting, or what was taken for one; "config" where a source cannot be read at all
	Source Source
	Text   string // what is wrong and what to do
	Doubt  bool   // the server would run with it
}

func (p Problem) String() string {
	text := p.Key + " " + p.Text
	if p.Source.Kind != FromDefault {
		text = p.Source.String() + ": " + text
	}
	return text
}

// Problems are all that is wrong with a configuration, as one error.
type Problems []Problem

func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// shownValue is the longest value that is repeated in an error, in bytes.
const shownValue = 64

// shown is a value as an error repeats it: quoted, and not at any length.
func shown(value string) string {
	if len(value) > shownValue {
		value = strings.ToValidUTF8(value[:shownValue], "") + "…"
	}
	return fmt.Sprintf("%q", value)
}

// nearest is the known name that a wrong one was probably meant to be; "" if none is near.
func nearest(wrong string, known []string) string {
	best, least := "", max(1, min(len(wrong)/3, 3))+1
	for _, name := range known {
		if len(wrong) <= 2*maxKeyName && distance(wrong, name) < least {
			best, least = name, distance(wrong, name)
		}
	}
	return best
}

// maxKeyName bounds the names that are compared, in bytes.
const maxKeyName = 64

// distance counts the letters to insert, remove, replace or swap with their neighbour (Damerau, restricted form).
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
