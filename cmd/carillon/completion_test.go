package main

import (
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// grammar is the command line as kong has it.
func grammar(t testing.TB) *kong.Kong {
	t.Helper()
	k, err := kong.New(&commands{}, kong.Name(programName), groups)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// everyName visits all commands of the grammar with their words, straight from kong.
func everyName(t testing.TB, visit func(path []string, flags []string)) {
	t.Helper()
	var walk func(n *kong.Node, path []string)
	walk = func(n *kong.Node, path []string) {
		var flags []string
		for _, f := range n.Flags {
			flags = append(flags, f.Name)
		}
		visit(path, flags)
		for _, sub := range n.Children {
			walk(sub, append(slices.Clone(path), sub.Name))
		}
	}
	walk(grammar(t).Model.Node, nil)
}

// completed asks the bash script what may follow a line, as bash would.
func completed(t testing.TB, bash, script string, words ...string) []string {
	t.Helper()
	ask := script + "\nCOMP_WORDS=(\"$@\"); COMP_CWORD=$(($#-1)); _carillon; printf '%s\\n' \"${COMPREPLY[@]}\"\n"
	cmd := exec.Command(bash, append([]string{"--norc", "-c", ask, "bash", programName}, words...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("completing %q: %v\n%s", words, err, out)
	}
	return strings.Fields(string(out))
}

// TestBashCompletes: the script is good bash, and in bash itself every command and flag is offered where it belongs.
func TestBashCompletes(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("skipped: there is no bash")
	}
	script := carillon(t, "completion", "bash").want(t, exitOK).out
	check := exec.Command(bash, "-n")
	check.Stdin = strings.NewReader(script)
	if out, err := check.CombinedOutput(); err != nil || len(out) > 0 {
		t.Fatalf("bash -n: %v\n%s", err, out)
	}
	everyName(t, func(path, flags []string) {
		offered := completed(t, bash, script, append(path, "")...)
		for _, f := range flags {
			if !slices.Contains(offered, "--"+f) {
				t.Errorf("behind %q --%s is not offered: %q", path, f, offered)
			}
		}
		if len(path) > 0 {
			if last := len(path) - 1; !slices.Contains(completed(t, bash, script, path...), path[last]) {
				t.Errorf("%q is not offered", path)
			}
		}
	})
	for line, want := range map[string]string{
		"dev --log-level d": "debug", "dev --log-level = w": "warn", "completion z": "zsh", "sub --no-j": "--no-json", "bench fan": "fanout",
		"serve --data 1 --dur": "--durable", "config ex": "explain",
	} {
		if got := completed(t, bash, script, strings.Fields(line)...); !slices.Equal(got, []string{want}) {
			t.Errorf("%s: offered %q, want %s", line, got, want)
		}
	}
	if got := completed(t, bash, script, "dev", "--listen", ""); len(got) > 0 {
		t.Errorf("an address is completed by %q", got)
	}
}

// TestOtherShellsComplete: every command and flag occurs, and quotes close.
func TestOtherShellsComplete(t *testing.T) {
	for _, shell := range []string{"zsh", "fish"} {
		script := carillon(t, "completion", shell).want(t, exitOK).out
		everyName(t, func(path, flags []string) {
			if p := "' " + strings.Join(path, " ") + "'"; len(path) > 0 && !strings.Contains(script, p) {
				t.Errorf("%s: %q is missing", shell, path)
			}
			for _, f := range flags {
				if want := map[string]string{"zsh": "'--" + f + ":", "fish": " -l " + f + " "}[shell]; !strings.Contains(script, want) {
					t.Errorf("%s: --%s of %q is missing", shell, f, path)
				}
			}
		})
		for i, line := range lines(script) {
			if strings.Count(line, "'")%2 != 0 {
				t.Errorf("%s: line %d has an open quote: %s", shell, i+1, line)
			}
		}
		if other, err := exec.LookPath(shell); err == nil {
			check := exec.Command(other, "-n")
			check.Stdin = strings.NewReader(script)
			if out, err := check.CombinedOutput(); err != nil {
				t.Errorf("%s -n: %v\n%s", shell, err, out)
			}
		}
	}
	carillon(t, "completion", "tcsh").want(t, exitUsage, "bash")
}

var roffRequest = regexp.MustCompile(`^\.(TH|SH|SS|TP|PP|B|EX|EE|RS|RE)( |$)`)

// TestManual: every command and flag has its place, only known requests occur, and groff has nothing to complain about.
func TestManual(t *testing.T) {
	page := carillon(t, "man").want(t, exitOK).out
	everyName(t, func(path, flags []string) {
		for _, f := range flags {
			if !strings.Contains(page, `\-\-`+strings.ReplaceAll(f, "-", `\-`)) {
				t.Errorf("--%s of %q is missing", f, path)
			}
		}
	})
	for _, leaf := range grammar(t).Model.Leaves(true) {
		if !strings.Contains(page, `.SS "carillon `+leaf.Path()) {
			t.Errorf("%s is missing", leaf.Path())
		}
	}
	for i, line := range lines(page) {
		if strings.HasPrefix(line, ".") && !roffRequest.MatchString(line) || strings.HasPrefix(line, "'") {
			t.Errorf("line %d would be taken for a request: %s", i+1, line)
		}
	}
	for _, section := range []string{"NAME", "SYNOPSIS", "COMMANDS", "ENVIRONMENT", "EXIT STATUS", "SIGNALS"} {
		if !strings.Contains(page, `.SH "`+section+`"`) {
			t.Errorf("section %s is missing", section)
		}
	}
	groff, err := exec.LookPath("groff")
	if err != nil {
		t.Log("groff is not here: the page was not set")
		return
	}
	set := exec.Command(groff, "-man", "-Tascii", "-ww", "-z")
	set.Stdin = strings.NewReader(page)
	if out, err := set.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("groff: %v\n%s", err, out)
	}
}
