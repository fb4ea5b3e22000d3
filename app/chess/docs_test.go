package chess

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"carillon/channel"
)

// TestDocument plays the examples of the document, which build on each other, and holds what is written there against what
// the machines say. Its table of refusals and its names of commands are those of the code.
func TestDocument(t *testing.T) {
	raw, err := os.ReadFile("../../docs/chess.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	examples := regexp.MustCompile("(?s)```chess\n(.*?)```").FindAllStringSubmatch(text, -1)
	if len(examples) < 3 {
		t.Fatalf("%d examples", len(examples))
	}
	w := newWorld(t)
	for _, e := range examples {
		var replied string
		for _, line := range strings.Split(strings.TrimSpace(e[1]), "\n") {
			w.line(line, &replied)
		}
	}
	w.replay()
	for _, c := range Codes() {
		if row := fmt.Sprintf("| %d | `%s` |", c, c.Name()); !strings.Contains(text, row) {
			t.Errorf("the document lacks the row %s", row)
		}
	}
	if extra := fmt.Sprintf("| %d | `", len(Codes())+1); strings.Contains(text, extra) {
		t.Errorf("the document has more refusals than the code")
	}
	for r := checkmate; r <= firstMove; r++ {
		if !strings.Contains(text, "`"+r.String()+"`") {
			t.Errorf("the document lacks the reason %s", r)
		}
	}
}

// line plays one line of an example.
func (w *world) line(line string, replied *string) {
	w.t.Helper()
	mark, rest, _ := strings.Cut(line, " ")
	switch mark {
	case "~":
		d, err := time.ParseDuration(rest)
		if err != nil {
			w.fatal("%s: %v", line, err)
		}
		w.said = nil
		w.pass(d)
	case "=":
		if *replied != rest {
			w.fatal("the document says\n= %s, answered is\n= %s", rest, *replied)
		}
	case "!":
		if !strings.HasPrefix(*replied, `{"error":"`+rest+`"`) {
			w.fatal("the document says refused as %s, answered is %s", rest, *replied)
		}
	case "+":
		i := slices.IndexFunc(w.said, func(s said) bool { return s.String() == rest })
		if i < 0 {
			w.fatal("the document says\n+ %s, told is\n+ %v", rest, w.said)
		}
		w.said = w.said[i+1:]
	default:
		n, body, _ := strings.Cut(rest, " ")
		*replied = string(w.ask(mark, channel.Name(n), body).Reply)
	}
}

// String is a record as the document writes it, the key of a latest one behind the channel.
func (s said) String() string {
	switch {
	case s.record.Key == "":
		return fmt.Sprintf("%s %s", s.channel, s.record.Body)
	case s.record.Body == nil:
		return fmt.Sprintf("%s [%s] deleted", s.channel, s.record.Key)
	}
	return fmt.Sprintf("%s [%s] %s", s.channel, s.record.Key, s.record.Body)
}
