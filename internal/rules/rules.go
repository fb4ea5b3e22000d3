// Package rules lets the repository check itself: who may import whom, how long things may grow, which words and
// names are not used, where goroutines and state may live, and whether the documents speak of things that exist.
// It reads source text only, never builds or runs anything, and must not import a package of ours.
// Start with All; a new rule is one entry there and one planted violation in plants_test.go.
package rules

import (
	"cmp"
	"fmt"
	"slices"
)

// Rule is one thing the tree must obey.
type Rule struct {
	Name  string
	Why   string
	Check func(*Tree) []Problem
}

// Problem is a place that breaks a rule, with what to do about it.
type Problem struct {
	Path string // slash-separated, from the root of the repository
	Line int    // 0 for the file as a whole
	Text string
}

// String is the form that editors can jump to.
func (p Problem) String() string {
	if p.Line == 0 {
		return fmt.Sprintf("%s: %s", p.Path, p.Text)
	}
	return fmt.Sprintf("%s:%d: %s", p.Path, p.Line, p.Text)
}

// All lists every rule.
func All() []Rule {
	return []Rule{
		{"parse", "what cannot be read cannot be checked", checkParse},
		{"imports", "the layers of ARCHITECTURE.md hold only while nobody takes a short cut", checkImports},
		{"test-imports", "tests that look upwards make a layer impossible to change alone", checkTestImports},
		{"modules", "every dependency is a promise to somebody else's release notes", checkModules},
		{"package-names", "a package called after nothing collects everything", checkPackageNames},
		{"package-comments", "a reader learns in one place what a package owns and must never do", checkPackageComments},
		{"exported-comments", "a caller should not have to read the body", checkExportedComments},
		{"words", "the text of the repository speaks of the product alone, and leaves nothing for later", checkWords},
		{"sizes", "what fits a screen is read whole", checkSizes},
		{"contracts", "a contract says duties; logic in it would bind every implementation", checkContracts},
		{"goroutines", "every goroutine has an owner that waits for it", checkGoroutines},
		{"init", "wiring is visible in node, not hidden in registration", checkInit},
		{"globals", "state has an owner; two servers in one process must not meet", checkGlobals},
		{"sleeps", "a test that sleeps is slow on every machine and wrong on some", checkSleeps},
		{"exceptions", "an exception is a debt: it has a reason, does not grow, and goes when it is paid", checkExceptions},
		{"links", "a dead link is a broken promise", checkLinks},
		{"names-in-docs", "a document that names what is gone misleads", checkNamesInDocs},
		{"make-targets", "a command in a document works when pasted", checkMakeTargets},
		{"decisions", "a decision nobody can find is taken twice", checkDecisions},
	}
}

func sorted(ps []Problem) []Problem {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Line, b.Line))
	})
	return ps
}
