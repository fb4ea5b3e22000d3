package config

import (
	"context"
	"fmt"
	"io"
	"os"
	"reflect"

	"github.com/alecthomas/kong"
)

// Flags are those of every command that needs a configuration; embed them.
type Flags struct {
	Config string            `placeholder:"FILE" help:"Configuration file, YAML or JSON; else the one that CARILLON_CONFIG names."`
	Set    map[string]string `placeholder:"KEY=VALUE" mapsep:"none" help:"One setting by its path, such as limits.frame=1MiB; may be given several times, wins over everything. No secrets."`
}

// clientVariables have our prefix and belong to the commands that talk to a server, or to tests.
var clientVariables = []string{"CARILLON_URL", "CARILLON_TOKEN", "CARILLON_TOKEN_FILE", "CARILLON_TESTDATA", "CARILLON_LONG", "CARILLON_SEED", "CARILLON_SCHEDULES"}

// Sources are those of a process with these flags. Flags of its own a command adds by path.
func (f Flags) Sources() Sources {
	in := Sources{File: f.Config, Env: os.Environ(), Others: clientVariables, Flags: map[string]string{}}
	for key, value := range f.Set {
		in.Flags[key] = value
	}
	return in
}

// Command is `carillon config`: mount it with `cmd:""`.
type Command struct {
	// Judge goes into Sources.Judge, so that check finds what serve would refuse. May be nil.
	Judge func(*Config) []Problem `kong:"-"`

	Check   checkCommand   `cmd:"" help:"Read the configuration and say all that is wrong or doubtful with it."`
	Explain explainCommand `cmd:"" help:"Show every setting: its value, where that comes from, what it means and may be."`
	Env     envCommand     `cmd:"" help:"List the environment variables that are read."`
	Schema  schemaCommand  `cmd:"" help:"Print the JSON Schema of the configuration file, for editors."`
	Default defaultCommand `cmd:"" help:"Print a configuration file with every setting at its default, and comments."`
}

// Found is the error of a check that found something: what it was is printed already.
type Found struct{ What string }

func (f Found) Error() string { return f.What }

type checkCommand struct{ Flags }

// Help is shown by --help.
func (checkCommand) Help() string {
	return `Everything that is wrong is said at once, each with its place and what to do. Nothing is started. The exit code is 1 if the server would refuse to start.

Examples:

	carillon config check --config carillon.yaml
	CARILLON_LIMITS_FRAME=1GiB carillon config check`
}

// Run is called by kong.
func (c *checkCommand) Run(k *kong.Context, of *Command) error {
	in := c.Sources()
	in.Judge = of.Judge
	return Check(k.Stdout, in)
}

// Check writes all problems and doubts of a configuration, one a line. Its error is of type Found if it would be refused.
func Check(w io.Writer, in Sources) error {
	out := &writer{w: w}
	l, err := Load(in)
	if problems, ok := err.(Problems); ok {
		for _, p := range problems {
			out.print("%s\n", p)
		}
		if out.err != nil {
			return out.err
		}
		return Found{fmt.Sprintf("the configuration has %s", counted(len(problems), "problem"))}
	}
	for _, d := range l.Doubts {
		out.print("warning: %s\n", d)
	}
	set := 0
	visit(tree, reflect.ValueOf(l.Config), "", func(_ *spec, _ reflect.Value, path string) {
		if l.sources[path].Kind != FromDefault {
			set++
		}
	})
	out.print("%s: %s set, the rest is default; %s\n", or(l.File, "no configuration file"), counted(set, "setting"), counted(len(l.Doubts), "warning"))
	return out.err
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

type explainCommand struct {
	Flags
	Key string `arg:"" optional:"" help:"Setting or section, such as limits; all of them without it."`
}

// Run is called by kong.
func (e *explainCommand) Run(k *kong.Context) error {
	l, err := Load(e.Sources())
	if err != nil {
		return err
	}
	n, err := l.Explain(k.Stdout, e.Key)
	if err == nil && n == 0 {
		return Found{fmt.Sprintf("no setting begins with %q: carillon config explain shows all", e.Key)}
	}
	return err
}

type envCommand struct{}

// Run is called by kong.
func (*envCommand) Run(k *kong.Context) error { return WriteEnv(k.Stdout) }

type schemaCommand struct{}

// Run is called by kong.
func (*schemaCommand) Run(k *kong.Context) error { return WriteSchema(k.Stdout) }

type defaultCommand struct{}

// Run is called by kong.
func (*defaultCommand) Run(k *kong.Context) error { return WriteDefault(k.Stdout) }

// DoctorCommand is `carillon doctor`: mount it with `cmd:""`.
type DoctorCommand struct{ Flags }

// Help is shown by --help.
func (DoctorCommand) Help() string {
	return `Looks at this machine with the eyes of the configuration: open files, backlog, ports, clock, data folder, secrets, memory; and at the Redis and the Postgres that it names: version, persistence, eviction, buffers, replicas, rights, clocks. Each line says ok, warn or fail, and what to set. It writes and removes one small file in the data folder and one key in Redis. The exit code is 1 if anything fails.

Example:

	carillon doctor --config carillon.yaml`
}

// Run is called by kong.
func (d *DoctorCommand) Run(k *kong.Context) error {
	l, err := Load(d.Sources())
	if err != nil {
		return err
	}
	found := Examine(&l.Config, Gather(&l.Config))
	if r := &l.Config.Redis; r.URL != "" {
		trust, err := r.Trust()
		if err != nil {
			return err
		}
		found = append(found, ExamineRedis(GatherRedis(context.Background(), RedisAccess{r.URL, r.Username, string(r.Password.Reveal()), r.Prefix, trust}))...)
	}
	if p := &l.Config.Postgres; p.URL.IsSet() {
		found = append(found, ExaminePostgres(GatherPostgres(context.Background(), string(p.URL.Reveal())))...)
	}
	return WriteFindings(k.Stdout, found)
}
