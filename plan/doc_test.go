package plan

import (
	"flag"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var write = flag.Bool("write", false, "write what the commands print into the document")

// TestDocument runs the commands in docs/scaling.md and compares what stands below them. -write puts it there.
func TestDocument(t *testing.T) {
	const path = "../docs/scaling.md"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```\n\\$ carillon plan ([^\n]*)\n(.*?)```")
	n := 0
	out := block.ReplaceAllStringFunc(string(text), func(b string) string {
		n++
		m := block.FindStringSubmatch(b)
		return "```\n$ carillon plan " + m[1] + "\n" + printed(t, strings.Fields(m[1])) + "```"
	})
	if n == 0 {
		t.Fatal("the document has no command")
	}
	switch {
	case out == string(text):
	case *write:
		if err := os.WriteFile(path, []byte(out), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Error("docs/scaling.md says something else than carillon plan: go test ./plan -write")
	}
}

// printed is what a command prints; flags that are missing have the defaults of Command.
func printed(t *testing.T, args []string) string {
	var out strings.Builder
	c := Command{Payload: 200, Lifetime: 1800, Price: 0.6, Out: &out}
	fields := map[string]*float64{
		"--connections": &c.Connections, "--published": &c.Published, "--audience": &c.Audience, "--cores": &c.Cores,
		"--memory": &c.Memory, "--network": &c.Network, "--most": &c.Most,
	}
	for i := 0; i+1 < len(args); i += 2 {
		v, err := strconv.ParseFloat(args[i+1], 64)
		if err != nil || fields[args[i]] == nil {
			t.Fatalf("%s %s: %v", args[i], args[i+1], err)
		}
		*fields[args[i]] = v
	}
	if err := c.Run(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}
