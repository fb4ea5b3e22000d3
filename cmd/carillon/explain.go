package main

import (
	"encoding/json"
	"fmt"
	"strconv"

	"carillon/wire"
)

type explainCommand struct {
	Code string `arg:"" optional:"" help:"Name or close number, such as slow or 4108; all of them without it."`
	outputFlags
}

// Help is shown by --help.
func (explainCommand) Help() string {
	return `Examples:

	carillon explain id_reuse
	carillon explain 4108`
}

// explained is a code as a program gets it.
type explained struct {
	Code    string `json:"code,omitempty"`
	Close   int    `json:"close,omitempty"` // WebSocket close number
	Retry   bool   `json:"retry"`           // the same again may succeed
	Meaning string `json:"meaning"`
	Advice  string `json:"advice,omitempty"`
}

func everyCode() (all []explained) {
	for _, i := range wire.Codes() {
		all = append(all, explained{string(i.Code), i.Number, i.Retry, i.Sentence, i.Advice})
	}
	for _, i := range wire.Closes() {
		all = append(all, explained{Close: i.Number, Retry: i.Then != wire.ReconnectNever, Meaning: i.Sentence})
	}
	return all
}

// Run is called by kong.
func (e *explainCommand) Run(c *console) error {
	found := 0
	for _, x := range everyCode() {
		if e.Code != "" && e.Code != x.Code && e.Code != strconv.Itoa(x.Close) {
			continue
		}
		if found++; e.json(c) {
			line, _ := json.Marshal(x) // strings and numbers
			fmt.Fprintf(c.out, "%s\n", line)
			continue
		}
		if found > 1 {
			fmt.Fprintln(c.out)
		}
		e.print(c, x)
	}
	if found == 0 {
		return usage("See all of them: carillon explain", "%q is no code of this version", e.Code)
	}
	return nil
}

func (e *explainCommand) print(c *console, x explained) {
	title := c.outStyle.bold(x.Code)
	if x.Close != 0 {
		title += c.outStyle.bold(fmt.Sprintf("%*s", min(1, len(x.Code)), "") + strconv.Itoa(x.Close))
	}
	retry := "final: the same again gives the same answer"
	if x.Retry {
		retry = "may be tried again"
	}
	fmt.Fprintf(c.out, "%s  %s\n  %s\n", title, c.outStyle.dim(retry), x.Meaning)
	if x.Advice != "" {
		fmt.Fprintf(c.out, "  %s\n", x.Advice)
	}
}
