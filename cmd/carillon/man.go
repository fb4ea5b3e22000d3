package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"
)

type manCommand struct{}

// Help is shown by --help.
func (manCommand) Help() string {
	return `Prints the manual page of all commands, in the language of man.

Examples:

	carillon man | man -l -
	carillon man > /usr/local/share/man/man1/carillon.1`
}

// Run is called by kong.
func (*manCommand) Run(k *kong.Context, c *console) error {
	top := outlineOf(k.Model.Node, "")
	m := &manual{}
	m.macro("TH", "CARILLON", "1", "", "carillon "+version, "Carillon")
	m.macro("SH", "NAME")
	m.text("carillon - real-time server that does not lose things")
	m.macro("SH", "SYNOPSIS")
	m.macro("B", programName)
	m.text("COMMAND [FLAGS] [ARGUMENTS]")
	m.macro("SH", "DESCRIPTION")
	m.text(top.help)
	m.text("Flags win over the environment, the environment over the configuration file.")
	m.macro("SH", "COMMANDS")
	for _, o := range top.all() {
		if len(o.subs) == 0 {
			m.command(o)
		}
	}
	m.macro("SH", "ENVIRONMENT")
	for _, v := range variables {
		m.item(v[0], v[1])
	}
	m.macro("SH", "EXIT STATUS")
	for _, e := range exitCodes {
		m.item(fmt.Sprint(e.code), e.text+".")
	}
	m.macro("SH", "SIGNALS")
	m.item("SIGHUP", "dev and serve read their configuration again; no connection ends.")
	m.item("SIGTERM, SIGINT", "dev and serve tell their clients to come back, wait for drain.timeout, and end. A second one cuts what is left.")
	_, err := io.WriteString(c.out, m.b.String())
	return err
}

// manual writes roff with the macros of man.
type manual struct{ b strings.Builder }

// escapes keep what roff would take for its own: escapes, hyphens that should stay hyphens, and what it might set as
// something typographic.
var escapes = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`)

func escaped(line string) string {
	line = escapes.Replace(line)
	if strings.HasPrefix(line, ".") {
		line = `\&` + line
	}
	return line
}

func (m *manual) macro(name string, args ...string) {
	m.b.WriteString("." + name)
	for _, a := range args {
		m.b.WriteString(` "` + strings.ReplaceAll(escaped(a), `"`, `\(dq`) + `"`)
	}
	m.b.WriteByte('\n')
}

func (m *manual) text(line string) {
	if line != "" {
		m.b.WriteString(escaped(line) + "\n")
	}
}

// item is a word and, further to the right, what it means.
func (m *manual) item(word, text string) {
	m.macro("TP")
	m.macro("B", word)
	m.text(text)
}

func (m *manual) command(o *outline) {
	title := programName + o.path
	for _, a := range o.args {
		title += " " + a.summary
	}
	m.macro("SS", title)
	m.text(o.help)
	if o.detail != "" {
		m.macro("PP")
		m.detail(o.detail)
	}
	for _, a := range o.args {
		m.item(a.summary, a.help)
	}
	for _, f := range o.flags {
		word := strings.Join(f.names, ", ")
		if f.value != "" {
			word += " " + f.value
		}
		m.item(word, f.help)
	}
}

// detail sets the text of a Help method: paragraphs, and samples where a line begins with a tab.
func (m *manual) detail(text string) {
	sample := false
	for _, line := range strings.Split(text, "\n") {
		isSample := strings.HasPrefix(line, "\t") || line == "" && sample
		switch {
		case isSample && !sample:
			m.macro("RS", "4")
			m.macro("EX")
		case !isSample && sample:
			m.macro("EE")
			m.macro("RE")
			m.macro("PP")
		case line == "":
			m.macro("PP")
		}
		if sample = isSample; line != "" {
			m.text(strings.TrimPrefix(line, "\t"))
		}
	}
	if sample {
		m.macro("EE")
		m.macro("RE")
	}
}
