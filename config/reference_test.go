package config

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/configuration.md anew")

const referenceFile = "../docs/configuration.md"

const referenceTop = `# Configuration

This page is written by the program itself: ` + "`go test ./config -run TestReference -update`" + `. A test keeps it true.

## Sources

A setting comes from the first of these that has it:

1. **Flags**: ` + "`--set limits.frame=1MiB`" + ` sets any value by its path; some commands have flags of their own, such as
   ` + "`--listen`" + `. Secrets are refused here, since every user of a machine can read command lines.
2. **Environment**: the variable of the table below. Lists take commas or spaces between, lists of entries and
   ` + "`namespaces`" + ` take JSON. A secret may also come from a file: ` + "`CARILLON_SECRET_FILE=/run/secrets/carillon`" + `. An empty
   variable counts as not set.
3. **File**: YAML or JSON, named by ` + "`--config`" + ` or ` + "`CARILLON_CONFIG`" + `. A secret ` + "`name`" + ` may be given as ` + "`name_file: PATH`" + `.
   Relative paths in the file start from its folder.
4. The **default**.

What is not known is refused, with the nearest name that is: a misspelt limit would otherwise be no limit. All that is
wrong is said at once.

| command | what it does |
|---|---|
| ` + "`carillon config check`" + ` | says all that is wrong or doubtful |
| ` + "`carillon config explain [KEY]`" + ` | every setting with its value, where that comes from, what it means and may be |
| ` + "`carillon config env`" + ` | the environment variables |
| ` + "`carillon config schema`" + ` | a JSON Schema (2020-12) for editors |
| ` + "`carillon config default`" + ` | a file with every setting at its default, and comments |
| ` + "`carillon doctor`" + ` | whether this machine can carry what the configuration promises |

## Forms

| type | written as |
|---|---|
| duration | ` + "`250ms`, `30s`, `5m`, `1h30m`, `30d`" + ` |
| size | bytes, or ` + "`64KiB`, `1MiB`, `2GiB`" + ` |
| rate | ` + "`50/s burst 100`, also `/m` and `/h`" + `; without a burst it is as large as the count |
| rate of bytes | ` + "`64KiB/s burst 1MiB`" + ` |
| networks, origins, texts | a list, or one text with commas or spaces between |
| path | relative ones start from the folder of the file they stand in, or from where the server was started |
| secret | text, never shown; ` + "`head -c 48 /dev/urandom \\| base64 -w0`" + ` makes one |

## Reload

SIGHUP reads everything again, the files of secrets and certificates too. No connection ends. The last column says when
a change shows; where it says *restart*, the reload is refused as a whole, with the reason, and the old configuration
goes on.
`

const referenceNamespaces = "The entry `default` holds for every namespace without an entry of its own, and for what an entry leaves out. One thing\n" +
	"is not inherited: what a durable namespace keeps. If it says nothing, it keeps everything, unless `default` is durable too.\n"

// reference is docs/configuration.md.
func reference() string {
	var out bytes.Buffer
	out.WriteString(referenceTop + "\n## Settings\n")
	referenceSection(&out, tree, Key{Help: "Settings that stand at the top."}, "")
	return out.String()
}

func referenceSection(out *bytes.Buffer, parts []*spec, of Key, title string) {
	if title != "" {
		fmt.Fprintf(out, "\n### %s\n\n%s\n", title, of.Help)
		if title == "namespaces.NAME" {
			out.WriteString("\n" + referenceNamespaces)
		}
	}
	out.WriteString("\n| setting | type | default | bound | meaning | reload |\n|---|---|---|---|---|---|\n")
	rows(out, parts, "")
	for _, s := range parts {
		switch s.shape {
		case section:
			if title == "" {
				referenceSection(out, s.parts, s.Key, s.Path)
			}
		case list:
			referenceSection(out, s.parts, s.Key, s.Path+"[]")
		case table:
			referenceSection(out, s.parts, s.Key, s.Path+".NAME")
		}
	}
}

// rows lists values; sections within a section stand in its table.
func rows(out *bytes.Buffer, parts []*spec, prefix string) {
	for _, s := range parts {
		if s.shape == section {
			if prefix != "" || s.Env == "" {
				rows(out, s.parts, prefix+s.name+".")
			}
			continue
		}
		name := "`" + prefix + s.name + "`"
		if s.asFile && s.fileOnly {
			name = "`" + prefix + s.name + "_file`"
		} else if s.asFile {
			name += ", `" + prefix + s.name + "_file`"
		}
		if s.Env != "" {
			name += "<br>`" + s.Env + "`"
		}
		reload := or(s.Live, "as its keys say")
		if s.Fixed != "" {
			reload = "*restart*: " + s.Fixed
		}
		bound := s.Bound()
		if s.Required {
			bound = strings.TrimPrefix(bound+"; required", "; ")
		}
		value := s.defaultText()
		if value != "" {
			value = "`" + value + "`"
		}
		fmt.Fprintf(out, "| %s | %s | %s | %s | %s | %s |\n", name, s.Kind(), value, bound, s.Help, reload)
	}
}

// The page and the program say the same.
func TestReference(t *testing.T) {
	want := reference()
	if *update {
		if err := os.WriteFile(referenceFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(referenceFile)
	if err != nil || string(got) != want {
		t.Errorf("%s is not what the settings say (%v): go test ./config -run TestReference -update", referenceFile, err)
	}
	for _, k := range Keys() {
		if k.Env != "" && !strings.Contains(want, "`"+k.Env+"`") {
			t.Errorf("%s is not in it", k.Path)
		}
		if !strings.Contains(want, "| "+k.Help+" |") && !strings.Contains(want, "\n"+k.Help+"\n") {
			t.Errorf("%s is not explained in it", k.Path)
		}
	}
}
