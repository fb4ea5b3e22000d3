package bench

import (
	"fmt"
	"slices"

	"carillon/channel"
)

// Group is a set of connections that do the same: Members subscribers in each of Channels channels, and Speakers who
// only publish into each. Members publish themselves where they Talk. Those of a Service enter its channels, which are
// new in every run, and talk by commands.
type Group struct {
	Name     string `json:"name"`
	Channels int    `json:"channels"`
	Members  int    `json:"members"`
	Speakers int    `json:"speakers,omitempty"`
	Talk     bool   `json:"talk,omitempty"`
	Side     bool   `json:"side,omitempty"` // measured apart from the others
	Home     bool   `json:"home,omitempty"` // of several nodes a channel is on one
	Service  string `json:"service,omitempty"`
	Run      string `json:"run,omitempty"` // part of the names of a service's channels
}

// publishers is how many may publish into one channel.
func (g *Group) publishers() int {
	if g.Talk {
		return g.Members
	}
	return g.Speakers
}

// conns is how many connections the group is.
func (g *Group) conns() int { return g.Channels * (g.Members + g.Speakers) }

// speaker is the place of publisher p among the connections of its channel; members come first.
func (g *Group) speaker(p int) int {
	if g.Talk {
		return p
	}
	return g.Members + p
}

func (g *Group) channelName(i int, quiet bool) channel.Name {
	if g.Service != "" {
		return channel.Name(fmt.Sprintf("%s:bench-%s-%s-%d", g.Service, g.Run, g.Name, i))
	}
	if quiet {
		return channel.Name(fmt.Sprintf("bench:%s-quiet-%d", g.Name, i))
	}
	return channel.Name(fmt.Sprintf("bench:%s-%d", g.Name, i))
}

// mine tells whether a worker has the connection at this place of this channel: rooms stay whole where there are enough.
func (g *Group) mine(channel, place, worker, workers int) bool {
	if g.Channels >= workers || place >= g.Members {
		return channel%workers == worker
	}
	return (channel+place)%workers == worker
}

// apart tells whether some group is measured apart.
func apart(gs []Group) bool { return slices.ContainsFunc(gs, func(g Group) bool { return g.Side }) }

// node is where a connection goes: those of a channel go to the nodes in turn, so that who speaks and who listens are on
// different ones where they are two, or all to one node.
func (g *Group) node(channel, place, nodes int) int {
	if g.Home {
		return channel % nodes
	}
	return (channel + place) % nodes
}

// Step is a stretch of a schedule.
type Step struct {
	Rate    float64 `json:"rate"`    // messages a second, over all channels of the group
	Seconds float64 `json:"seconds"` // how long
}

// messages is how many a step sends.
func (s Step) messages() uint64 { return uint64(s.Rate*s.Seconds + 0.5) }

// Mix says how many in a hundred messages are of a class; the rest is Logged.
type Mix struct {
	Fleeting int `json:"fleeting,omitempty"`
	Latest   int `json:"latest,omitempty"`
}

func (m Mix) class(n uint64) channel.Class {
	switch at := int(n * 61 % 100); { // spread over the hundred
	case at < m.Fleeting:
		return channel.Fleeting
	case at < m.Fleeting+m.Latest:
		return channel.Latest
	}
	return channel.Logged
}

// setup is the first thing a worker is told.
type setup struct {
	Worker  int      `json:"worker"`
	Workers int      `json:"workers"`
	Dialect string   `json:"dialect"`
	Nodes   []string `json:"nodes"` // host:port each
	Path    string   `json:"path"`
	Groups  []Group  `json:"groups"`
	Payload int      `json:"payload"` // bytes, quotes included
	Secret  []byte   `json:"secret,omitempty"`
	Bare    bool     `json:"bare,omitempty"`   // open lines, say nothing on them
	Resume  bool     `json:"resume,omitempty"` // come back where the line broke
}

// order is what the coordinator tells a worker; Do is one of the words below, the other fields are their arguments.
type order struct {
	ID     uint64       `json:"id"`
	Do     string       `json:"do"`
	Setup  *setup       `json:"setup,omitempty"`
	Group  int          `json:"group,omitempty"`
	Every  int          `json:"every,omitempty"`  // of the members one in so many
	Window int          `json:"window,omitempty"` // handshakes under way at once
	Bytes  int          `json:"bytes,omitempty"`  // a second, for those who read slowly
	Start  int64        `json:"start,omitempty"`  // ns since the epoch
	Steps  []Step       `json:"steps,omitempty"`
	Mix    Mix          `json:"mix"`
	Act    string       `json:"act,omitempty"`    // what to do by a schedule, or at the end of a pump
	Depth  int          `json:"depth,omitempty"`  // commands that a pump keeps under way for each publisher
	Quiet  bool         `json:"quiet,omitempty"`  // publish where nobody listens
	Sent   [][][]uint32 `json:"sent,omitempty"`   // by group, channel and publisher
	Newest [][][]uint32 `json:"newest,omitempty"` // the same, of Latest records
}

const (
	doSetup   = "setup"
	doOpen    = "open"    // every connection that is not open; answered at once, see answer.Opening
	doTalk    = "talk"    // publish by a schedule
	doPump    = "pump"    // ask as fast as answers come, until a time
	doMark    = "mark"    // figures since the last mark
	doSent    = "sent"    // what was published, for doCheck
	doCheck   = "check"   // compare what came with what was sent
	doDrop    = "drop"    // cut lines
	doStall   = "stall"   // stop reading, or read slowly
	doRelease = "release" // read again
)

// answer is what a worker says to an order.
type answer struct {
	ID      uint64       `json:"id"`
	Error   string       `json:"error,omitempty"`
	Mark    *workerMark  `json:"mark,omitempty"`
	Sent    [][][]uint32 `json:"sent,omitempty"`
	Newest  [][][]uint32 `json:"newest,omitempty"`
	Missing uint64       `json:"missing,omitempty"`
}

// workerMark is what happened in a worker; histograms are of the time since the mark before, the rest since the start.
type workerMark struct {
	At        int64          `json:"at"` // ns since the epoch
	Count     Count          `json:"count"`
	Side      Count          `json:"side"`
	Published uint64         `json:"published"`
	Unsent    uint64         `json:"unsent"` // due while the line was down
	Acked     uint64         `json:"acked"`
	Refused   uint64         `json:"refused"`
	Refusal   string         `json:"refusal,omitempty"` // the last
	Open      int            `json:"open"`
	Opening   int            `json:"opening"`            // on their way or waiting to be
	Failed    uint64         `json:"failed"`             // attempts
	Failure   string         `json:"failure,omitempty"`  // the last
	Closed    map[int]uint64 `json:"closed,omitempty"`   // lines ended by the server, by close code; 0 without one
	Pending   uint64         `json:"pending"`            // messages of the schedule still to come
	CPU       int64          `json:"cpu"`                // ns of this process
	Latency   []byte         `json:"latency,omitempty"`  // histograms in HDR's compressed form, µs
	Beside    []byte         `json:"beside,omitempty"`   // of the groups measured apart
	Lateness  []byte         `json:"lateness,omitempty"` // from due to sent: the generator's own
	Opened    []byte         `json:"opened,omitempty"`   // from the first packet until subscribed
	Commands  Commands       `json:"commands"`
	Others    uint64         `json:"others"` // records of services that are not judged
	Replies   []byte         `json:"replies,omitempty"`
	Whole     []byte         `json:"whole,omitempty"` // until the last member of a room has it
}
