package counter

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

var block = regexp.MustCompile("(?s)<!-- (app/counter/\\S+) -->\n```go\n(.*?)```")

// TestPage: the code blocks of the page, put together, are the files of this package, which the other tests run.
func TestPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/writing-an-app.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := block.FindAllStringSubmatch(string(page), -1)
	if all := strings.Count(string(page), "```go\n"); len(blocks) != all {
		t.Errorf("%d of %d blocks of code say which file they belong to", len(blocks), all)
	}
	files := map[string][]string{}
	for _, b := range blocks {
		files[b[1]] = append(files[b[1]], b[2])
	}
	for _, name := range []string{"app/counter/counter.go", "app/counter/counter_test.go"} {
		want, err := os.ReadFile("../../" + name)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(files[name], "\n"); got != string(want) {
			t.Errorf("the blocks of %s differ from the file from byte %d on: %q", name, differ(got, string(want)), tail(got, string(want)))
		}
	}
}

// TestSize: the sample stays one that is read in a few minutes.
func TestSize(t *testing.T) {
	b, err := os.ReadFile("counter.go")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(b), "\n"); n > 150 {
		t.Errorf("counter.go has %d lines", n)
	}
}

func differ(a, b string) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

func tail(a, b string) string {
	i := differ(a, b)
	return a[i:min(len(a), i+60)]
}
