package main

import (
	"strings"

	"github.com/alecthomas/kong"
)

// outline is a command as completion and manual see it: the grammar of kong, flattened.
type outline struct {
	path   string // from the program on, with a blank before each word: " token create"; "" for the program itself
	help   string // one sentence
	detail string
	subs   []*outline
	flags  []flagOutline
	args   []argOutline
}

type flagOutline struct {
	names  []string // with their dashes; the second one, where there is one, is the negation
	value  string   // placeholder of its value; "" for a switch
	help   string
	values []string // that it takes, where they are few
}

type argOutline struct {
	summary, help string
	values        []string
}

func (o *outline) name() string { return o.path[strings.LastIndexByte(o.path, ' ')+1:] }

// outlineOf walks the commands from n down. Hidden ones are left out.
func outlineOf(n *kong.Node, path string) *outline {
	o := &outline{path: path, help: n.Help, detail: n.Detail}
	for _, f := range n.Flags {
		if !f.Hidden && f.Name != "help" {
			o.flags = append(o.flags, outlineOfFlag(f))
		}
	}
	o.flags = append(o.flags, flagOutline{names: []string{"--help"}, help: "Show help."})
	for _, a := range n.Positional {
		o.args = append(o.args, argOutline{a.Summary(), a.Help, enumOf(a)})
	}
	for _, sub := range n.Children {
		if !sub.Hidden && sub.Type == kong.CommandNode {
			o.subs = append(o.subs, outlineOf(sub, path+" "+sub.Name))
		}
	}
	return o
}

func outlineOfFlag(f *kong.Flag) flagOutline {
	out := flagOutline{names: []string{"--" + f.Name}, help: f.Help, values: enumOf(f.Value)}
	switch f.Tag.Negatable {
	case "":
	case "_":
		out.names = append(out.names, "--no-"+f.Name)
	default:
		out.names = append(out.names, "--"+f.Tag.Negatable)
	}
	if !f.IsBool() && !f.IsCounter() {
		out.value = strings.TrimSuffix(f.FormatPlaceHolder(), ",...") // that a list may be given at once, its help says
	}
	return out
}

func enumOf(v *kong.Value) (values []string) {
	if v.Enum == "" {
		return nil
	}
	for _, one := range v.EnumSlice() {
		if one != "" {
			values = append(values, one)
		}
	}
	return values
}

// all are the outlines of o and of everything below it.
func (o *outline) all() []*outline {
	list := []*outline{o}
	for _, sub := range o.subs {
		list = append(list, sub.all()...)
	}
	return list
}

// words are what may follow the path: commands, values of the first argument, flags.
func (o *outline) words() (all []string) {
	for _, sub := range o.subs {
		all = append(all, sub.name())
	}
	for _, a := range o.args {
		all = append(all, a.values...)
	}
	for _, f := range o.flags {
		all = append(all, f.names...)
	}
	return all
}

// places tells what a flag's value names: "file", "folder" or "" for something else.
func (f flagOutline) places() string {
	switch f.value {
	case "FILE":
		return "file"
	case "DIR":
		return "folder"
	}
	return ""
}
