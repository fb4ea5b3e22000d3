package config

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
)

// Sources are what a configuration is read from; later ones win: defaults, File, Env, Flags.
type Sources struct {
	File string   // path of a YAML or JSON file; "": CARILLON_CONFIG of Env, and none without it
	Env  []string // NAME=value, as os.Environ gives it; names without our prefix are left alone
	// Flags are values by path, as the file names it: "limits.frame", "namespaces.chat.durable".
	Flags map[string]string
	// Others are variables with our prefix that somebody else reads, such as CARILLON_URL.
	Others []string
	// Judge looks at a configuration that is whole so far, with the eyes of those who will use it. May be nil.
	Judge func(*Config) []Problem
	// ReadFile replaces reading from the disk.
	ReadFile func(path string) ([]byte, error)
}

// FileVariable names the configuration file.
const FileVariable = "CARILLON_CONFIG"

// Bounds of what is read.
const (
	maxFile   = 1 << 20  // bytes of a configuration file
	maxSecret = 64 << 10 // bytes of a file with a secret

	maxProblems = 100 // that are told at once
)

// Loaded is a configuration and where each part of it came from.
type Loaded struct {
	Config Config
	File   string    // that was read; "" if none
	Doubts []Problem // with which it can run, and perhaps should not

	sources map[string]Source // of what was set, by path
}

// loader is one Load on its way.
type loader struct {
	in       Sources
	out      *Loaded
	problems Problems
}

// Load reads all sources. The error is of type Problems and lists everything that is wrong, in the order of the
// sources; Loaded is nil then. Secrets are read from their files each time, so calling Load again is a reload.
func Load(in Sources) (*Loaded, error) {
	disk := in.ReadFile == nil
	if disk {
		in.ReadFile = readFile
	}
	l := &loader{in: in, out: &Loaded{File: in.File, sources: map[string]Source{}}}
	root := reflect.ValueOf(&l.out.Config).Elem()
	setDefaults(tree, root)
	if l.out.File == "" {
		l.out.File = l.variable(FileVariable)
	}
	if l.out.File != "" {
		l.readConfig(l.out.File, root)
	}
	l.readEnv(root)
	l.readFlags(root)
	l.inherit()
	l.judge()
	if disk {
		l.judgeFiles()
	}
	if len(l.problems) == 0 && in.Judge != nil {
		l.hear(in.Judge(&l.out.Config))
	}
	if len(l.problems) > 0 {
		slices.SortStableFunc(l.problems, func(a, b Problem) int {
			return cmp.Or(cmp.Compare(a.Source.Kind, b.Source.Kind), cmp.Compare(a.Source.Line, b.Source.Line))
		})
		return nil, l.problems
	}
	return l.out, nil
}

// hear takes what others say about settings, and adds where those come from.
func (l *loader) hear(said []Problem) {
	for _, p := range said {
		p.Source = l.out.sources[p.Key]
		if p.Doubt {
			l.out.Doubts = append(l.out.Doubts, p)
		} else {
			l.problems = append(l.problems, p)
		}
	}
}

// Default is what holds without any source.
func Default() Config {
	var c Config
	setDefaults(tree, reflect.ValueOf(&c).Elem())
	return c
}

// setDefaults fills a struct. A table gets its default entry.
func setDefaults(parts []*spec, at reflect.Value) {
	for _, s := range parts {
		v := at.Field(s.field)
		switch s.shape {
		case leaf:
			if s.form.name == typeSecret {
				continue
			}
			if s.Required && s.Default == "" {
				continue
			}
			d, err := s.form.parse(s.Default)
			if err != nil {
				panic("config: default of " + s.Path + " " + err.Error())
			}
			v.Set(reflect.ValueOf(d))
		case section:
			setDefaults(s.parts, v)
		case table:
			v.Set(reflect.MakeMap(v.Type()))
			v.SetMapIndex(reflect.ValueOf(defaultEntry), s.entry(v))
		}
	}
}

// entry is a new entry of a list or a table, with its defaults.
func (s *spec) entry(of reflect.Value) reflect.Value {
	e := reflect.New(of.Type().Elem()).Elem()
	setDefaults(s.parts, e)
	return e
}

// Source is where the value of a path came from.
func (l *Loaded) Source(path string) Source { return l.sources[path] }

// fail notes a problem. Of very many the first are enough.
func (l *loader) fail(key string, at Source, format string, args ...any) {
	if l.full() {
		return
	}
	l.problems = append(l.problems, Problem{Key: key, Source: at, Text: fmt.Sprintf(format, args...)})
}

func (l *loader) full() bool { return len(l.problems) >= maxProblems }

func (l *loader) doubt(key string, format string, args ...any) {
	l.out.Doubts = append(l.out.Doubts, Problem{Key: key, Source: l.out.sources[key], Text: fmt.Sprintf(format, args...), Doubt: true})
}

// set gives a leaf its value, or says why not.
func (l *loader) set(s *spec, v reflect.Value, path string, at Source, text string) {
	value, err := s.parseValue(text)
	switch {
	case err == nil:
	case s.asFile || (s.Format == "https" || s.Format == "redis") && strings.Contains(text, "@"):
		l.fail(path, at, "%s", err)
	default:
		l.fail(path, at, "%s %s", shown(text), err)
	}
	l.out.sources[path] = at
	if err == nil {
		if t, ok := value.(string); ok && s.Format == "path" {
			value = beside(at, t)
		}
		v.Set(reflect.ValueOf(value))
	}
}

// setFromFile gives a secret the content of a file.
func (l *loader) setFromFile(s *spec, v reflect.Value, path string, at Source, name string) {
	l.out.sources[path] = at
	if name == "" {
		l.fail(path, at, "names no file")
		return
	}
	file := beside(at, name)
	raw, err := l.in.ReadFile(file)
	switch {
	case err == nil && len(raw) > maxSecret:
		err = fmt.Errorf("it is larger than %d bytes", maxSecret)
	case err != nil && looksSecret(name):
		err = errors.New("the name looks like the secret itself: put that into a file, and name the file here")
		file = "of its own"
	case err != nil:
		err = fmt.Errorf("%w: give the path of a file that this user may read", withoutPath(err))
	}
	if err != nil {
		l.fail(path, at, "cannot be read from the file %s: %s", file, err)
		return
	}
	value, err := s.parseValue(string(raw))
	if err != nil {
		l.fail(path, at, "in the file %s %s", file, err)
		return
	}
	v.Set(reflect.ValueOf(Secret{text: value.(Secret).text, from: file}))
}

// beside takes a relative path in the configuration file as one from its folder, and every other as it is.
func beside(at Source, name string) string {
	if at.Kind == FromFile && name != "" && !filepath.IsAbs(name) {
		return filepath.Join(filepath.Dir(at.Name), name)
	}
	return name
}

// looksSecret tells what somebody pasted from the path of a file.
func looksSecret(name string) bool {
	return strings.ContainsAny(name, "\n=") || len(name) >= 32 && !strings.ContainsAny(name, "/.") || len(name) > 200 || strings.Contains(name, "-----")
}

func withoutPath(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// readFile reads what is no larger than allowed. Only regular files: others may never end, and a reload reads again.
func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is no regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	return io.ReadAll(io.LimitReader(f, maxFile+1))
}

// names are the entries of a table, the default one first.
func names(table reflect.Value) []string {
	all := make([]string, 0, table.Len())
	for _, k := range table.MapKeys() {
		all = append(all, k.String())
	}
	slices.SortFunc(all, func(a, b string) int {
		if a == defaultEntry || b == defaultEntry {
			return cmp.Compare(b2i(a != defaultEntry), b2i(b != defaultEntry))
		}
		return cmp.Compare(a, b)
	})
	return all
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func sortedKeys(m map[string]string) []string {
	return slices.Sorted(maps.Keys(m))
}
