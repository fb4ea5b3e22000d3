// Package chat is the service of the namespace "chat": rooms with members and roles, conversations of two, the list that
// each user has of them, and the directory of public rooms. Everything here is a pure step: time and offsets come with the
// command. No machine keeps a text that a user wrote into a message, so what is erased is nowhere in a snapshot.
// Start with Service, then room.go and message.go; commands are in request.go, refusals in refuse.go.
package chat

import (
	"math"
	"time"

	"carillon/app"
	"carillon/channel"
)

// Space is the namespace.
const Space = "chat"

// Bounds of the service. Characters are Unicode code points.
const (
	MaxBody      = 64 << 10 // bytes of a command
	MaxText      = 4000     // characters of a message
	MaxTitle     = 100      // characters
	MaxPreview   = 80       // characters of the last message in a summary
	MaxEmoji     = 32       // bytes
	MaxMentions  = 16       // users in one message
	MaxMembers   = 10000    // of a room
	MaxBans      = 1000     // of a room
	MaxMutes     = 1000     // of a room
	MaxInvites   = 1000     // of a room, not yet taken up
	MaxWindow    = 2000     // messages of a room that can still be edited, deleted and reacted to
	MaxEdits     = 50       // of a message
	MaxReactions = 32       // distinct emoji that a message ever got
	MaxSlow      = 6 * 3600 // seconds
	MaxMute      = 365 * 24 * time.Hour
	MaxRooms     = 1000  // in the list of a user, and as many conversations of two
	MaxAsked     = 100   // invitations in the list of a user
	MaxMentioned = 100   // unread mentions that are counted per room
	MaxListed    = 10000 // rooms in the directory
	MaxPage      = 500   // rows of one answer
	maxNumber    = 1<<53 - 1
)

// directoryDelay is how long joins and leaves gather before the directory hears of them, in milliseconds.
const directoryDelay = 5000

// Service is chat as the runtime takes it.
func Service() app.Service {
	return app.Service{Name: Space, New: create, Restore: restore}
}

func create(n channel.Name) app.Machine {
	switch kindOf(n) {
	case ofUser:
		return newMe(n)
	case ofDirectory:
		return newDirectory(n)
	}
	return newRoom(n)
}

func restore(n channel.Name, snapshot []byte) (app.Machine, error) {
	r := &reader{SnapshotReader: app.ReadSnapshot(snapshot, version)}
	var m app.Machine
	switch kindOf(n) {
	case ofUser:
		m = readMe(n, r)
	case ofDirectory:
		m = readDirectory(n, r)
	default:
		m = readRoom(n, r)
	}
	if err := r.End(n); err != nil {
		return nil, err
	}
	return m, nil
}

// call is a command that was read.
type call struct {
	request
	asker  string       // the user who asks
	sender channel.Name // whose machine sent it; "" for a user's command
	head   uint64       // offset of the log before it
	now    int64        // milliseconds, by the runtime's clock
}

func unixTime(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// answer is an outcome that changes nothing.
func answer(reply []byte) app.Outcome { return app.Outcome{ReadOnly: true, Reply: reply} }

// clamp is a page size: what was asked for, within 1 and MaxPage.
func clamp(limit uint64, usual int) int {
	if limit == 0 {
		return usual
	}
	return int(min(limit, MaxPage, math.MaxInt32))
}
