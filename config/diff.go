package config

import (
	"reflect"
	"slices"
)

// Change is a setting that differs between two configurations. From and To are as people write them; secrets and lists
// of entries say only that they changed.
type Change struct {
	Key, From, To string
	Note          string // when the change shows; of a refused one: why only a restart makes it
}

// Diff tells what a reload may change while all connections stay, and what it may not. Where anything is refused the
// old configuration should go on as a whole: the settings of one file are meant together.
func Diff(old, new *Config) (changes, refused []Change) {
	d := differ{}
	d.sections(tree, reflect.ValueOf(*old), reflect.ValueOf(*new), "")
	if was, is := old.TLS.Cert != "", new.TLS.Cert != ""; was != is {
		d.changes = slices.DeleteFunc(d.changes, func(c Change) bool { return c.Key == "tls.cert" || c.Key == "tls.key" })
		d.refused = append(d.refused, Change{"tls.cert", or(old.TLS.Cert, `""`), or(new.TLS.Cert, `""`), "the listener speaks TLS from its start, or not at all"})
	}
	return d.changes, d.refused
}

type differ struct{ changes, refused []Change }

func (d *differ) sections(parts []*spec, a, b reflect.Value, path string) {
	for _, s := range parts {
		x, y, here := a.Field(s.field), b.Field(s.field), join(path, s.name)
		switch {
		case s.shape == section:
			d.sections(s.parts, x, y, here)
		case s.shape == table:
			d.tables(s, x, y, here)
		case !s.same(x, y):
			d.differs(s, x, y, here)
		}
	}
}

// tables compares what holds for every name of either side: an entry that is not there stands for the default one.
func (d *differ) tables(s *spec, a, b reflect.Value, path string) {
	all := names(a)
	for _, name := range names(b) {
		if !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	for _, name := range all {
		d.sections(s.parts, entryOf(a, name), entryOf(b, name), join(path, name))
	}
}

func entryOf(table reflect.Value, name string) reflect.Value {
	if e := table.MapIndex(reflect.ValueOf(name)); e.IsValid() {
		return e
	}
	return table.MapIndex(reflect.ValueOf(defaultEntry))
}

func (d *differ) differs(s *spec, x, y reflect.Value, path string) {
	c := Change{Key: path, From: or(s.text(x), `""`), To: or(s.text(y), `""`), Note: s.Live}
	if s.Fixed != "" {
		c.Note = s.Fixed
		d.refused = append(d.refused, c)
		return
	}
	d.changes = append(d.changes, c)
}

// same compares values; secrets by what they hold, not by where it was read.
func (s *spec) same(x, y reflect.Value) bool {
	switch s.shape {
	case leaf:
		if s.form.name == typeSecret {
			return x.Interface().(Secret).Equal(y.Interface().(Secret))
		}
		return reflect.DeepEqual(x.Interface(), y.Interface())
	case list:
		if x.Len() != y.Len() {
			return false
		}
		for i := range x.Len() {
			if !sameParts(s.parts, x.Index(i), y.Index(i)) {
				return false
			}
		}
		return true
	}
	return sameParts(s.parts, x, y)
}

func sameParts(parts []*spec, x, y reflect.Value) bool {
	for _, p := range parts {
		if !p.same(x.Field(p.field), y.Field(p.field)) {
			return false
		}
	}
	return true
}
