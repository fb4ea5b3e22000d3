package config

import (
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
)

const (
	helpIndent = 4   // columns
	wrapAt     = 100 // columns
)

// Explain writes every setting whose path begins with prefix: its value, where that came from, what it means and what
// it may be. Of secrets it says only whether they are set. It returns how many there were.
func (l *Loaded) Explain(w io.Writer, prefix string) (n int, err error) {
	out := &writer{w: w}
	visit(tree, reflect.ValueOf(l.Config), "", func(s *spec, v reflect.Value, path string) {
		if !strings.HasPrefix(path, prefix) {
			return
		}
		if n++; n > 1 {
			out.print("\n")
		}
		out.print("%s = %s   [%s]\n", path, l.value(s, v), l.place(path))
		out.wrap(strings.Repeat(" ", helpIndent), s.Help+" "+s.facts())
	})
	return n, out.err
}

func (l *Loaded) value(s *spec, v reflect.Value) string {
	text := s.text(v)
	if text == "" {
		return `""`
	}
	return strings.TrimSuffix(strconv.Quote(text)[1:], `"`)
}

// place is a source in words. A namespace's value may come from the default entry.
func (l *Loaded) place(path string) string {
	s := l.sources[path]
	if strings.HasPrefix(path, "namespaces.") && !strings.HasPrefix(path, "namespaces."+defaultEntry+".") && s.Kind != FromDefault && l.inherited(path, s) {
		return "namespaces." + defaultEntry + ", " + s.String()
	}
	return s.String()
}

// inherited tells by the source: no two settings stand at the same place.
func (l *Loaded) inherited(path string, s Source) bool {
	for _, k := range part(tree, "namespaces").leaves() {
		if strings.HasSuffix(path, "."+k) {
			return l.sources["namespaces."+defaultEntry+"."+k] == s
		}
	}
	return false
}

// facts are type, bound, default and what a reload does.
func (k Key) facts() string {
	facts := []string{k.Kind()}
	if b := k.Bound(); b != "" {
		facts = append(facts, b)
	}
	if d := k.defaultText(); d != "" {
		facts = append(facts, "default "+d)
	}
	return "[" + strings.Join(append(facts, "reload: "+k.reload()), "; ") + "]"
}

func (k Key) defaultText() string {
	switch k.Type {
	case typeSecret, "list", "namespaces by name":
		return ""
	}
	return k.Default
}

func (k Key) reload() string {
	if k.Live != "" {
		return k.Live
	}
	if k.Fixed != "" {
		return "no, " + k.Fixed
	}
	return "as its keys say"
}

// WriteEnv writes the environment variables that are read, what they hold and their defaults.
func WriteEnv(w io.Writer) error {
	out := &writer{w: w}
	out.print("%s\n", FileVariable)
	out.wrap(strings.Repeat(" ", helpIndent), "The configuration file, YAML or JSON.")
	for _, v := range Variables() {
		out.print("%s", v.Name)
		if d := v.Key.defaultText(); d != "" {
			out.print("=%s", d)
		}
		out.print("\n")
		text := v.Key.Help
		switch {
		case v.File:
			text = "File that holds " + strings.TrimSuffix(v.Name, "_FILE") + "."
		case v.Key.Type == typeTexts:
			text += " With commas or spaces between."
		case v.Key.Type == "list" || v.Key.Type == "namespaces by name":
			text += " As JSON."
		}
		out.wrap(strings.Repeat(" ", helpIndent), text)
	}
	return out.err
}

// WriteDefault writes a configuration file with every setting at its default and a comment on each. Reading it
// changes nothing.
func WriteDefault(w io.Writer) error {
	out := &writer{w: w}
	out.wrap("# ", "Every setting of Carillon with its default: this file changes nothing as it stands. Keep what you change. `carillon config check` reads it, `carillon config explain` shows what holds and why.")
	c := Default()
	out.section(tree, reflect.ValueOf(c), "")
	return out.err
}

func (out *writer) section(parts []*spec, at reflect.Value, indent string) {
	for _, s := range parts {
		v := at.Field(s.field)
		out.print("\n")
		text := s.Help
		if s.shape == leaf {
			text += " " + s.shortFacts()
		}
		out.wrap(indent+"# ", text)
		switch s.shape {
		case leaf:
			out.leaf(s, v, indent)
		case section:
			out.print("%s%s:\n", indent, s.name)
			out.section(s.parts, v, indent+"  ")
		case list:
			out.print("%s%s: []\n", indent, s.name)
			out.sample(s, indent+"#")
		case table:
			out.print("%s%s:\n%s  %s:\n", indent, s.name, indent, defaultEntry)
			out.section(s.parts, v.MapIndex(reflect.ValueOf(defaultEntry)), indent+"    ")
		}
	}
}

func (k Key) shortFacts() string {
	bound := k.Bound()
	if bound == "" {
		bound = k.Kind()
	}
	if k.Fixed != "" {
		bound += "; needs a restart"
	}
	return "[" + bound + "]"
}

func (out *writer) leaf(s *spec, v reflect.Value, indent string) {
	switch s.form.name {
	case typeSecret:
		out.print("%s#%s_file: PATH\n", indent, s.name)
	case typeTexts:
		out.print("%s%s: []\n", indent, s.name)
	case typeText:
		out.print("%s%s: %s\n", indent, s.name, strconv.Quote(s.text(v)))
	default:
		out.print("%s%s: %s\n", indent, s.name, s.text(v))
	}
}

// sample is an entry of a list, all of it in comments.
func (out *writer) sample(s *spec, prefix string) {
	bullet := "- "
	for _, p := range s.parts {
		line := p.name + ": " + p.Kind()
		switch {
		case p.asFile:
			line = p.name + "_file: PATH"
		case p.shape == list:
			line = p.name + ":"
		case len(p.Enum) > 0:
			line = p.name + ": " + strings.Join(p.Enum, " or ")
		}
		out.wrap(prefix+"     # ", p.Help)
		out.print("%s   %s%s\n", prefix, bullet, line)
		if p.shape == list {
			out.sample(p, prefix+"    ")
		}
		bullet = "  "
	}
}

// writer remembers the first error.
type writer struct {
	w   io.Writer
	err error
}

func (out *writer) print(format string, args ...any) {
	if out.err == nil {
		_, out.err = fmt.Fprintf(out.w, format, args...)
	}
}

// wrap writes a text in lines that begin with prefix.
func (out *writer) wrap(prefix, text string) {
	line := prefix
	for _, word := range strings.Fields(text) {
		if line != prefix && len(line)+1+len(word) > wrapAt {
			out.print("%s\n", line)
			line = prefix
		}
		if line != prefix {
			line += " "
		}
		line += word
	}
	out.print("%s\n", line)
}
