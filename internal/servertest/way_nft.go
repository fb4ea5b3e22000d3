package servertest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"time"
)

// dropper has the kernel drop packets between WayHost and one port. Its table belongs to the nft that made it: it is gone
// with that process, which ends with its input, however this one ends.
type dropper struct {
	server, port string
	table        string

	nft   *exec.Cmd // nil: the way is whole
	input io.Closer
}

// settle is how long nft may take for what takes it milliseconds.
const settle = 5 * time.Second

// newDropper fails where packets cannot be dropped.
func newDropper(server string) (*dropper, error) {
	_, port, err := net.SplitHostPort(server)
	if err != nil {
		return nil, err
	}
	if _, err := exec.LookPath("nft"); err != nil {
		return nil, err
	}
	d := &dropper{server: server, port: port, table: fmt.Sprintf("carillon_%d_%s", os.Getpid(), port)}
	if err := d.cut(0); err != nil {
		return nil, err
	}
	return d, d.heal()
}

func (d *dropper) address() string { return net.JoinHostPort(WayHost, d.port) }

func (d *dropper) dial(ctx context.Context) (net.Conn, error) {
	return fromHost().DialContext(ctx, "tcp4", d.server)
}

// rules are the lines that make the table.
func (d *dropper) rules(which Direction) (lines []string, drops int) {
	lines = []string{
		fmt.Sprintf("add table inet %s { flags owner; }", d.table),
		fmt.Sprintf("add chain inet %s in { type filter hook input priority 0; }", d.table),
	}
	for _, r := range []struct {
		of   Direction
		port string
	}{{Requests, "dport"}, {Replies, "sport"}} {
		for _, end := range []string{"saddr", "daddr"} {
			if which&r.of != 0 {
				lines = append(lines, fmt.Sprintf("add rule inet %s in ip %s %s tcp %s %s drop", d.table, end, WayHost, r.port, d.port))
				drops++
			}
		}
	}
	return lines, drops
}

func (d *dropper) cut(which Direction) error {
	if d.nft != nil {
		return errors.New("it is cut already")
	}
	cmd := exec.Command("nft", "-i")
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	d.nft, d.input = cmd, in
	lines, drops := d.rules(which)
	if _, err := io.WriteString(in, strings.Join(lines, "\n")+"\n"); err != nil {
		return errors.Join(err, d.heal())
	}
	if err := d.await(func(listed string, ok bool) bool {
		return ok && strings.Contains(listed, "hook input") && strings.Count(listed, " drop") == drops
	}); err != nil {
		return errors.Join(err, d.heal())
	}
	return nil
}

// heal ends nft, and with it the table.
func (d *dropper) heal() error {
	if d.nft == nil {
		return nil
	}
	_ = d.input.Close()
	_ = d.nft.Process.Kill()
	_ = d.nft.Wait() // it was killed, and says so
	d.nft = nil
	return d.await(func(_ string, ok bool) bool { return !ok })
}

// await looks at the table until it is as it should be.
func (d *dropper) await(as func(listed string, ok bool) bool) error {
	for until := time.Now().Add(settle); ; <-time.After(5 * time.Millisecond) {
		out, err := exec.Command("nft", "list", "table", "inet", d.table).CombinedOutput()
		if as(string(out), err == nil) {
			return nil
		}
		if time.Now().After(until) {
			return fmt.Errorf("nft: %v: %s", err, out)
		}
	}
}

func (d *dropper) close() { _ = d.heal() }
