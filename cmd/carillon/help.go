package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/alecthomas/kong"
)

const (
	programName = "carillon"
	helpWidth   = 110 // columns
	about       = "Carillon keeps many people in the same room in sync: channels over WebSocket, with a memory."
)

// variables are those of the environment that every page of help names; settings have more.
var variables = [][2]string{
	{"CARILLON_CONFIG", "Configuration file of serve, dev, config, doctor and token check."},
	{"CARILLON_SECRET_FILE", "File with the secret that signs tokens, 32 bytes or more (serve, dev, token)."},
	{"CARILLON_...", "Any other setting; carillon config env lists them."},
	{"CARILLON_URL", "Server that sub, pub, call and history talk to (default " + defaultURL + ")."},
	{"CARILLON_TOKEN", "Token of sub, pub, history and token check; or"},
	{"CARILLON_TOKEN_FILE", "a file that holds it, read again at every connect."},
	{"NO_COLOR", "Set to anything: no colours."},
}

// exitCodes in words.
var exitCodes = []struct {
	code int
	text string
}{
	{exitOK, "all went well"}, {exitFailed, "it failed"}, {exitUsage, "the command was wrong"},
	{exitRefused, "the server refused it"}, {exitUnreachable, "the server cannot be reached"},
	{exitInterrupted, "interrupted before all was done"},
}

const firstSteps = `

First steps:
  carillon dev
  carillon sub demo:lobby
  carillon pub demo:lobby '"hello"'
`

func printHelp(o kong.HelpOptions, ctx *kong.Context) error {
	if err := kong.DefaultHelpPrinter(o, ctx); err != nil {
		return err
	}
	if ctx.Selected() == nil {
		printFooter(ctx.Stdout)
	}
	return nil
}

// printFooter ends `carillon --help`.
func printFooter(w io.Writer) {
	fmt.Fprint(w, "\nEnvironment:\n")
	for _, v := range variables {
		fmt.Fprintf(w, "  %-21s  %s\n", v[0], v[1])
	}
	fmt.Fprint(w, "\nExit codes:\n")
	for _, e := range exitCodes {
		fmt.Fprintf(w, "  %3d  %s\n", e.code, e.text)
	}
	fmt.Fprint(w, firstSteps)
}

// invocation is how this program was called, for samples that can be pasted.
func invocation() string {
	switch self := os.Args[0]; {
	case strings.Contains(self, string(filepath.Separator)+"go-build"):
		return "go run ./cmd/carillon"
	case strings.ContainsAny(self, " '\"$"):
		return "'" + strings.ReplaceAll(self, "'", `'\''`) + "'"
	default:
		return self
	}
}
