// Command carillon is Carillon in one binary: it runs a server (dev, serve), looks after one (config, doctor, token),
// talks to one (sub, pub, history), measures one (bench) and answers questions. It reads flags, environment and files,
// prints, and maps errors to sentences and exit codes; what a server or a client does is decided in node and client,
// what a setting means in config, never here. Secrets and tokens come from files or the environment, never from an
// argument, and are never printed but by `token create`. Start with commands, then server.run and clientFlags.
package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"carillon/bench"
	"carillon/config"
	"carillon/plan"
)

// version is set by the linker: -ldflags "-X main.version=v1.2.3".
var version = "dev"

// commands is the command line as kong reads it. A package that brings a command of its own adds a field.
type commands struct {
	Dev   devCommand   `cmd:"" group:"serve" help:"Run a server to try things with, open to everybody on this machine."`
	Serve serveCommand `cmd:"" group:"serve" help:"Run a server that lets in who has a token."`

	Sub     subCommand     `cmd:"" group:"talk" help:"Print the records of channels as they come."`
	Pub     pubCommand     `cmd:"" group:"talk" help:"Publish one record, or every line of standard input."`
	History historyCommand `cmd:"" group:"talk" help:"Print what a channel keeps."`
	Call    callCommand    `cmd:"" group:"talk" help:"Send a command to the service of a channel."`

	Config config.Command       `cmd:"" group:"care" help:"Check, explain and write the configuration of a server."`
	Doctor config.DoctorCommand `cmd:"" group:"care" help:"Say whether this machine can carry what the configuration promises."`
	Token  tokenCommand         `cmd:"" group:"care" help:"Make and check the tokens of clients."`
	Replay replayCommand        `cmd:"" group:"care" help:"Prove what is kept of a service's channel."`

	Bench      bench.Command     `cmd:"" group:"tools" help:"Put load on a server and measure it."`
	Plan       plan.Command      `cmd:"" group:"tools" help:"Reckon how many machines a load takes."`
	Explain    explainCommand    `cmd:"" group:"tools" help:"Say what an error or close code means, and what to do."`
	Echo       echoCommand       `cmd:"" group:"tools" help:"Run a WebSocket echo server for conformance tools."`
	Completion completionCommand `cmd:"" group:"tools" help:"Print the completion of a shell."`
	Man        manCommand        `cmd:"" group:"tools" help:"Print the manual page."`
	Version    versionCommand    `cmd:"" group:"tools" help:"Say which Carillon this is."`
}

var groups = kong.Groups{"serve": "Run a server", "talk": "Talk to one", "care": "Look after one", "tools": "Tools"}

func main() { os.Exit(run(os.Args[1:], newConsole())) }

// run is main with its exit code.
func run(args []string, c *console) int {
	// After the first signal the default is back, where a command does not see to it: a second one ends the process at once.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	defer context.AfterFunc(ctx, stop)()

	left := -1 // the exit code of --help
	parser, err := kong.New(&commands{Config: config.Command{Judge: judge}},
		kong.Name("carillon"), kong.Description(about), groups, kong.Help(printHelp),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true, WrapUpperBound: helpWidth}),
		kong.Writers(c.out, c.err), kong.Exit(func(code int) { left = code }),
		kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(c),
	)
	if err != nil {
		panic(err) // the grammar above is wrong, whatever the arguments
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	chosen, err := parser.Parse(args)
	switch {
	case left >= 0:
		return left
	case err != nil:
		return c.fail(usageOf(err))
	}
	return c.fail(chosen.Run())
}

// usageOf gives an error of the command line its exit code, and names the help to read. Errors of Validate methods that
// carry their own advice keep it.
func usageOf(err error) error {
	if f := asFailure(err); f != nil {
		return f
	}
	help := programName
	var p *kong.ParseError
	if errors.As(err, &p) {
		for _, step := range p.Context.Path {
			if step.Command != nil {
				help += " " + step.Command.Name
			}
		}
	}
	return &failure{exitUsage, err.Error(), "See: " + help + " --help"}
}
