package rules

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// healthy is a small repository that breaks no rule, and comes close to breaking most of them.
var healthy = map[string]string{
	"go.mod":   "module carillon\n\ngo 1.26.8\n\nrequire (\n\tpgregory.net/rapid v1.3.0\n\tgithub.com/google/uuid v1.6.0 // indirect\n)\n",
	"Makefile": ".PHONY: test\nFLAG := x\ntest: ## run the tests\n\tgo test ./...\nfmt lint:\n\ttrue\n",
	"README.md": "# Carillon\n\n## The `make` part, in brief\n\nSee [contract](ARCHITECTURE.md#two-words), [here](#the-make-part-in-brief) and [there](https://example.org/x).\n" +
		"\n```sh\nX=1 make test # and more\nmake lint fmt V=1\n```\n\n```go\n// [no](link.md) here\n```\n",
	"ARCHITECTURE.md": "# Two words\n# Two words\n`journal.Appender`, `journal.Appender.Append`, `journal/journal.go`, `gateway/transport/ws/`, `journal.go`, `http.Server`, `Ring.head`, `any text at all`, `go.mod`\n[second](#two-words-1)\n",
	"channel/channel.go": "// Package channel is the vocabulary.\npackage channel\n\nimport \"errors\"\n\n// ErrName says no.\nvar ErrName = errors.New(\"no\")\n\n" +
		"var table = func() (t [256]bool) { t[1] = true; return t }()\n\n// Class is one.\ntype Class uint8\n\nconst (\n\tOne Class = iota\n\tTwo\n)\n\nfunc (c Class) String() string { return \"\" }\n",
	"channel/channel_test.go": "package channel_test\n\nimport (\n\t\"testing\"\n\t\"testing/synctest\"\n\t\"time\"\n\n\t\"carillon/wire\"\n\t\"pgregory.net/rapid\"\n)\n\nvar sink int\n\n" +
		"func TestX(t *testing.T) {\n\tsink++\n\tgo rapid.Check(t, nil)\n\tsynctest.Test(t, func(*testing.T) { time.Sleep(1) })\n\t_ = wire.X\n}\n",
	"wire/wire.go":       "// Package wire is bytes.\npackage wire\n\n// X is one.\nconst X = 1\n",
	"journal/journal.go": "// Package journal is the contract of truth.\npackage journal\n\nimport \"carillon/channel\"\n\n// Appender appends.\ntype Appender interface {\n\t// Append appends.\n\tAppend(c channel.Class)\n}\n",
	"gateway/transport/ws/ws.go": "// Package ws is WebSocket.\npackage ws\n\nimport (\n\t\"net/http\"\n\t\"time\"\n)\n\ntype Ring struct{ head int } // Ring is one.\n\n" +
		"var limits = []int{1}\n\nfunc run(limits map[int]int, srv *http.Server) {\n\tgo run(nil, nil)\n\tlimits[1] = 2\n\tlimits = nil\n\tsrv.Addr = time.Now().String()\n}\n",
	"docs/decisions/001-one-log.md": "# 001. One log\n\n## Context\nx\n\n## Decision\nx\n\n## Consequences\nx\n",
	"internal/rules/exceptions.txt": "# kind where size reason\n",
}

// plant is a violation: files laid over the healthy tree, and the one rule that must find it.
type plant struct {
	rule string
	lay  map[string]string
	want string // in the place or the text of the problem
}

var plants = []plant{
	{"parse", in("channel/bad.go", "package channel\nfunc {"), "does not parse"},
	{"imports", in("bus/local/local.go", pkg("local")+"import _ \"carillon/gateway/hub\"\n"), "bus/local may not import gateway/hub"},
	{"imports", in("bus/local/local.go", pkg("local")+"import _ \"carillon/bus/redis\"\n"), "may not import bus/redis"},
	{"imports", in("channel/net.go", "package channel\n\nimport _ \"net/netip\"\n"), "must never import net/netip"},
	{"imports", in("app/chess/chess.go", pkg("chess")+"import \"time\"\n\nvar start = time.Now().Year()\n"), "must never use time.Now"},
	{"imports", in("app/chess/chess.go", pkg("chess")+"import clock \"time\"\n\nvar start = clock.NewTimer\n"), "must never use time.NewTimer"},
	{"imports", in("app/chess/chess.go", pkg("chess")+"import _ \"carillon/ledger\"\n"), "may not import ledger"},
	{"imports", in("novelty/novelty.go", pkg("novelty")), "no row in the import table"},
	{"imports", in("node/node.go", pkg("node")+"import _ \"carillon/bench\"\n"), "node may not import bench"},
	{"imports", in("wire/more.go", "package wire\n\nimport _ \"testing\"\n"), "only tests and test suites"},
	{"test-imports", in("channel/up_test.go", "package channel_test\n\nimport _ \"carillon/journal\"\n"), "look up to journal"},
	{"test-imports", in("channel/up_test.go", "package channel_test\n\nimport _ \"carillon/cmd/carillon\"\n"), "nothing imports a command"},
	{"modules", in("go.mod", healthy["go.mod"]+"replace a.org/b => ../b\n"), "no replace"},
	{"modules", in("go.mod", "module carillon\nrequire pgregory.net/rapid v1.3.0\n"), "add a go line"},
	{"modules", in("go.mod", healthy["go.mod"]+"require example.org/x v1.0.0\n"), "not in the table"},
	{"modules", in("go.mod", healthy["go.mod"]+"require go.uber.org/goleak v1.0.0\n"), "nothing imports it"},
	{"modules", in("go.mod", strings.Replace(healthy["go.mod"], "v1.3.0", "v1.3.0 // indirect", 1)), "marked indirect"},
	{"modules", in("wire/more.go", "package wire\n\nimport _ \"github.com/google/uuid\"\n"), "no module in the table"},
	{"modules", in("wire/more.go", "package wire\n\nimport _ \"pgregory.net/rapid\"\n"), "is not for wire"},
	{"package-names", in("bench/bench.go", pkg("bench"), "bench/util_test.go", "package util_test\n"), "no package is called util"},
	{"package-comments", in("bench/bench.go", "package bench\n"), "has no comment"},
	{"package-comments", in("bench/load.go", pkg("bench")), "belongs into bench/bench.go"},
	{"package-comments", in("bench/bench.go", pkg("bench"), "bench/doc.go", pkg("bench")), "second package comment"},
	{"package-comments", in("bench/bench.go", "// Package bench is.\n"+strings.Repeat("// More.\n", 12)+"package bench\n"), "has 13 lines"},
	{"package-comments", in("bench/bench.go", "// Loads things.\npackage bench\n"), "should begin with"},
	{"exported-comments", in("channel/more.go", "package channel\n\nfunc Do() {}\n"), "Do is exported"},
	{"exported-comments", in("channel/more.go", "package channel\n\nfunc (*Class) Do() {}\n"), "Class.Do is exported"},
	{"exported-comments", in("channel/more.go", "package channel\n\nconst Max = 1\n"), "Max is exported"},
	{"exported-comments", in("channel/more.go", "package channel\n\n// D is.\ntype D interface{ Do() }\n"), "D.Do is exported"},
	{"words", in("docs/x.md", "look at /wo"+"rk/main\n"), "path of one machine"},
	{"words", in("scripts/x.sh", "cat ../sha"+"red/DES"+"IGN.md\n"), "outside the repository"},
	{"words", in("docs/x.md", "GOPROXY=https://proxy.golang"+".org\n"), "host of a registry"},
	{"words", in("docs/x.md", "a sub"+"agent wrote this\n"), "not a word of the product"},
	{"words", in("sdk/ts/x.ts", "// TO"+"DO later\n"), "file an issue"},
	{"sizes", in("channel/long.go", "package channel\n\nfunc long() {\n"+strings.Repeat("\t_ = 1\n", 59)+"}\n"), "function long 61 (limit 60)"},
	{"sizes", in("channel/long_test.go", "package channel\n\nfunc long() {\n"+strings.Repeat("\t_ = 1\n", 119)+"}\n"), "function long 121 (limit 120)"},
	{"sizes", in("channel/long.go", "package channel\n"+strings.Repeat("\n", 500)), "file 501 (limit 500)"},
	{"sizes", in("sdk/ts/long.ts", strings.Repeat("\n", 501)), "file 501 (limit 500)"},
	{"sizes", in("channel/wide.go", "package channel\n\ntype wide struct{ a"+strings.Repeat(", b", 25)+" int }\n"), "struct wide 26"},
	{"sizes", in("channel/wide.go", "package channel\n\ntype wide interface{ a(); b(); c(); d(); e(); error }\n"), "interface wide 6"},
	{"sizes", in("channel/wide.go", "package channel\n\ntype wide interface{ a(); b(); c(); d(); e(); error; f() }\n",
		"internal/rules/exceptions.txt", "interface channel/wide.go#wide 6 for a good reason\n"), "an exception does not grow"},
	{"contracts", in("bus/bus.go", pkg("bus")+strings.Repeat("\n", 120)), "contract 122 (limit 120)"},
	{"contracts", in("bus/bus.go", pkg("bus")+"\nfunc f() {\n\tfor {\n\t}\n}\n"), "logic f"},
	{"goroutines", in("gateway/session/session.go", pkg("session")+"\nfunc f() { go f() }\n"), "go 1 (limit 0)"},
	{"init", in("channel/more.go", "package channel\n\nfunc init() {}\n"), "no init function"},
	{"globals", in("channel/more.go", "package channel\n\nfunc f() { table[2] = true }\n"), "global table 1"},
	{"globals", in("channel/more.go", "package channel\n\nvar n int\n\nfunc f() { n++ }\n"), "global n 1"},
	{"globals", in("channel/more_test.go", "package channel\n\nimport \"x.org/y\"\n\nfunc f() { ErrName = y.Z(1) }\n"), "global ErrName 1"},
	{"globals", in("channel/more.go", "package channel\n\nimport \"net/http\"\n\nfunc f() { http.DefaultClient = nil }\n"), "global http 1"},
	{"globals", in("channel/more.go", "package channel\n\nimport \"sync\"\n\nvar mu sync.Mutex\n"), "global mu 1"},
	{"globals", in("channel/more.go", "package channel\n\nvar seen = map[int]bool{}\n\nfunc f() { delete(seen, 1) }\n"), "global seen 1"},
	{"sleeps", in("wire/x_test.go", "package wire\n\nimport \"time\"\n\nfunc f() { time.Sleep(1) }\n"), "sleep 1 (limit 0)"},
	{"exceptions", in("internal/rules/exceptions.txt", "function wire/wire.go#f 99 it was long once\n"), "remove its exception"},
	{"parse", in("internal/rules/exceptions.txt", "function wire/wire.go#f 99 because\n"), "in at least three words"},
	{"links", in("docs/x.md", "see [it](../NOWHERE.md)\n"), "does not exist"},
	{"links", in("docs/x.md", "see [it][1]\n\n[1]: ../README.md#nowhere\n"), "no heading #nowhere"},
	{"names-in-docs", in("ARCHITECTURE.md", "# Two words\n`journal.Apender`\n"), "declares no Apender"},
	{"names-in-docs", in("ARCHITECTURE.md", "# Two words\n`journal.Appender.Apend`\n"), "declares no Appender.Apend"},
	{"names-in-docs", in("ARCHITECTURE.md", "# Two words\n`jornal.Appender`\n"), "no package jornal"},
	{"names-in-docs", in("ARCHITECTURE.md", "# Two words\n`Appender.Apend`\n"), "no type of ours"},
	{"names-in-docs", in("ARCHITECTURE.md", "# Two words\n`journal/appender.go`\n"), "mend the path"},
	{"make-targets", in("docs/x.md", "```sh\ncd x && make tests\n```\n"), "no target tests"},
	{"decisions", in("docs/decisions/2-x.md", ""), "NNN-title.md"},
	{"decisions", in("docs/decisions/001-two.md", "# 001. Two\n\n## Context\n\n## Decision\n\n## Consequences\n"), "is taken by"},
	{"decisions", in("docs/decisions/002-two.md", "# Two\n\n## Context\n\n## Decision\n\n## Consequences\n"), "begins with the heading"},
	{"decisions", in("docs/decisions/002-two.md", "# 002. Two\n\n## Context\n\n## Consequences\n"), "lacks the part"},
	{"decisions", in("docs/decisions/002-two.md", "# 002. Two\n\n## Context\n\n## Decision\n\n## Consequences\n"+strings.Repeat("\n", 60)), "60 are enough"},
}

// in pairs paths with what stands there.
func in(pairs ...string) map[string]string {
	m := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return m
}

func pkg(name string) string { return "// Package " + name + " is planted.\npackage " + name + "\n" }

func load(t *testing.T, overlay map[string]string) *Tree {
	t.Helper()
	fsys := fstest.MapFS{}
	for _, layer := range []map[string]string{healthy, overlay} {
		for path, body := range layer {
			fsys[path] = &fstest.MapFile{Data: []byte(body)}
		}
	}
	tree, err := Load(fsys)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func TestHealthyTreeBreaksNoRule(t *testing.T) {
	tree := load(t, nil)
	for _, rule := range All() {
		for _, p := range rule.Check(tree) {
			t.Errorf("%s: %v", rule.Name, p)
		}
	}
}

func TestEveryRuleFindsWhatIsPlanted(t *testing.T) {
	silent := map[string]bool{}
	rules := map[string]Rule{}
	for _, r := range All() {
		silent[r.Name], rules[r.Name] = true, r
	}
	for _, p := range plants {
		found := rules[p.rule].Check(load(t, p.lay))
		if !slices.ContainsFunc(found, func(f Problem) bool { return strings.Contains(f.String(), p.want) }) {
			t.Errorf("%s: planted in %v, wanted a problem with %q, found %v", p.rule, slices.Collect(maps.Keys(p.lay)), p.want, found)
			continue
		}
		delete(silent, p.rule)
	}
	for name := range silent {
		t.Errorf("the rule %q was never seen to fail: plant a violation of it", name)
	}
}

func TestExceptionCoversItsPlace(t *testing.T) {
	tree := load(t, in("channel/wide.go", "package channel\n\ntype wide interface{ a(); b(); c(); d(); e(); error }\n",
		exceptionsFile, "interface channel/wide.go#wide 6 for a good reason\n"))
	if found := slices.Concat(checkSizes(tree), checkExceptions(tree)); len(found) > 0 {
		t.Error(found)
	}
}

func TestImportTableHasOneRowEach(t *testing.T) {
	for i, r := range importTable {
		if r.why == "" {
			t.Errorf("%s has no reason", r.pkg)
		}
		for _, earlier := range importTable[:i] {
			if matches(earlier.pkg, r.pkg) {
				t.Errorf("%s is never reached: %s stands before it", r.pkg, earlier.pkg)
			}
		}
	}
}

func TestSlug(t *testing.T) {
	for title, want := range map[string]string{
		"The `make` part, in brief": "the-make-part-in-brief",
		"4. [Tree](x.md) & who":     "4-tree--who",
		"Größe_1":                   "größe_1",
	} {
		if got := slug(title); got != want {
			t.Errorf("slug(%q) = %q, want %q", title, got, want)
		}
	}
}
