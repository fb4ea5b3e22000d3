package rules

import (
	"os"
	"testing"
)

// TestRepository applies every rule to the repository itself.
func TestRepository(t *testing.T) {
	tree, err := Load(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	for _, rule := range All() {
		t.Run(rule.Name, func(t *testing.T) {
			problems := sorted(rule.Check(tree))
			for _, p := range problems {
				t.Error(p)
			}
			if len(problems) > 0 {
				t.Logf("the rule %q stands because %s", rule.Name, rule.Why)
			}
		})
	}
}
