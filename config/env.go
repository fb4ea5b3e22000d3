package config

import (
	"reflect"
	"regexp"
	"strings"
)

// variable is the value of an environment variable; the last one of several wins, as in a shell.
func (l *loader) variable(name string) (value string) {
	for _, entry := range l.in.Env {
		if v, ok := strings.CutPrefix(entry, name+"="); ok {
			value = v
		}
	}
	return value
}

// links are the variables that Kubernetes makes of a service called carillon, or carillon-something.
var links = regexp.MustCompile(`^CARILLON_(.*_)?(SERVICE_(HOST|PORT.*)|PORT|PORT_[0-9]+_(TCP|UDP)(_.*)?)$`)

// readEnv takes the variables with our prefix. An empty one counts as not there, since that is how tools pass on what
// was never set.
func (l *loader) readEnv(root reflect.Value) {
	l.envOf(tree, root)
	known := map[string]bool{FileVariable: true}
	for _, name := range l.in.Others {
		known[name] = true
	}
	var all []string
	for _, v := range Variables() {
		known[v.Name] = true
		all = append(all, v.Name)
	}
	for _, entry := range l.in.Env {
		name, value, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, envPrefix) || known[name] || value == "" || links.MatchString(name) {
			continue
		}
		at := Source{Kind: FromEnv, Name: cut(name)}
		if near := nearest(name, all); near != "" {
			l.fail(cut(name), at, "is no variable of this server; the nearest is %s", near)
		} else {
			l.fail(cut(name), at, "is no variable of this server: carillon config env lists them")
		}
	}
}

func (l *loader) envOf(parts []*spec, at reflect.Value) {
	for _, s := range parts {
		v := at.Field(s.field)
		if s.shape == section {
			l.envOf(s.parts, v)
			continue
		}
		source := Source{Kind: FromEnv, Name: s.Env}
		value, file := l.variable(s.Env), ""
		if s.asFile {
			file = l.variable(s.Env + "_FILE")
		}
		switch {
		case value != "" && file != "":
			l.fail(s.Path, source, "is set twice, by %s and by %s_FILE: keep one", s.Env, s.Env)
		case file != "":
			source.Name += "_FILE"
			l.setFromFile(s, v, s.Path, source, file)
		case value != "" && s.shape == leaf:
			l.set(s, v, s.Path, source, value)
		case value != "":
			l.whole(s, v, source, value)
		}
	}
}

// whole sets a list or a table from one text, written as in the file, on one line: as JSON.
func (l *loader) whole(s *spec, v reflect.Value, at Source, text string) {
	n, _, err := parseYAML([]byte(text))
	if err != nil {
		l.fail(s.Path, at, "%s", err)
		return
	}
	if s.shape == list {
		v.SetZero()
		l.forget(s.Path)
	}
	if n != nil {
		l.value(s, v, n, s.Path, at)
	}
}

// forget drops the sources of what is about to be replaced.
func (l *loader) forget(path string) {
	for p := range l.out.sources {
		if strings.HasPrefix(p, path+"[") || strings.HasPrefix(p, path+".") {
			delete(l.out.sources, p)
		}
	}
}

// readFlags takes the values of the command line. Secrets do not belong there: every user of the machine may read it.
func (l *loader) readFlags(root reflect.Value) {
	for _, path := range sortedKeys(l.in.Flags) {
		at := Source{Kind: FromFlag, Name: "--" + strings.ReplaceAll(path, "_", "-")}
		if strings.Contains(path, ".") {
			at.Name = "--set " + path
		}
		text := l.in.Flags[path]
		if rest, ok := strings.CutPrefix(path, "namespaces."); ok {
			l.flagOfEntry(rest, path, at, text)
			continue
		}
		s, v := find(tree, root, path)
		switch {
		case s == nil:
			l.unknownFlag(path, at)
		case s.shape != leaf || s.asFile:
			l.fail(s.Path, at, "cannot be given on the command line: use the file or the environment")
		default:
			l.set(s, v, path, at, text)
		}
	}
}

func (l *loader) unknownFlag(path string, at Source) {
	at.Name = "--set " + cut(path)
	var known []string
	for _, k := range Keys() {
		known = append(known, k.Path)
	}
	if near := nearest(path, known); near != "" {
		l.fail(cut(path), at, "is no setting; the nearest is %s", near)
		return
	}
	l.fail(cut(path), at, "is no setting: carillon config explain lists them")
}

// flagOfEntry sets one value of a namespace. A namespace may hold dots, so the end of the path is looked at.
func (l *loader) flagOfEntry(rest, path string, at Source, text string) {
	table := part(tree, "namespaces")
	for _, k := range table.leaves() {
		name, ok := strings.CutSuffix(rest, "."+k)
		if !ok {
			continue
		}
		if err := checkNamespace(name); err != nil {
			l.fail(cut(path), at, "%s", err)
			return
		}
		spaces := reflect.ValueOf(l.out.Config.Namespaces)
		entry := table.entry(spaces)
		if old := spaces.MapIndex(reflect.ValueOf(name)); old.IsValid() {
			entry.Set(old)
		}
		s, v := find(table.parts, entry, k)
		l.set(s, v, path, at, text)
		spaces.SetMapIndex(reflect.ValueOf(name), entry)
		return
	}
	l.fail(cut(path), at, "is no setting of a namespace; those are %s", strings.Join(table.leaves(), ", "))
}

// leaves are the paths of the values below an entry.
func (s *spec) leaves() (paths []string) {
	visit(s.parts, s.entry(reflect.ValueOf(map[string]Namespace{})), "", func(_ *spec, _ reflect.Value, path string) {
		paths = append(paths, path)
	})
	return paths
}

// find goes down a path of sections.
func find(parts []*spec, at reflect.Value, path string) (*spec, reflect.Value) {
	name, rest, deeper := strings.Cut(path, ".")
	s := part(parts, name)
	switch {
	case s == nil || deeper && s.shape != section:
		return nil, at
	case deeper:
		return find(s.parts, at.Field(s.field), rest)
	}
	return s, at.Field(s.field)
}

// Variable is an environment variable and the setting it stands for.
type Variable struct {
	Name string
	Key  Key
	File bool // it names a file that holds the value
}

// Variables lists all that are read, in the order of the tree.
func Variables() (vs []Variable) {
	for _, k := range Keys() {
		if k.Env == "" {
			continue
		}
		vs = append(vs, Variable{Name: k.Env, Key: k})
		if k.Type == typeSecret {
			vs = append(vs, Variable{Name: k.Env + "_FILE", Key: k, File: true})
		}
	}
	return vs
}
