package rules

import (
	"fmt"
	"go/ast"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// importRow says what one kind of package may import of ours, and what it must never use of anybody's.
// Patterns: "a/*" is every folder in a, "..." everything. The first row that matches a package is its row.
type importRow struct {
	pkg   string
	may   []string
	not   []string // taken out of may
	never []string // import paths with all below them, or single names such as time.Now
	why   string
}

var (
	outside  = []string{"net", "database/sql"}
	unstable = []string{ // what would make two runs of an app differ
		"net", "os", "context", "sync", "math/rand", "crypto/rand",
		"time.Now", "time.Since", "time.Until", "time.Sleep", "time.After", "time.AfterFunc", "time.NewTimer", "time.NewTicker", "time.Tick",
	}
)

// importTable is the tree of the design. Packages that do not exist yet have their row already.
var importTable = []importRow{
	{pkg: "channel", never: outside, why: "the vocabulary depends on nothing, so that everything can depend on it"},
	{pkg: "observe", never: outside, why: "counting must never be the reason for an import cycle"},
	{pkg: "observe/scrape", may: []string{"observe"}, never: []string{"database/sql"}, why: "the exposition, so that who counts does not link it"},
	{pkg: "ledger", never: append([]string{"time.Now"}, outside...), why: "the rules of money are pure"},
	{pkg: "wire", may: []string{"channel"}, never: outside, why: "bytes in, messages out; whose socket it is does not matter"},

	{pkg: "app", may: []string{"channel", "ledger"}, never: unstable, why: "the contract of a service knows no runtime"},
	{pkg: "app/dice", may: []string{"app", "channel", "ledger"}, never: unstable, why: "a step is pure; dice alone moves money"},
	{pkg: "app/chess/*", never: unstable, why: "rules of chess and ratings: pure, for the service and for whoever reads a game"},
	{pkg: "app/chess", may: []string{"app", "app/chess/*", "channel"}, never: unstable, why: "a step is pure; rules and ratings are parts of it"},
	{pkg: "app/*", may: []string{"app", "channel"}, never: unstable, why: "a step is pure: the same commands give the same bytes"},

	{pkg: "journal", may: []string{"channel", "ledger"}, never: outside, why: "the contract of truth names no place where it is kept"},
	{pkg: "journal/journaltest", may: []string{"journal", "channel", "ledger"}, why: "the law of journals, for every implementation alike"},
	{pkg: "backbone", may: []string{"channel", "observe"}, never: []string{"database/sql"}, why: "what journal and bus share of one Redis: reaching it, names of keys, the form of a record"},
	{pkg: "journal/*", may: []string{"journal", "channel", "ledger", "observe", "backbone"}, why: "an implementation knows its contract and no neighbour"},
	{pkg: "store", may: []string{"journal", "channel", "ledger", "observe"}, why: "schema and migrations, shared by the SQL journals"},
	{pkg: "store/storetest", may: []string{"store", "journal", "channel", "ledger"}, why: "the law of SQL stores"},
	{pkg: "store/*", may: []string{"store", "journal", "channel", "ledger", "observe", "internal/fault"}, never: []string{"net/http"}, why: "one dialect each, none knows another"},
	{pkg: "bus", may: []string{"channel"}, never: outside, why: "the contract between nodes names no network"},
	{pkg: "bus/bustest", may: []string{"bus", "channel"}, why: "the law of buses"},
	{pkg: "bus/*", may: []string{"bus", "channel", "ledger", "observe", "backbone"}, never: []string{"database/sql"}, why: "a bus keeps nothing"},

	{pkg: "worker", may: []string{"app", "journal", "bus", "channel", "ledger", "observe", "internal/fault"}, never: outside, why: "it runs services through contracts, without a socket"},
	{pkg: "gateway/hub", may: []string{"channel", "observe"}, never: outside, why: "fan-out works on bytes that others encoded"},
	{pkg: "gateway/auth", may: []string{"channel", "observe"}, never: []string{"database/sql"}, why: "one decision for socket, REST, resume and history; key sets may come over HTTP"},
	{pkg: "gateway/auth/jwks", may: []string{"gateway/auth"}, never: []string{"database/sql"}, why: "keys come from one fixed URL; judging tokens needs no network"},
	{pkg: "gateway/limit", may: []string{"channel", "observe"}, never: []string{"database/sql"}, why: "limits are local and cheap"},
	{pkg: "gateway/presence", may: []string{"channel", "bus", "observe"}, never: outside, why: "it speaks to the roster, not to clients"},
	{pkg: "gateway/transport", may: []string{"wire"}, never: []string{"database/sql"}, why: "a line knows bytes, not the conversation on it"},
	{pkg: "gateway/transport/transporttest", may: []string{"gateway/transport", "wire"}, why: "the law of transports"},
	{pkg: "gateway/transport/*", may: []string{"gateway/transport", "wire", "observe"}, never: []string{"database/sql"}, why: "one protocol each, none knows another"},
	{pkg: "gateway/session", may: []string{"gateway/transport", "wire", "channel", "gateway/hub", "gateway/auth", "gateway/limit", "gateway/presence", "observe"},
		never: []string{"database/sql"}, why: "a conversation is the same on every transport, and reaches the truth through the gateway"},
	{pkg: "gateway", may: []string{"gateway/*", "wire", "journal", "bus", "channel", "observe"}, never: []string{"database/sql"},
		why: "it owns the seam between journal, bus and hub, and knows contracts only"},
	{pkg: "api", may: []string{"gateway", "gateway/auth", "journal", "bus", "channel", "wire", "observe"}, never: []string{"database/sql"},
		why: "HTTP asks the gateway, so that both ways in decide alike"},

	{pkg: "client", may: []string{"wire", "channel"}, never: []string{"database/sql"}, why: "a client must be importable without the server"},
	{pkg: "bench", may: []string{"client", "wire", "channel"}, never: []string{"database/sql"}, why: "load comes from outside, as from anybody"},
	{pkg: "plan", may: []string{"backbone", "channel"}, never: outside, why: "it reckons and draws lots; that channels fall as in a cluster is what it shares with one"},
	{pkg: "config", may: []string{"channel"}, never: []string{"database/sql"}, why: "settings are data; doctor looks at ports and disks"},
	{pkg: "web", never: []string{"database/sql"}, why: "pages are files with a handler; what they show comes over the client protocol"},
	{pkg: "node", may: []string{"..."}, not: []string{"cmd/*", "bench", "sim", "internal/rules"}, why: "the only place that knows everything"},
	{pkg: "sim", may: []string{"..."}, not: []string{"cmd/*", "bench", "internal/rules"}, why: "a cluster in one process is wired like a node"},
	{pkg: "cmd/carillon", may: []string{"node", "client", "config", "wire", "channel", "bench", "plan", "gateway/auth", "gateway/transport", "gateway/transport/ws", "observe"}, never: []string{"database/sql"},
		why: "commands start a node or are a client; echo runs the parser alone, token create signs with the code that checks"},
	{pkg: "internal/rules", never: outside, why: "it judges the others"},
	{pkg: "internal/servertest", never: []string{"database/sql"}, why: "real servers for anybody's tests; the product uses nothing of it"},
	{pkg: "internal/fault", never: []string{"database/sql"}, why: "crash points and a bad network, for anybody's tests"},
}

func rowOf(dir string) (importRow, bool) {
	i := slices.IndexFunc(importTable, func(r importRow) bool { return matches(r.pkg, dir) })
	if i < 0 {
		return importRow{}, false
	}
	return importTable[i], true
}

func matches(pattern, dir string) bool {
	ok, _ := path.Match(pattern, dir)
	return ok || pattern == "..."
}

func matchesAny(patterns []string, dir string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, dir) })
}

func checkImports(t *Tree) (found []Problem) {
	for _, p := range t.Packages {
		files := p.sources()
		if len(files) == 0 {
			continue
		}
		row, ok := rowOf(p.Dir)
		if !ok {
			found = append(found, Problem{Path: p.Dir, Text: "package has no row in the import table (internal/rules/imports.go): say there what it may import, and why"})
			continue
		}
		for _, f := range files {
			found = append(found, t.checkFileImports(f, row)...)
			found = append(found, t.checkNames(f, row)...)
		}
	}
	return found
}

func (t *Tree) checkFileImports(f *File, row importRow) (found []Problem) {
	for _, spec := range f.AST.Imports {
		imported := importPath(spec)
		say := func(format string, args ...any) {
			found = append(found, Problem{f.Path, t.line(spec), fmt.Sprintf(format, args...)})
		}
		if ours, ok := t.ours(imported); ok {
			if !matchesAny(row.may, ours) || matchesAny(row.not, ours) {
				say("%s may not import %s (%s): depend on a contract, or have node hand it in", f.Dir, ours, row.why)
			}
			continue
		}
		for _, never := range row.never {
			if within(imported, never) {
				say("%s must never import %s (%s): take what it needs as a value or a function", f.Dir, imported, row.why)
			}
		}
		if within(imported, "testing") && !suite(f.Dir) {
			say("only tests and test suites import %s: move this into a _test.go file", imported)
		}
	}
	return found
}

var singleName = regexp.MustCompile(`^[a-z/0-9]+\.[A-Z]\w*$`)

// checkNames finds uses of single forbidden names, such as time.Now in an app.
func (t *Tree) checkNames(f *File, row importRow) (found []Problem) {
	ast.Inspect(f.AST, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if name := f.qualified(sel); singleName.MatchString(name) && slices.Contains(row.never, name) {
				found = append(found, Problem{f.Path, t.line(n), fmt.Sprintf("%s must never use %s (%s): it arrives inside the command or as an argument", f.Dir, name, row.why)})
			}
		}
		return true
	})
	return found
}

// qualified is "import/path.Name" of a selector on an imported package, "" of any other.
func (f *File) qualified(sel *ast.SelectorExpr) string {
	x, ok := sel.X.(*ast.Ident)
	if !ok {
		return ""
	}
	for _, spec := range f.AST.Imports {
		p := importPath(spec)
		if spec.Name != nil && spec.Name.Name == x.Name || spec.Name == nil && path.Base(p) == x.Name {
			return p + "." + sel.Sel.Name
		}
	}
	return ""
}

// checkTestImports: tests import what they like beside and below their package. A package above it, one that needs it
// itself, is tested where it lives; only suites may look both ways.
func checkTestImports(t *Tree) (found []Problem) {
	needs := t.needs()
	for _, f := range t.Files {
		if !f.Test {
			continue
		}
		for _, spec := range f.AST.Imports {
			ours, ok := t.ours(importPath(spec))
			switch {
			case !ok || ours == f.Dir || suite(ours):
			case matches("cmd/*", ours):
				found = append(found, Problem{f.Path, t.line(spec), "nothing imports a command: build it with `go build` and run it, or move what is tested into a package"})
			case needs[ours][f.Dir]:
				found = append(found, Problem{f.Path, t.line(spec), fmt.Sprintf("tests of %s look up to %s, which is built on it: move the test there, or use a contract", f.Dir, ours)})
			}
		}
	}
	return found
}

// needs gives, for each package, all packages of ours that its program text needs, directly or not.
func (t *Tree) needs() map[string]map[string]bool {
	direct := map[string]map[string]bool{}
	for _, f := range t.Files {
		if f.Test {
			continue
		}
		for _, spec := range f.AST.Imports {
			if ours, ok := t.ours(importPath(spec)); ok {
				if direct[f.Dir] == nil {
					direct[f.Dir] = map[string]bool{}
				}
				direct[f.Dir][ours] = true
			}
		}
	}
	all := map[string]map[string]bool{}
	for from := range direct {
		all[from] = map[string]bool{}
		reach(direct, from, all[from])
	}
	return all
}

func reach(direct map[string]map[string]bool, from string, seen map[string]bool) {
	for to := range direct[from] {
		if !seen[to] {
			seen[to] = true
			reach(direct, to, seen)
		}
	}
}

// ours gives the folder of an imported package of this module.
func (t *Tree) ours(imported string) (dir string, ok bool) {
	if imported == t.Module {
		return ".", true
	}
	return strings.CutPrefix(imported, t.Module+"/")
}

func within(p, root string) bool { return p == root || strings.HasPrefix(p, root+"/") }

func importPath(spec *ast.ImportSpec) string {
	p, _ := strconv.Unquote(spec.Path.Value)
	return p
}
