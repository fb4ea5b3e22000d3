package config

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// Key is what there is to say about a setting. It is taken from the tags of its field:
//
//	key       its name in the file
//	default   in the form people write it; min, max: bounds, in the same form (of a list: most entries; of a text: bytes)
//	enum      the words it may be; format: what else is asked of a text, see formats
//	unit      of a bare number
//	live      a reload changes it, and when that shows; fixed: a reload refuses it, and why. Sections hand both down.
//	public    of a Secret: not secret, but as long as one; fileonly: never in the configuration file itself
//	help      its meaning, one sentence
type Key struct {
	Path     string // limits.frame, auth.issuers[].issuer, namespaces.NAME.durable
	Type     string
	Default  string
	Min, Max string
	Enum     []string
	Format   string
	Unit     string
	Live     string // when a reload shows; "" if Fixed
	Fixed    string // why only a restart changes it
	Env      string // "" within lists and namespaces, which are set as a whole
	Required bool
	Secret   bool // never shown
	Help     string
}

// shape says how a key stands in the file.
type shape uint8

const (
	leaf    shape = iota // one value
	section              // keys of its own
	list                 // entries, each with the same keys
	table                // entries by name
)

// spec is a Key with what reads and writes it.
type spec struct {
	Key
	name     string
	field    int
	shape    shape
	form     *form   // of a leaf
	parts    []*spec // of all others
	fileOnly bool
	asFile   bool // NAME_file and VARIABLE_FILE name a file that holds it
}

// envPrefix begins every variable.
const envPrefix = "CARILLON_"

// tree is the specification of Config; nothing ever changes it.
var tree = grow(reflect.TypeFor[Config](), Key{})

// grow reads the tags of a struct. Wrong tags are a fault of the program and panic; the first test meets them.
func grow(t reflect.Type, parent Key) (parts []*spec) {
	for i := range t.NumField() {
		f := t.Field(i)
		s := &spec{name: f.Tag.Get("key"), field: i}
		s.Key = keyOf(f.Tag, parent)
		s.fileOnly = f.Tag.Get("fileonly") != ""
		s.grow(f)
		if s.Help == "" || (s.shape == leaf || s.shape == list) && (s.Live == "") == (s.Fixed == "") {
			panic("config: " + s.Path + " needs help, and either live or fixed")
		}
		parts = append(parts, s)
	}
	return parts
}

func keyOf(tag reflect.StructTag, parent Key) Key {
	k := Key{
		Path: tag.Get("key"), Default: tag.Get("default"), Min: tag.Get("min"), Max: tag.Get("max"),
		Enum: strings.Fields(tag.Get("enum")), Format: tag.Get("format"), Unit: tag.Get("unit"),
		Live: tag.Get("live"), Fixed: tag.Get("fixed"), Required: tag.Get("required") != "", Help: tag.Get("help"),
	}
	if parent.Path != "" {
		k.Path = parent.Path + "." + k.Path
	}
	if k.Live == "" && k.Fixed == "" {
		k.Live, k.Fixed = parent.Live, parent.Fixed
	}
	if parent.Path == "" || parent.Env != "" {
		k.Env = envPrefix + strings.ToUpper(strings.ReplaceAll(k.Path, ".", "_"))
	}
	return k
}

// grow decides what stands below a field.
func (s *spec) grow(f reflect.StructField) {
	below := s.Key
	t := f.Type
	switch {
	case forms[t] != nil:
		s.form = forms[t]
		s.Type = s.form.name
		s.asFile = t == secretType
		s.Secret = s.asFile && f.Tag.Get("public") == ""
		return
	case t.Kind() == reflect.Slice:
		s.shape, s.Type, t = list, "list", t.Elem()
		below.Path, below.Env, below.Live, below.Fixed = s.Path+"[]", "", "", ""
	case t.Kind() == reflect.Map:
		s.shape, s.Type, t = table, "namespaces by name", t.Elem()
		below.Path, below.Env = s.Path+".NAME", ""
	default:
		s.shape, s.Type = section, "section"
	}
	s.parts = grow(t, below)
}

// Keys lists every setting, in the order of the tree; lists and tables stand before their entries.
func Keys() (keys []Key) {
	var collect func(parts []*spec)
	collect = func(parts []*spec) {
		for _, s := range parts {
			if s.shape != section {
				keys = append(keys, s.Key)
			}
			collect(s.parts)
		}
	}
	collect(tree)
	return keys
}

// Bound is what its value may be, in words; "" where everything of its type is good.
func (k Key) Bound() string {
	switch {
	case len(k.Enum) > 0:
		return strings.Join(k.Enum, ", ")
	case k.Type == "list" || k.Type == typeTexts || k.Type == "namespaces by name":
		return "at most " + k.Max + " entries"
	case k.Type == typeSecret && k.Min != "":
		return k.Min + " to " + k.Max + " bytes"
	case k.Type == typeSecret:
		return ""
	case k.Type == typeText && k.Max != "":
		return "at most " + k.Max + " bytes"
	case k.Min != "":
		return k.Min + " to " + k.Max
	}
	return ""
}

// Kind is its type in words, with the unit of a bare number.
func (k Key) Kind() string {
	switch {
	case k.Unit != "":
		return k.Type + " (" + k.Unit + ")"
	case len(k.Enum) > 0:
		return "word"
	case k.Type == typeSecret && !k.Secret:
		return typeText
	}
	return or(formatNames[k.Format], k.Type)
}

// part finds a key by its name.
func part(parts []*spec, name string) *spec {
	for _, s := range parts {
		if s.name == name {
			return s
		}
	}
	return nil
}

// visit calls see for every leaf that a configuration has, and for every empty list, in the order of the tree.
func visit(parts []*spec, at reflect.Value, path string, see func(s *spec, v reflect.Value, path string)) {
	for _, s := range parts {
		v, here := at.Field(s.field), join(path, s.name)
		switch s.shape {
		case leaf:
			see(s, v, here)
		case section:
			visit(s.parts, v, here, see)
		case list:
			if v.Len() == 0 {
				see(s, v, here)
			}
			for i := range v.Len() {
				visit(s.parts, v.Index(i), fmt.Sprintf("%s[%d]", here, i), see)
			}
		case table:
			for _, name := range names(v) {
				visit(s.parts, v.MapIndex(reflect.ValueOf(name)), join(here, name), see)
			}
		}
	}
}

// text is a value as people write it; secrets stay unseen.
func (s *spec) text(v reflect.Value) string {
	if s.shape == leaf {
		return s.form.format(v.Interface())
	}
	return strconv.Itoa(v.Len()) + " entries"
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
