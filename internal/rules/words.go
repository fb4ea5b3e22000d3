package rules

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

// bannedWord is a pattern that no line may match; in limits it to files with these endings.
// The patterns are written so that they do not match themselves.
type bannedWord struct {
	pattern *regexp.Regexp
	in      []string
	cure    string
}

var bannedWords = []bannedWord{
	{regexp.MustCompile(`(^|[^A-Za-z0-9./_-])/([w]ork|[r]oot)/`), nil, "a path of one machine: use a path relative to the repository"},
	{regexp.MustCompile(`\.\./shared/[^d]|\.\./shared/design`), nil, "lies outside the repository: say it here"},
	{regexp.MustCompile(`(?i)(proxy|sum)\.golang\.[o]rg|registry\.(npmjs|yarnpkg)\.[a-z]+\b`), nil, "the host of a registry: let the user's own settings decide"},
	{regexp.MustCompile(`(?i)[s]ub-?agent`), nil, "not a word of the product"},
	{regexp.MustCompile(`\b(TO[D]O|FIX[M]E|XX[X])\b`), []string{".go", ".ts", ".tsx", ".js", ".mjs", ".md"}, "do it, or file an issue and say nothing here"},
}

// lockFiles are written by tools and name registries by design.
var lockFiles = []string{"package-lock.json", "go.sum"}

func checkWords(t *Tree) (found []Problem) {
	for _, text := range t.Texts {
		if slices.Contains(lockFiles, path.Base(text.Path)) {
			continue
		}
		for _, w := range bannedWords {
			if w.in != nil && !slices.Contains(w.in, path.Ext(text.Path)) || !w.pattern.MatchString(text.Body) {
				continue
			}
			for i, line := range strings.Split(text.Body, "\n") {
				if m := w.pattern.FindString(line); m != "" {
					found = append(found, Problem{text.Path, i + 1, "contains “" + strings.TrimSpace(m) + "”: " + w.cure})
				}
			}
		}
	}
	return found
}
