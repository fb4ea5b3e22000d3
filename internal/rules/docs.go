package rules

import (
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

// page is a Markdown file, taken apart.
type page struct {
	path    string
	links   []link
	anchors map[string]bool
	spans   []span // inline code
	shell   []span // lines of fenced shell blocks
}

type link struct {
	target string
	line   int
}

type span struct {
	text string
	line int
}

var (
	fence       = regexp.MustCompile("^\\s*(```+|~~~+)\\s*([\\w+-]*)")
	codeSpan    = regexp.MustCompile("`([^`]+)`")
	inlineLink  = regexp.MustCompile(`\]\(\s*<?([^)\s>]+)>?(?:\s+"[^"]*")?\s*\)`)
	definedLink = regexp.MustCompile(`^\s{0,3}\[[^\]]+\]:\s+<?(\S+?)>?(?:\s|$)`)
	htmlLink    = regexp.MustCompile(`(?:href|src)="([^"]+)"`)
	htmlAnchor  = regexp.MustCompile(`(?:id|name)="([^"]+)"`)
	heading     = regexp.MustCompile(`^ {0,3}#{1,6}\s+(.*?)\s*#*$`)
	linkText    = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
	scheme      = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9+.-]*:`)
)

func (t *Tree) pages() (ps []page) {
	for _, text := range t.Texts {
		if path.Ext(text.Path) == ".md" {
			ps = append(ps, readPage(text))
		}
	}
	return ps
}

func readPage(text Text) page {
	p := page{path: text.Path, anchors: map[string]bool{}}
	var open, lang string // of the fenced block we are in
	for i, line := range strings.Split(text.Body, "\n") {
		m := fence.FindStringSubmatch(line)
		switch {
		case open == "" && m != nil:
			open, lang = m[1], m[2]
		case open != "" && m != nil && strings.HasPrefix(m[1], open) && m[2] == "":
			open = ""
		case open == "":
			p.readProse(line, i+1)
		case lang == "sh" || lang == "bash" || lang == "console" || lang == "shell":
			p.shell = append(p.shell, span{line, i + 1})
		}
	}
	return p
}

func (p *page) readProse(line string, at int) {
	if m := heading.FindStringSubmatch(line); m != nil {
		p.addAnchor(slug(m[1]))
	}
	for _, m := range codeSpan.FindAllStringSubmatch(line, -1) {
		p.spans = append(p.spans, span{m[1], at})
	}
	prose := codeSpan.ReplaceAllString(line, "")
	for _, m := range htmlAnchor.FindAllStringSubmatch(prose, -1) {
		p.anchors[m[1]] = true
	}
	for _, form := range []*regexp.Regexp{inlineLink, definedLink, htmlLink} {
		for _, m := range form.FindAllStringSubmatch(prose, -1) {
			p.links = append(p.links, link{m[1], at})
		}
	}
}

// addAnchor numbers headings of the same text, as code hosts do.
func (p *page) addAnchor(name string) {
	unique := name
	for n := 1; p.anchors[unique]; n++ {
		unique = name + "-" + strconv.Itoa(n)
	}
	p.anchors[unique] = true
}

// slug is the anchor that code hosts make of a heading.
func slug(title string) string {
	title = linkText.ReplaceAllString(title, "$1")
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsLetter(r) || unicode.IsDigit(r) || r == '-' || r == '_':
			return unicode.ToLower(r)
		case r == ' ':
			return '-'
		}
		return -1
	}, title)
}

func checkLinks(t *Tree) (found []Problem) {
	pages := t.pages()
	anchors := map[string]map[string]bool{}
	for _, p := range pages {
		anchors[p.path] = p.anchors
	}
	for _, p := range pages {
		for _, l := range p.links {
			if scheme.MatchString(l.target) || strings.HasPrefix(l.target, "//") {
				continue
			}
			file, anchor, _ := strings.Cut(l.target, "#")
			to := p.path
			if file != "" {
				to = path.Join(path.Dir(p.path), file)
			}
			if !t.exists(to) {
				found = append(found, Problem{p.path, l.line, fmt.Sprintf("links to %s, which does not exist: mend the link or remove it", l.target)})
			} else if known := anchors[to]; anchor != "" && known != nil && !known[anchor] {
				found = append(found, Problem{p.path, l.line, fmt.Sprintf("links to %s, but %s has no heading #%s: mend the anchor", l.target, to, anchor)})
			}
		}
	}
	return found
}

var (
	makeCall   = regexp.MustCompile(`(?:^|[;&|(]|\$)\s*(?:[A-Z_]+=\S+\s+)*make((?:\s+[\w=./-]+)*)`)
	makeTarget = regexp.MustCompile(`(?m)^([a-zA-Z][\w -]*):(?:[^=]|$)`)
)

func checkMakeTargets(t *Tree) (found []Problem) {
	targets := map[string]bool{}
	for _, m := range makeTarget.FindAllStringSubmatch(t.text("Makefile"), -1) {
		for _, name := range strings.Fields(m[1]) {
			targets[name] = true
		}
	}
	for _, p := range t.pages() {
		for _, s := range p.shell {
			code, _, _ := strings.Cut(s.text, " #")
			for _, m := range makeCall.FindAllStringSubmatch(code, -1) {
				for _, word := range strings.Fields(m[1]) {
					if !strings.ContainsAny(word, "=") && !strings.HasPrefix(word, "-") && !targets[word] {
						found = append(found, Problem{p.path, s.line, "the Makefile has no target " + word + ": mend the command or add the target"})
					}
				}
			}
		}
	}
	return found
}

// maxDecision is the length of a decision note in lines.
const maxDecision = 60

var (
	decisionName  = regexp.MustCompile(`^(\d{3})-[a-z0-9]+(?:-[a-z0-9]+)*\.md$`)
	decisionParts = []string{"\n## Context\n", "\n## Decision\n", "\n## Consequences\n"}
)

func checkDecisions(t *Tree) (found []Problem) {
	taken := map[string]string{}
	for _, text := range t.Texts {
		dir, name := path.Split(text.Path)
		if dir != "docs/decisions/" || name == "README.md" {
			continue
		}
		say := func(format string, args ...any) {
			found = append(found, Problem{Path: text.Path, Text: fmt.Sprintf(format, args...)})
		}
		m := decisionName.FindStringSubmatch(name)
		if m == nil {
			say("a decision is called NNN-title.md, in small letters and hyphens")
			continue
		}
		if other := taken[m[1]]; other != "" {
			say("number %s is taken by %s: use the next free one", m[1], other)
		}
		taken[m[1]] = name
		if !strings.HasPrefix(text.Body, "# "+m[1]+". ") {
			say("begins with the heading %q and its title", "# "+m[1]+". ")
		}
		for _, part := range decisionParts {
			if !strings.Contains(text.Body, part) {
				say("lacks the part %q, see docs/decisions/README.md", strings.TrimSpace(part))
			}
		}
		if n := strings.Count(text.Body, "\n"); n > maxDecision {
			say("has %d lines: %d are enough, figures go into docs/benchmarks.md", n, maxDecision)
		}
	}
	return found
}
