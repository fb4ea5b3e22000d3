package node_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"carillon/client"
)

// fleet is very many clients in a process of their own, which is this test's program where fleetVariable says so.
type fleet struct {
	t    testing.TB
	spec fleetSpec
	cmd  *exec.Cmd
	ask  *bufio.Writer
	hear *bufio.Scanner
}

const fleetVariable = "CHILD_FLEET"

// fleetSpec is what a fleet is to be: each client follows one of the channels.
type fleetSpec struct {
	Name     string
	Home     string   // address of the node that all connect to first
	Nodes    []string // addresses where they go afterwards
	Clients  int
	Channels []string
}

// fleetReport is what became of the clients so far.
type fleetReport struct {
	Ready  bool              // all are subscribed
	Away   int               // clients that lost their line and were not handed a record since
	Lost   int               // lines lost
	Behind map[string]uint64 // by channel: the least offset that a client was handed
	Wrong  string            // the first thing that a client must not be handed; "": nothing
	Wrongs int

	P50, P99, Max time.Duration // of records since the report before, from publishing until handed over
}

// member is one client of a fleet, and what it was handed.
type member struct {
	channel string

	mu    sync.Mutex
	at    client.Position
	away  bool // the line was lost, and nothing was handed over since
	up    bool // there is a line
	lost  int
	wrong []error
}

// hear notes what becomes of the line.
func (m *member) hear(s client.State) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch s.Phase {
	case client.Connected:
		m.up = true
	case client.Reconnecting:
		if m.up {
			m.lost++
			m.up, m.away = false, true
		}
	case client.Failed:
		m.wrong = append(m.wrong, fmt.Errorf("a client gave up: %w", s.Err))
	}
}

// take judges an event: records come from the first one on, each behind the one before, and none is missing.
func (m *member) take(e client.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := e.At()
	switch {
	case e.Gap != nil:
		m.wrong = append(m.wrong, fmt.Errorf("a gap of %s: %+v", m.channel, *e.Gap))
	case at.Offset <= m.at.Offset:
		m.wrong = append(m.wrong, fmt.Errorf("record %d of %s comes after %d", at.Offset, m.channel, m.at.Offset))
	case at.Offset != m.at.Offset+1 || !m.at.IsZero() && (at.Epoch != m.at.Epoch || e.Record.Prev != 0 && e.Record.Prev != m.at.Tag):
		m.wrong = append(m.wrong, fmt.Errorf("record %+v of %s does not follow %+v", at, m.channel, m.at))
	}
	m.at = at
	if m.up {
		m.away = false
	}
}

// crew is a fleet, inside its process.
type crew struct {
	spec    fleetSpec
	members []*member

	mu    sync.Mutex
	took  []time.Duration
	ready int
}

// beFleet runs clients until the input ends, and answers each line of it with a report.
func beFleet(spec string) int {
	c := &crew{}
	if err := json.Unmarshal([]byte(spec), &c.spec); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	turns := make(chan struct{}, 64) // who connects for the first time, at once
	for i := range c.spec.Clients {
		m := &member{channel: c.spec.Channels[i%len(c.spec.Channels)]}
		c.members = append(c.members, m)
		all.Go(func() { c.sail(ctx, m, turns) })
	}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		if err := json.NewEncoder(os.Stdout).Encode(c.report()); err != nil {
			return 1
		}
	}
	return 0
}

// sail is the life of one client.
func (c *crew) sail(ctx context.Context, m *member, turns chan struct{}) {
	turns <- struct{}{}
	dial := homeThenAny(c.spec.Home, c.spec.Nodes)
	k := client.New("ws://"+c.spec.Home+"/ws", client.Options{OnState: m.hear, NetDial: dial})
	defer k.Close()
	s, err := k.Subscribe(ctx, m.channel, client.SubscribeOptions{})
	<-turns
	if err == nil {
		c.mu.Lock()
		c.ready++
		c.mu.Unlock()
	}
	for err == nil {
		var e client.Event
		if e, err = s.Next(ctx); err == nil {
			c.clock(e)
			m.take(e)
		}
	}
	if ctx.Err() == nil {
		m.mu.Lock()
		m.wrong = append(m.wrong, err)
		m.mu.Unlock()
	}
}

// clock notes how long a record took, whose body is when it was published.
func (c *crew) clock(e client.Event) {
	ns, err := strconv.ParseInt(string(e.Record.Body), 10, 64)
	if err != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.took = append(c.took, time.Since(time.Unix(0, ns)))
}

// homeThenAny dials one node first and then, each time, any that answers, as through a proxy.
func homeThenAny(home string, nodes []string) func(ctx context.Context, network, address string) (net.Conn, error) {
	first := true
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		if first {
			first = false
			return d.DialContext(ctx, network, home)
		}
		err := errors.New("there is no node")
		for _, i := range rand.Perm(len(nodes)) {
			var c net.Conn
			if c, err = d.DialContext(ctx, network, nodes[i]); err == nil {
				return c, nil
			}
		}
		return nil, err
	}
}

func (c *crew) report() (r fleetReport) {
	c.mu.Lock()
	took := c.took
	c.took = nil
	r.Ready = c.ready == c.spec.Clients
	c.mu.Unlock()
	if slices.Sort(took); len(took) > 0 {
		r.P50, r.P99, r.Max = took[len(took)/2], took[len(took)*99/100], took[len(took)-1]
	}
	r.Behind = map[string]uint64{}
	for _, m := range c.members {
		m.mu.Lock()
		r.Lost += m.lost
		if m.away {
			r.Away++
		}
		if least, ok := r.Behind[m.channel]; !ok || m.at.Offset < least {
			r.Behind[m.channel] = m.at.Offset
		}
		if r.Wrongs += len(m.wrong); len(m.wrong) > 0 && r.Wrong == "" {
			r.Wrong = m.wrong[0].Error()
		}
		m.mu.Unlock()
	}
	return r
}

// startFleet runs one until the test ends.
func startFleet(t testing.TB, spec fleetSpec) *fleet {
	t.Helper()
	f := &fleet{t: t, spec: spec, cmd: exec.Command(os.Args[0])}
	b, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	f.cmd.Env = append(os.Environ(), fleetVariable+"="+string(b))
	f.cmd.Stderr = os.Stderr
	in, err := f.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := f.cmd.StdoutPipe()
	if err == nil {
		err = f.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	f.ask, f.hear = bufio.NewWriter(in), bufio.NewScanner(out)
	t.Cleanup(func() {
		_ = f.cmd.Process.Kill()
		_ = f.cmd.Wait()
	})
	return f
}

// report asks how the clients fare.
func (f *fleet) report() (r fleetReport) {
	f.t.Helper()
	_, _ = f.ask.WriteString("\n")
	if err := f.ask.Flush(); err != nil {
		f.t.Fatalf("fleet %s: %v", f.spec.Name, err)
	}
	if !f.hear.Scan() {
		f.t.Fatalf("fleet %s ended: %v", f.spec.Name, f.hear.Err())
	}
	if err := json.Unmarshal(f.hear.Bytes(), &r); err != nil {
		f.t.Fatal(err)
	}
	return r
}
