// Package app is the contract of a service: an application is a pure step function from a command to an outcome, and
// knows no socket, clock, random source or database. What it needs of time and chance arrives inside the command, so the
// same commands give the same bytes, on any machine and years later. The runtime is package worker.
// Start with Machine.
package app

import (
	"strings"
	"time"

	"carillon/channel"
)

// Service is an application: the machines of one namespace, one for each channel "name:id".
type Service struct {
	Name string // the namespace
	// New is the state of a channel before its first command.
	New func(channel.Name) Machine
	// Restore is the state that a Snapshot held, by this version or by any before it.
	Restore func(channel.Name, []byte) (Machine, error)
	// Presence has the machine of a channel told who comes and goes there: commands of PresenceUser with the body
	// {"here":bool,"user":"ann"}. One may be lost, or come twice, and a short absence is not told.
	Presence bool
	// Trip has the trip of commands measured and kept, see channel.Command. Other services find it zero.
	Trip bool
	// Mirror names keys of Latest records of which nodes that share a Redis keep a copy there, for other programs to read. It
	// lasts two hours, comes a moment later than the record, and is never read back.
	Mirror []string
}

// Machine is the state of one channel. It is used by one goroutine at a time.
type Machine interface {
	// Apply takes a step. It must not keep or change c.Body. A panic stops this channel and no other.
	Apply(c channel.Command) Outcome
	// Snapshot appends the whole state to dst. Equal states give equal bytes.
	Snapshot(dst []byte) []byte
}

// Outcome is what a command came to. With Refused or ReadOnly nothing but Reply may be set, and the state is as it was.
//
// Events become records of the machine's own channel, in this order: of a record only Class, Key, Binary, Body and From
// count; without From it is from the command's user. Logged events take the offsets after the command's Head.
type Outcome struct {
	Refused  int // the service's own code, > 0, told with the reply
	ReadOnly bool
	Reply    []byte // one JSON text, or empty
	Events   []channel.Record
	Sends    []channel.Command // to other channels, also of other services, after the commit, at least once: Channel, Body and Binary count
	Access   []channel.Access  // User and Rights count
	Rows     []channel.Row     // what searches find from now on
	Erase    []uint64          // offsets of earlier records of this channel that lose their body for good
	WakeAt   time.Time         // when the machine wants a timer command; zero: never. Every accepted outcome states it anew
}

// Bounds of an outcome. One that exceeds them stops its channel.
const (
	MaxEvents = 256
	MaxSends  = 64
	MaxAccess = 1024
	MaxErase  = 256
	MaxRows   = 16
	MaxReply  = 1 << 20 // bytes
	MaxBytes  = 4 << 20 // of all bodies together
)

// systemPrefix begins the users that are no persons. No token names such a user.
const systemPrefix = "@"

// PresenceUser is the user as whom a node tells machines of presence.
const PresenceUser = systemPrefix + "presence"

// PresenceChannel is where a machine sends what it believes of presence in a channel of its service, which may be its own:
// {"channel":NAME,"here":bool,"user":"ann"}. Where it is wrong, also half a minute later, that channel is told. A machine
// for which much hangs on it asks now and then, since nobody tells it of those who were there when all nodes ended.
const PresenceChannel channel.Name = PresenceUser

// UserOf is the user as whom the machine of a channel acts elsewhere, and its timers at home.
func UserOf(n channel.Name) string { return systemPrefix + string(n) }

// IsTimer tells whether a command is the machine's own timer: its time has come, by c.Time. Its body is empty.
func IsTimer(c channel.Command) bool {
	n, ok := strings.CutPrefix(c.User, systemPrefix)
	return ok && n == string(c.Channel)
}

// SentBy is the channel whose machine sent a command.
func SentBy(c channel.Command) (channel.Name, bool) {
	n, ok := strings.CutPrefix(c.User, systemPrefix)
	ok = ok && c.User != PresenceUser
	return channel.Name(n), ok
}
