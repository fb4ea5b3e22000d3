package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// readConfig takes a YAML file; JSON is YAML too.
func (l *loader) readConfig(file string, root reflect.Value) {
	at := Source{Kind: FromFile, Name: file}
	raw, err := l.in.ReadFile(file)
	if err == nil && len(raw) > maxFile {
		err = fmt.Errorf("it is larger than %d bytes", maxFile)
	}
	if err != nil {
		l.fail("config", at, "cannot be read: %s", withoutPath(err))
		return
	}
	top, line, err := parseYAML(raw)
	if err != nil {
		at.Line = line
		l.fail("config", at, "%s", err)
		return
	}
	if top != nil {
		l.section(tree, root, top, "", at)
	}
}

var (
	yamlLine = regexp.MustCompile(`line (\d+): `)
	quoted   = regexp.MustCompile("[\"'`][^\"'`]*[\"'`]")
)

// parseYAML gives the one document of a text, nil if it is empty. Its error repeats nothing of the text.
func parseYAML(raw []byte) (top *yaml.Node, line int, err error) {
	dec := yaml.NewDecoder(bytes.NewReader(raw))
	var doc, second yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil, 0, nil
	case err != nil:
		return nil, lineOf(err), errors.New("is no YAML: " + plainYAML(err))
	}
	if err := dec.Decode(&second); !errors.Is(err, io.EOF) {
		return nil, second.Line, errors.New("holds a second document after ---: only one is read")
	}
	if len(doc.Content) == 0 || isNull(doc.Content[0]) {
		return nil, 0, nil
	}
	return doc.Content[0], 0, nil
}

func lineOf(err error) int {
	if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
		return atoi(m[1])
	}
	return 0
}

// plainYAML is what the parser says, without what it quotes: that might be a secret.
func plainYAML(err error) string {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	text = yamlLine.ReplaceAllString(text, "")
	if strings.Contains(text, "anchor") {
		return "an alias (*name) stands for nothing here; quote values that begin with * or &"
	}
	return quoted.ReplaceAllString(text, "…")
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// section reads the keys of a struct.
func (l *loader) section(parts []*spec, dst reflect.Value, n *yaml.Node, path string, at Source) {
	at.Line = lineIn(at, n)
	if n.Kind != yaml.MappingNode {
		l.fail(or(path, "config"), at, "is a section: write its keys below it, further to the right")
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content) && !l.full(); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		at.Line = lineIn(at, key)
		if !l.keyFits(parts, key, path, at) {
			continue
		}
		name := key.Value
		s := part(parts, name)
		base, isFile := strings.CutSuffix(name, "_file")
		if isFile && s == nil {
			s = part(parts, base)
		} else {
			isFile = false
		}
		here := join(path, s.name)
		if seen[s.name] {
			l.fail(here, at, "is set twice in the same section: keep one")
			continue
		}
		seen[s.name] = true
		switch {
		case isNull(value):
		case isFile && value.Kind == yaml.ScalarNode:
			l.setFromFile(s, dst.Field(s.field), here, at, value.Value)
		default:
			l.value(s, dst.Field(s.field), value, here, at)
		}
	}
}

// keyFits refuses what is no key of this section.
func (l *loader) keyFits(parts []*spec, key *yaml.Node, path string, at Source) bool {
	if key.Kind != yaml.ScalarNode || key.Value == "<<" && key.Tag == "!!merge" {
		l.fail(or(path, "config"), at, "has a key that is no plain word; what namespaces share goes into namespaces.default")
		return false
	}
	var known []string
	for _, s := range parts {
		known = append(known, s.name)
		if s.asFile {
			known = append(known, s.name+"_file")
		}
	}
	for _, name := range known {
		if name == key.Value {
			return true
		}
	}
	wrong := join(path, cut(key.Value))
	if near := nearest(key.Value, known); near != "" {
		l.fail(wrong, at, "is no setting; the nearest is %s", join(path, near))
	} else if home := pathEnding(key.Value); home != "" {
		l.fail(wrong, at, "is no setting here; there is %s", home)
	} else {
		l.fail(wrong, at, "is no setting; known here are %s", strings.Join(known, ", "))
	}
	return false
}

// pathEnding is the first setting whose path ends with a name.
func pathEnding(name string) string {
	for _, k := range Keys() {
		if strings.HasSuffix(k.Path, "."+name) {
			return k.Path
		}
	}
	return ""
}

// cut bounds a name that somebody else chose, and leaves out what would disturb a line.
func cut(name string) string {
	q := strconv.Quote(name)
	if name == "" {
		return q
	}
	q = q[1 : len(q)-1]
	if len(q) > maxKeyName {
		q = q[:maxKeyName] + "…"
	}
	return q
}

// value reads whatever stands behind a key.
func (l *loader) value(s *spec, v reflect.Value, n *yaml.Node, path string, at Source) {
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		l.fail(path, at, "uses an anchor or an alias, which are not read; what namespaces share goes into namespaces.default")
		return
	}
	switch s.shape {
	case section:
		l.section(s.parts, v, n, path, at)
	case list:
		l.list(s, v, n, path, at)
	case table:
		l.table(s, v, n, path, at)
	case leaf:
		l.leaf(s, v, n, path, at)
	}
}

func (l *loader) leaf(s *spec, v reflect.Value, n *yaml.Node, path string, at Source) {
	switch {
	case s.fileOnly && at.Kind == FromFile:
		l.fail(path, at, "does not belong into this file: put it into one of its own and write %s_file: PATH", s.name)
	case n.Kind == yaml.ScalarNode:
		l.set(s, v, path, at, n.Value)
	case n.Kind == yaml.SequenceNode && s.form.name == typeTexts:
		l.texts(s, v, n, path, at)
	default:
		l.fail(path, at, "takes one value of type %s, not a list or a section", s.Type)
	}
}

// texts reads a list of texts; in a file each may stand on a line of its own.
func (l *loader) texts(s *spec, v reflect.Value, n *yaml.Node, path string, at Source) {
	l.out.sources[path] = at
	if len(n.Content) > atoi(s.Max) {
		l.fail(path, at, "has more than %s entries", s.Max)
		return
	}
	all := make([]string, 0, len(n.Content))
	for _, e := range n.Content {
		at.Line = lineIn(at, e)
		if e.Kind != yaml.ScalarNode || isNull(e) || e.Value == "" {
			l.fail(path, at, "has an entry that is no text")
		} else if err := s.checkFormat(e.Value); err != nil {
			l.fail(path, at, "holds %s, which %s", shown(e.Value), err)
		}
		all = append(all, e.Value)
	}
	if len(all) > 0 {
		v.Set(reflect.ValueOf(all))
	}
}

// list reads entries with keys of their own.
func (l *loader) list(s *spec, v reflect.Value, n *yaml.Node, path string, at Source) {
	l.out.sources[path] = at
	if n.Kind != yaml.SequenceNode {
		l.fail(path, at, "is a list: begin each entry with a dash and a space")
		return
	}
	if len(n.Content) > atoi(s.Max) {
		l.fail(path, at, "has %d entries; at most %s are read", len(n.Content), s.Max)
		return
	}
	all := reflect.MakeSlice(v.Type(), 0, len(n.Content))
	for i, e := range n.Content {
		entry, here := s.entry(v), fmt.Sprintf("%s[%d]", path, i)
		if e.Kind == yaml.AliasNode {
			l.fail(here, at, "uses an alias, which is not read")
			continue
		}
		l.out.sources[here] = Source{at.Kind, at.Name, lineIn(at, e)}
		l.section(s.parts, entry, e, here, at)
		l.required(s, entry, here)
		all = reflect.Append(all, entry)
	}
	if all.Len() > 0 {
		v.Set(all)
	}
}

// required asks for the keys that have no default, unless they were there and wrong.
func (l *loader) required(s *spec, entry reflect.Value, path string) {
	for _, p := range s.parts {
		if p.Required && entry.Field(p.field).IsZero() {
			l.refuse([]string{join(path, p.name), path}, "is missing: %s", p.Help)
		}
	}
}

// table reads entries by name; one that a weaker source gave is replaced as a whole, the others stay.
func (l *loader) table(s *spec, v reflect.Value, n *yaml.Node, path string, at Source) {
	if n.Kind != yaml.MappingNode {
		l.fail(path, at, "is a section: write NAME: and its keys below it")
		return
	}
	if len(n.Content)/2 > atoi(s.Max) {
		l.fail(path, at, "has %d entries; at most %s are read", len(n.Content)/2, s.Max)
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		at.Line = lineIn(at, key)
		here := join(path, cut(key.Value))
		switch {
		case key.Kind != yaml.ScalarNode || value.Kind == yaml.AliasNode || value.Anchor != "":
			l.fail(path, at, "uses an anchor or an alias, which are not read; what entries share goes into %s.%s", path, defaultEntry)
		case checkNamespace(key.Value) != nil:
			l.fail(here, at, "%s", checkNamespace(key.Value))
		case seen[key.Value]:
			l.fail(here, at, "is there twice: keep one")
		default:
			seen[key.Value] = true
			l.forget(here)
			entry := s.entry(v)
			if !isNull(value) {
				l.section(s.parts, entry, value, here, at)
			}
			l.out.sources[here] = at
			v.SetMapIndex(reflect.ValueOf(key.Value), entry)
		}
	}
}

// lineIn is where a node stands, if it stands in a file.
func lineIn(at Source, n *yaml.Node) int {
	if at.Kind == FromFile {
		return n.Line
	}
	return 0
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
