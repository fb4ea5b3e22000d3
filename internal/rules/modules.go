package rules

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// module is a dependency we chose. where lists the packages whose program text may import it; tests may import all.
type module struct {
	path  string
	where []string
	why   string
}

var moduleTable = []module{
	{"github.com/alecthomas/kong", []string{"cmd/carillon", "config"}, "commands and flags from tagged structs, without a framework around main"},
	{"github.com/coder/websocket", []string{"client"}, "WebSocket for the Go client, in the browser's runtime too; the server's is our own"},
	{"github.com/HdrHistogram/hdrhistogram-go", []string{"bench"}, "latencies with known precision, comparable with other tools"},
	{"github.com/anishathalye/porcupine", nil, "tests judge whether histories are linearizable with code that others trust"},
	{"github.com/golang-jwt/jwt/v5", []string{"gateway/auth"}, "tokens are checked by code that many eyes have read"},
	{"github.com/jackc/pgx/v5", []string{"store/postgres", "config"}, "Postgres in its own protocol: batches, copies, and errors by code"},
	{"github.com/mattn/go-isatty", []string{"cmd/carillon", "observe"}, "people get colours and tables, programs get lines"},
	{"github.com/pressly/goose/v3", []string{"store", "store/*"}, "migrations that people can also run by hand"},
	{"github.com/prometheus/client_golang", []string{"observe/scrape"}, "the exposition that everybody scrapes"},
	{"github.com/prometheus/client_model", []string{"observe/scrape"}, "the types of that exposition"},
	{"github.com/prometheus/common", nil, "tests read the exposition as a scraper does"},
	{"github.com/redis/rueidis", []string{"backbone", "journal/redis", "bus/redis", "config"}, "Redis alone, under Sentinels or as a Cluster, pipelined by itself"},
	{"go.uber.org/goleak", nil, "tests find goroutines that nobody waits for"},
	{"go.yaml.in/yaml/v3", []string{"config"}, "a configuration file with comments, and errors with lines"},
	{"golang.org/x/sys", []string{"gateway/transport", "gateway/transport/*", "bench", "store/*", "config"}, "socket options the standard library does not name"},
	{"modernc.org/sqlite", []string{"store/sqlite"}, "SQLite without cgo: one static binary"},
	{"pgregory.net/rapid", nil, "property tests that shrink what they find"},
}

var (
	requireLine = regexp.MustCompile(`^(?:require\s+)?([\w.-]+\.[\w./-]+)\s+(v\S+)(\s*// indirect)?`)
	goLine      = regexp.MustCompile(`(?m)^go 1\.\d+`)
)

type requirement struct {
	path     string
	line     int
	indirect bool
}

func checkModules(t *Tree) (found []Problem) {
	body := t.text("go.mod")
	if !goLine.MatchString(body) {
		found = append(found, Problem{Path: "go.mod", Text: "add a go line: it decides what the language means"})
	}
	used, imports := t.modulesUsed(body)
	found = append(found, imports...)
	for i, line := range strings.Split(body, "\n") {
		if strings.HasPrefix(strings.TrimSpace(line), "replace") {
			found = append(found, Problem{"go.mod", i + 1, "no replace directives: nobody could install from this module"})
		}
	}
	for _, r := range requirements(body) {
		say := func(text string) { found = append(found, Problem{"go.mod", r.line, text}) }
		switch {
		case !r.indirect && moduleOf(r.path) == nil:
			say(r.path + " is not in the table of modules (internal/rules/modules.go): add it there with a reason, or do without")
		case !r.indirect && !used[r.path]:
			say(r.path + " is required but nothing imports it: run `go mod tidy`")
		case r.indirect && used[r.path]:
			say(r.path + " is imported but marked indirect: run `go mod tidy`")
		}
	}
	return found
}

// modulesUsed collects which required modules are imported, and the imports that are not allowed where they stand.
func (t *Tree) modulesUsed(gomod string) (used map[string]bool, found []Problem) {
	used = map[string]bool{}
	required := requirements(gomod)
	for _, f := range t.Files {
		for _, spec := range f.AST.Imports {
			imported := importPath(spec)
			if first, _, _ := strings.Cut(imported, "/"); !strings.Contains(first, ".") {
				continue // the standard library, or ours
			}
			for _, r := range required {
				if within(imported, r.path) {
					used[r.path] = true
				}
			}
			m := moduleOf(imported)
			if m == nil {
				found = append(found, Problem{f.Path, t.line(spec), imported + " belongs to no module in the table (internal/rules/modules.go): add it there with a reason, or do without"})
			} else if !f.Test && !suite(f.Dir) && !matchesAny(m.where, f.Dir) {
				found = append(found, Problem{f.Path, t.line(spec), fmt.Sprintf("%s is not for %s (%s): keep a vendor behind one package", m.path, f.Dir, m.why)})
			}
		}
	}
	return used, found
}

func requirements(gomod string) (rs []requirement) {
	for i, line := range strings.Split(gomod, "\n") {
		if m := requireLine.FindStringSubmatch(strings.TrimSpace(line)); m != nil {
			rs = append(rs, requirement{path: m[1], line: i + 1, indirect: m[3] != ""})
		}
	}
	return rs
}

func moduleOf(imported string) *module {
	i := slices.IndexFunc(moduleTable, func(m module) bool { return within(imported, m.path) })
	if i < 0 {
		return nil
	}
	return &moduleTable[i]
}

func (t *Tree) text(p string) string {
	i := slices.IndexFunc(t.Texts, func(x Text) bool { return x.Path == p })
	if i < 0 {
		return ""
	}
	return t.Texts[i].Body
}
