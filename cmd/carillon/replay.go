package main

import (
	"context"
	"encoding/json"
	"fmt"

	"carillon/channel"
	"carillon/node"
)

type replayCommand struct {
	Channel string `arg:"" help:"Channel of a service."`
	Data    string `required:"" placeholder:"DIR" help:"Data folder; no server may run on it meanwhile."`
	outputFlags
}

// Help is shown by --help.
func (replayCommand) Help() string {
	return `Runs the commands of CHANNEL again, from the oldest snapshot kept, and compares what they come to with what is kept: every record by its place in the chain of hashes, and the newest snapshot byte for byte. Nothing is changed. A difference ends with exit code 1 and says where it begins: the log was written by other rules than those of this program, or was damaged.

Examples:

	carillon replay counter:visits --data /var/lib/carillon

Environment: NO_COLOR.`
}

// Validate is called by kong.
func (r *replayCommand) Validate() error { return checkChannels(r.Channel) }

// proved is a report as a program gets it.
type proved struct {
	Channel   string `json:"channel"`
	From      uint64 `json:"from"`
	To        uint64 `json:"to"`
	Commands  int    `json:"commands"`
	Records   int    `json:"records"`
	Snapshots int    `json:"snapshots"`
	Erased    int    `json:"erased"`
	Bytes     int    `json:"bytes"`
	At        string `json:"at"`
}

// Run is called by kong.
func (r *replayCommand) Run(ctx context.Context, c *console) error {
	p, err := node.Replay(ctx, r.Data, channel.Name(r.Channel))
	if err != nil {
		return err
	}
	if r.json(c) {
		line, _ := json.Marshal(proved{ // strings and numbers
			r.Channel, uint64(p.From), uint64(p.To), p.Commands, p.Records, p.Snapshots, p.Erased, p.Bytes, p.Head.String(),
		})
		fmt.Fprintf(c.out, "%s\n", line)
		return nil
	}
	fmt.Fprintf(c.out, "%s %s: %d commands from version %d to %d lead to the same %d records and %d snapshots; the state has %s bytes\n",
		c.outStyle.green("proved"), r.Channel, p.Commands, p.From, p.To, p.Records, p.Snapshots, grouped(p.Bytes))
	if p.Erased > 0 {
		fmt.Fprintf(c.out, "%d commands lost their body to an erasure; the snapshot after them stands for what they did\n", p.Erased)
	}
	return nil
}
