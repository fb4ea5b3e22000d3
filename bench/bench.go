// Package bench owns the load generator, its scenarios and reports, and the comparison with other servers. It measures a
// server from outside: over its socket, and through what the kernel tells of its process. It must never import a part
// of the server, wait for the server before it sends what is due, or report a figure whose receipts were not checked.
// The lines live in worker processes, the program started again; the coordinator tells them what to do and adds up what
// they saw. Start with Command; the hot part is engine.go, what judges receipts is tally.go.
package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// Command is `bench`: one scenario against one server, or all servers in turn. It is bounded in time and connections,
// aims at loopback alone unless told otherwise, and returns an error where a receipt was lost, repeated or damaged.
type Command struct {
	Scenario string `arg:"" enum:"connect,idle,fanout,rooms,beside,burst,flap,slow,herd,chat,chess,commands,mixed,articles,cluster,across,peers" help:"connect, idle, fanout, rooms, beside, burst, flap, slow, herd, chat, chess, commands, mixed, articles, cluster and across over several nodes, or peers: Carillon and other servers in turn."`
	Target   Target `embed:""`
	Load     Load   `embed:""`
	Output   Output `embed:""`
	Rounds   int    `default:"5" help:"peers, across: how often each is measured."`
	Only     string `default:"" help:"peers: shapes to measure, separated by commas; all when empty."`
	Quick    bool   `help:"Small and short: is everything there? The figures mean nothing."`

	Out io.Writer `kong:"-"` // where the figures go; os.Stdout where nil
}

// Target says which server to measure.
type Target struct {
	URL      string `name:"url" help:"Server that runs already, as ws://127.0.0.1:8000/ws; several nodes of a cluster with commas between."`
	PID      int    `name:"pid" help:"Its process; found by its port when left out."`
	Start    string `help:"Command line of a server to start, with {port} where its port goes; this program's dev when neither it nor --url is given."`
	Peer     string `help:"Server of the comparison to build and start: bare, ws, gws or socketio."`
	Peers    string `default:"bench/peers" help:"Folder of the peers."`
	Protocol string `default:"json" enum:"json,msgpack,plain,socketio" help:"What the server speaks: json, msgpack, or for peers plain or socketio."`
	Secret   string `name:"secret-file" help:"File with the HS256 secret of the server: every connection brings a token of its own." type:"existingfile"`
	Memory   bool   `help:"Start it without a data folder where a scenario would have one: nothing lasts."`
	Anywhere bool   `help:"Aim at machines other than this one. Only at your own."`
}

// Load says how much. Zero means what the scenario has by default.
type Load struct {
	Conns     int           `help:"Connections that subscribe."`
	Channels  int           `help:"rooms, commands: how many channels."`
	Nodes     int           `help:"cluster, across: processes of the server; they meet in a Redis that is started too. Of what lasts (chat, chess, commands, mixed, articles): so many over a Redis and a Postgres, instead of one by itself."`
	Members   int           `help:"chat: in each room."`
	Rate      float64       `help:"Messages a second, over all channels."`
	Payload   int           `default:"100" help:"Bytes of a message's body."`
	Duration  time.Duration `help:"Length of the measured part."`
	Warm      time.Duration `default:"1s" help:"Length of the part before it."`
	Settle    time.Duration `default:"10s" help:"How long to wait for what is on its way."`
	Window    int           `default:"128" help:"Handshakes under way at once."`
	Workers   int           `default:"1" help:"At least so many client processes."`
	Trickle   int           `help:"slow: bytes a second that the slow ones read; 0: they stop."`
	Handshake bool          `help:"connect: the handshake alone, without connect and subscribe."`
	Flood     bool          `help:"fanout: more than can be delivered on purpose; what is on its way at the end is given up."`
}

// Output says where the figures go, beside the screen.
type Output struct {
	JSON bool   `name:"json" help:"Print the figures as JSON."`
	HTML string `name:"html" help:"Write a report to this file." type:"path"`
}

// Bounds of what one run may ask for.
const (
	maxConns    = 200_000
	maxMembers  = 10_000 // of a room
	maxNodes    = 64
	maxRate     = 1_000_000 // messages a second
	maxDuration = time.Hour
	maxBody     = 60_000 // bytes
)

// Run measures. It also is the worker that the coordinator starts: then the environment says so.
func (c *Command) Run(ctx context.Context) error {
	if os.Getenv(workerEnv) != "" {
		return Work(os.Stdin, os.Stdout)
	}
	if c.Out == nil {
		c.Out = os.Stdout
	}
	if err := c.check(); err != nil {
		return err
	}
	if c.Scenario == "peers" {
		return c.compare(ctx)
	}
	r, err := c.measure(ctx)
	if err != nil {
		return err
	}
	return errors.Join(c.publish(r), r.Err())
}

func (c *Command) check() error {
	l := &c.Load
	switch {
	case l.Payload < minPayload || l.Payload > maxBody:
		return fmt.Errorf("--payload is %d to %d bytes: a message carries who sent it, its number and its time", minPayload, maxBody)
	case l.Conns < 0 || l.Conns > maxConns || l.Channels < 0 || l.Channels > maxConns:
		return fmt.Errorf("--conns and --channels are at most %d", maxConns)
	case l.Members < 0 || l.Members > maxMembers:
		return fmt.Errorf("--members is at most %d", maxMembers)
	case l.Nodes < 0 || l.Nodes > maxNodes:
		return fmt.Errorf("--nodes is at most %d", maxNodes)
	case l.Rate < 0 || l.Rate > maxRate:
		return fmt.Errorf("--rate is at most %d messages a second", maxRate)
	case l.Duration < 0 || l.Duration > maxDuration:
		return fmt.Errorf("--duration is at most %s", maxDuration)
	}
	return nil
}

// measure runs one scenario against one server.
func (c *Command) measure(ctx context.Context) (*Result, error) {
	t, err := c.target(ctx)
	if err != nil {
		return nil, err
	}
	defer t.stop()
	return c.run(ctx, t)
}

// run runs the scenario against a server that is there.
func (c *Command) run(ctx context.Context, t *target) (*Result, error) {
	s, ok := scenarios[c.Scenario]
	if !ok {
		return nil, fmt.Errorf("no scenario %q", c.Scenario)
	}
	r := &Result{Scenario: c.Scenario, Server: t.name, Protocol: t.dialect, Payload: c.Load.Payload, Began: time.Now().UTC(), Command: strings.Join(os.Args[1:], " ")}
	b := &bench{c: c, t: t, result: r, screen: newScreen(os.Stderr)}
	defer b.close()
	if err := s(ctx, b); err != nil {
		return nil, fmt.Errorf("%s: %w", c.Scenario, err)
	}
	return r, nil
}

// target finds or starts the server.
func (c *Command) target(ctx context.Context) (*target, error) {
	o := &c.Target
	var t *target
	var err error
	switch {
	case strings.Contains(o.URL, ","):
		t, err = joinNodes(o.URL, o.Anywhere)
	case o.URL != "":
		if t, err = parseTarget(o.URL, o.Anywhere); err == nil {
			t.pid = o.PID
			if t.pid == 0 {
				t.pid, err = ownerOf(t.port)
			}
		}
	case o.Peer != "":
		t, err = startPeer(ctx, o.Peer, o.Peers)
	case c.Scenario == clusterName || c.Scenario == acrossName || c.Load.Nodes > 0 && lasting[c.Scenario]:
		t, err = c.startCluster(ctx)
	default:
		t, err = c.startCarillon(ctx)
	}
	if err != nil {
		return nil, err
	}
	if t.dialect == "" {
		t.dialect = o.Protocol
	}
	if o.Secret != "" {
		if t.secret, err = os.ReadFile(o.Secret); err != nil {
			t.stop()
			return nil, err
		}
		t.secret = []byte(strings.TrimSpace(string(t.secret)))
	}
	return t, nil
}

// lasting are the scenarios whose server keeps what it acknowledges on disk.
var lasting = map[string]bool{"chat": true, "chess": true, "commands": true, "mixed": true, "articles": true}

// startCarillon starts what --start says, or the program this is: serve where there is a secret, otherwise dev.
// lifted is the configuration that lifts the limits of serve for load tests, seen from the root of the repository.
const lifted = "config/bench.yaml"

func (c *Command) startCarillon(ctx context.Context) (*target, error) {
	args, env := strings.Fields(c.Target.Start), []string(nil)
	if c.Target.Secret != "" {
		env = []string{"CARILLON_SECRET_FILE=" + c.Target.Secret}
	}
	if len(args) == 0 {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		word := "dev"
		if env != nil {
			word = "serve"
		}
		args = []string{self, word, "--listen", "127.0.0.1:{port}", "--internal-listen", "127.0.0.1:{internal}"}
		if _, err := os.Stat(lifted); err == nil && word == "serve" {
			args = append(args, "--config", lifted)
		}
	}
	dir, err := "", error(nil)
	if len(c.Target.Start) == 0 && !c.Target.Memory && lasting[c.Scenario] {
		if dir, err = os.MkdirTemp("", "carillon-bench-data-"); err != nil {
			return nil, err
		}
		args = append(args, "--data", dir)
	}
	if env != nil {
		env = append(env, "CARILLON_SERVICES="+chatService+" "+chessService+" "+counterService)
	}
	t, err := start(ctx, ours, c.Target.Protocol, args, env...)
	if err != nil {
		_ = os.RemoveAll(dir) // in the folder for temporary files
		return nil, err
	}
	t.dir = dir
	return t, nil
}
