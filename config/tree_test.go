package config

import (
	"bytes"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"carillon/channel"

	"pgregory.net/rapid"
)

// readNothing is a disk without files.
func readNothing(string) ([]byte, error) { return nil, os.ErrNotExist }

// disk is one with these files.
func disk(files map[string]string) func(string) ([]byte, error) {
	return func(path string) ([]byte, error) {
		if text, ok := files[path]; ok {
			return []byte(text), nil
		}
		return nil, &os.PathError{Op: "open", Path: path, Err: os.ErrNotExist}
	}
}

// load reads one file, called c.yaml.
func load(text string) (*Loaded, error) {
	return Load(Sources{File: "c.yaml", ReadFile: disk(map[string]string{"c.yaml": text})})
}

func mustLoad(t *testing.T, text string) *Loaded {
	t.Helper()
	l, err := load(text)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// everyLeaf are the specifications of all values, those of entries too.
func everyLeaf(parts []*spec) (all []*spec) {
	for _, s := range parts {
		if s.shape == leaf {
			all = append(all, s)
		}
		all = append(all, everyLeaf(s.parts)...)
	}
	return all
}

// Every key says what it is, and its default lies within its own bounds and in the form in which it is shown.
func TestEveryKeyIsWhole(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range Keys() {
		if seen[k.Path] || k.Env != "" && seen[k.Env] {
			t.Errorf("%s or %s is there twice", k.Path, k.Env)
		}
		seen[k.Path], seen[k.Env] = true, true
		if !strings.HasSuffix(k.Help, ".") || k.Help[0] < 'A' || k.Help[0] > 'Z' {
			t.Errorf("%s: the meaning is a sentence: %q", k.Path, k.Help)
		}
		if (k.Type == typeWhole || k.Type == typeShare) && k.Unit == "" {
			t.Errorf("%s: a number without a unit", k.Path)
		}
	}
	for _, s := range everyLeaf(tree) {
		if s.form.within != nil {
			for _, bound := range []string{s.Min, s.Max} {
				if v, err := s.form.parse(bound); err != nil {
					t.Errorf("%s: bound %q %s", s.Path, bound, err)
				} else if s.checkBound(v) != nil {
					t.Errorf("%s: bound %q lies outside of the bounds", s.Path, bound)
				}
			}
		}
		if s.asFile || s.Required {
			continue
		}
		v, err := s.parseValue(s.Default)
		if err != nil {
			t.Errorf("%s: default %q %s", s.Path, s.Default, err)
		} else if got := s.form.format(v); got != s.Default {
			t.Errorf("%s: default %q is shown as %q", s.Path, s.Default, got)
		}
	}
}

// What is declared here and what the rest of the server takes for default are the same.
func TestDefaultsAgreeWithTheServer(t *testing.T) {
	c := Default()
	if got, want := c.Namespaces["default"].Policy(), channel.DefaultPolicy(); got != want {
		t.Errorf("a plain channel is %+v here and %+v there", got, want)
	}
	if c.Limits.ConnectionsPerUser != 5 || c.Limits.ChannelsPerConnection != 128 || c.Limits.MessagesPerConnection != (Rate{50, time.Second, 100}) {
		t.Errorf("limits %+v", c.Limits)
	}
}

// The file with all defaults, as it is printed, changes nothing.
func TestDefaultFileChangesNothing(t *testing.T) {
	var text bytes.Buffer
	if err := WriteDefault(&text); err != nil {
		t.Fatal(err)
	}
	l := mustLoad(t, text.String())
	if want := Default(); !reflect.DeepEqual(l.Config, want) {
		t.Errorf("got  %+v\nwant %+v", l.Config, want)
	}
	for _, k := range Keys() {
		name := k.Path[strings.LastIndexByte(k.Path, '.')+1:]
		if !strings.Contains(text.String(), name) {
			t.Errorf("%s is not in it", k.Path)
		}
	}
	for i, line := range strings.Split(text.String(), "\n") {
		if len(line) > wrapAt+helpIndent*4 || strings.TrimRight(line, " ") != line {
			t.Errorf("line %d is too long or ends with a space: %q", i+1, line)
		}
	}
}

// Uncommented, the samples of lists are entries that are read.
func TestSamplesOfListsAreEntries(t *testing.T) {
	l := mustLoadFiles(t, map[string]string{"c.yaml": `
server_keys:
  - name: backend
    key_file: k
auth:
  issuers:
    - issuer: https://id.example.org
      audience: chat
      keys:
        - kid: a
          algorithm: HS256
          secret_file: s
`, "k": canary(1), "s": canary(2)})
	if l.Config.ServerKeys[0].Key.File() != "k" || l.Config.Auth.Issuers[0].Keys[0].KID != "a" {
		t.Errorf("%+v", l.Config)
	}
}

func mustLoadFiles(t *testing.T, files map[string]string) *Loaded {
	t.Helper()
	l, err := Load(Sources{File: "c.yaml", ReadFile: disk(files)})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// Whatever is shown is read as the same again.
func TestValuesAreReadAsShown(t *testing.T) {
	per := rapid.SampledFrom([]time.Duration{time.Second, time.Minute, time.Hour})
	some := rapid.Int64Range(1, 1<<50)
	rapid.Check(t, func(t *rapid.T) {
		size := Size(rapid.Int64Range(0, 1<<62).Draw(t, "size"))
		if got, err := ParseSize(size.String()); got != size || err != nil {
			t.Errorf("%d as %s is %d, %v", int64(size), size, int64(got), err)
		}
		rate := Rate{some.Draw(t, "count"), per.Draw(t, "per"), some.Draw(t, "burst")}
		if got, err := ParseRate(rate.String()); got != rate || err != nil {
			t.Errorf("%+v as %s is %+v, %v", rate, rate, got, err)
		}
		bytes := ByteRate(rate)
		if got, err := ParseByteRate(bytes.String()); got != bytes || err != nil {
			t.Errorf("%+v as %s is %+v, %v", bytes, bytes, got, err)
		}
		span := time.Duration(rapid.Int64Range(0, 1<<60).Draw(t, "span"))
		if rapid.Bool().Draw(t, "whole") {
			span = span.Truncate(time.Hour)
		}
		if got, err := parseSpan(formatSpan(span)); got != span || err != nil {
			t.Errorf("%s as %s is %s, %v", span, formatSpan(span), got, err)
		}
	})
}

func TestWhatIsNoValue(t *testing.T) {
	for _, s := range []string{"", "-1", "64KB", "1.5MiB", "9999999TiB", "9223372036854775808", "KiB", "0x10", "1 2"} {
		if v, err := ParseSize(s); err == nil && s != "" {
			t.Errorf("size %q is %d", s, v)
		}
	}
	for _, s := range []string{"", "50", "50/d", "50/s burst", "50/s burst 0", "0/s", "-1/s", "50/s bursts 3", "50/s burst 1 2", "1e3/s"} {
		if v, err := ParseRate(s); err == nil {
			t.Errorf("rate %q is %v", s, v)
		}
	}
	for _, s := range []string{"", "5", "1w", "d", "-1d", "999999d", "1d12h", "NaN"} {
		if v, err := parseSpan(s); err == nil {
			t.Errorf("duration %q is %v", s, v)
		}
	}
}

// bench.yaml lifts what stands in the way of a load test, by name, and nothing else.
func TestBenchLiftsLimits(t *testing.T) {
	l, err := Load(Sources{File: "bench.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	was := Default()
	changes, refused := Diff(&was, &l.Config)
	if len(refused) > 0 || len(changes) < 8 {
		t.Errorf("changes %v, refused %v", changes, refused)
	}
	for _, c := range changes {
		if !strings.HasPrefix(c.Key, "limits.") {
			t.Errorf("changes %v", c)
		}
	}
}
