package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/alecthomas/kong"
)

const (
	helpWidth = 110 // columns
	about     = "Carillon keeps many people in the same room in sync: channels over WebSocket, with a memory."
)

// footer ends `carillon --help`.
const footer = `
Environment:
  CARILLON_SECRET_FILE   File with the secret that signs tokens, 32 bytes or more (serve, dev, token create).
  CARILLON_URL           Server that sub, pub and history talk to (default ` + defaultURL + `).
  CARILLON_TOKEN         Token of sub, pub and history; or
  CARILLON_TOKEN_FILE    a file that holds it, read again at every connect.
  NO_COLOR               Set to anything: no colours.

Exit codes:
  0    all went well            3    the server refused it
  1    it failed                4    the server cannot be reached
  2    the command was wrong  130    interrupted before all was done

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
		fmt.Fprint(ctx.Stdout, footer)
	}
	return nil
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
