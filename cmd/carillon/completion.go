package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"
)

type completionCommand struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Help is shown by --help.
func (completionCommand) Help() string {
	return `Prints a script that completes commands, flags and their values. It is made from the commands of this binary, so make it anew after an update.

Examples:

	source <(carillon completion bash)
	carillon completion bash > /etc/bash_completion.d/carillon
	carillon completion zsh > "${fpath[1]}/_carillon"
	carillon completion fish > ~/.config/fish/completions/carillon.fish`
}

// Run is called by kong.
func (cc *completionCommand) Run(k *kong.Context, c *console) error {
	top := outlineOf(k.Model.Node, "")
	switch cc.Shell {
	case "bash":
		return completeBash(c.out, top)
	case "zsh":
		return completeZsh(c.out, top)
	}
	return completeFish(c.out, top)
}

// choice is a value that follows a flag: the patterns of the flag in its commands, and what it may be.
type choice struct {
	pattern string
	flag    flagOutline
}

func choices(top *outline) (all []choice) {
	for _, o := range top.all() {
		for _, f := range o.flags {
			if f.value != "" {
				all = append(all, choice{quote(o.path + " " + f.names[0]), f})
			}
		}
	}
	return all
}

// paths are the patterns of all commands, for a case that goes down the command line word by word.
func paths(top *outline) string {
	var all []string
	for _, o := range top.all()[1:] {
		all = append(all, quote(o.path))
	}
	return strings.Join(all, "|")
}

// quote makes one word of text for any of the shells: what it quotes holds no backslash.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", "’") + "'" }

// completeBash writes a function that finds out in which command the cursor stands, and offers what may come next.
func completeBash(w io.Writer, top *outline) error {
	var b strings.Builder
	b.WriteString(`# bash completion of carillon, printed by: carillon completion bash
_carillon() {
    local cur="${COMP_WORDS[COMP_CWORD]}" prev="${COMP_WORDS[COMP_CWORD-1]}" at="" words="" i
    if [[ $cur == = ]]; then
        cur=""
    elif [[ $prev == = ]]; then
        prev="${COMP_WORDS[COMP_CWORD-2]}"
    fi
    for ((i = 1; i < COMP_CWORD; i++)); do
        case "$at ${COMP_WORDS[i]}" in
`)
	fmt.Fprintf(&b, "            %s) at=\"$at ${COMP_WORDS[i]}\" ;;\n        esac\n    done\n    case \"$at $prev\" in\n", paths(top))
	for _, c := range choices(top) {
		offer := `COMPREPLY=()`
		switch {
		case len(c.flag.values) > 0:
			offer = "COMPREPLY=($(compgen -W " + quote(strings.Join(c.flag.values, " ")) + ` -- "$cur"))`
		case c.flag.places() == "file":
			offer = `COMPREPLY=($(compgen -f -- "$cur"))`
		case c.flag.places() == "folder":
			offer = `COMPREPLY=($(compgen -d -- "$cur"))`
		}
		fmt.Fprintf(&b, "        %s) %s; return ;;\n", c.pattern, offer)
	}
	b.WriteString("    esac\n    case \"$at\" in\n")
	for _, o := range top.all() {
		fmt.Fprintf(&b, "        %s) words=%s ;;\n", quote(o.path), quote(strings.Join(o.words(), " ")))
	}
	b.WriteString(`    esac
    COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -F _carillon carillon
`)
	_, err := io.WriteString(w, b.String())
	return err
}

// completeZsh does the same for zsh, with a sentence beside each word.
func completeZsh(w io.Writer, top *outline) error {
	var b strings.Builder
	b.WriteString(`#compdef carillon
# zsh completion of carillon, printed by: carillon completion zsh
_carillon() {
    local at="" i
    local -a next flags
    for ((i = 2; i < CURRENT; i++)); do
        case "$at ${words[i]}" in
`)
	fmt.Fprintf(&b, "            %s) at=\"$at ${words[i]}\" ;;\n        esac\n    done\n    case \"$at ${words[CURRENT-1]}\" in\n", paths(top))
	for _, c := range choices(top) {
		offer := `_message ` + quote(c.flag.value)
		switch {
		case len(c.flag.values) > 0:
			offer = "compadd -- " + strings.Join(c.flag.values, " ")
		case c.flag.places() == "file":
			offer = "_files"
		case c.flag.places() == "folder":
			offer = "_files -/"
		}
		fmt.Fprintf(&b, "        %s) %s; return ;;\n", c.pattern, offer)
	}
	b.WriteString("    esac\n    case \"$at\" in\n")
	for _, o := range top.all() {
		var next, flags []string
		for _, sub := range o.subs {
			next = append(next, described(sub.name(), sub.help))
		}
		for _, a := range o.args {
			for _, v := range a.values {
				next = append(next, quote(v))
			}
		}
		for _, f := range o.flags {
			for _, name := range f.names {
				flags = append(flags, described(name, f.help))
			}
		}
		fmt.Fprintf(&b, "        %s)\n            next=(%s)\n            flags=(%s) ;;\n", quote(o.path), strings.Join(next, " "), strings.Join(flags, " "))
	}
	b.WriteString(`    esac
    (( ${#next} )) && _describe -t commands carillon next
    _describe -o -t options option flags
}
if [[ ${funcstack[1]} == _carillon ]]; then
    _carillon "$@"
else
    compdef _carillon carillon
fi
`)
	_, err := io.WriteString(w, b.String())
	return err
}

// described is a word of zsh's _describe, whose colons part it from its sentence.
func described(word, help string) string {
	return quote(word + ":" + strings.ReplaceAll(strings.ReplaceAll(help, `\`, ""), ":", `\:`))
}

// completeFish writes one line for each word and the commands behind which it may stand.
func completeFish(w io.Writer, top *outline) error {
	var b strings.Builder
	b.WriteString(`# fish completion of carillon, printed by: carillon completion fish
function __carillon_at
    set -l at ""
    set -l words (commandline -opc)
    set -e words[1]
    for word in $words
        switch "$at $word"
`)
	fmt.Fprintf(&b, "            case %s\n", strings.ReplaceAll(paths(top), "|", " "))
	b.WriteString(`                set at "$at $word"
        end
    end
    test "$at" = "$argv[1]"
end
complete -c carillon -f
`)
	for _, o := range top.all() {
		here := `complete -c carillon -n ` + quote(`__carillon_at "`+o.path+`"`)
		for _, sub := range o.subs {
			fmt.Fprintf(&b, "%s -a %s -d %s\n", here, sub.name(), quote(sub.help))
		}
		for _, a := range o.args {
			if len(a.values) > 0 {
				fmt.Fprintf(&b, "%s -a %s\n", here, quote(strings.Join(a.values, " ")))
			}
		}
		for _, f := range o.flags {
			for _, name := range f.names {
				fmt.Fprintf(&b, "%s -l %s%s -d %s\n", here, strings.TrimPrefix(name, "--"), f.fishValue(), quote(f.help))
			}
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// fishValue says what follows a flag in fish: nothing, words, a path, or something else.
func (f flagOutline) fishValue() string {
	switch {
	case f.value == "":
		return ""
	case len(f.values) > 0:
		return " -x -a " + quote(strings.Join(f.values, " "))
	case f.places() == "file":
		return " -r -F"
	case f.places() == "folder":
		return ` -x -a '(__fish_complete_directories)'`
	}
	return " -x"
}
