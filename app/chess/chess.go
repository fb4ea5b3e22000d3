// Package chess is the service of the namespace "chess": games with clocks, a lobby that pairs, a channel of each player
// with ratings and challenges, and relays that show a game later. Everything here is a pure step: time, chance and what
// the service lost of the time come with the command, so a fault of the server never costs a player anything.
// What a machine knows of another it was sent; the rules and the arithmetic of ratings are packages of their own.
// Start with Service, then game.go and play.go; player.go and lobby.go bring games about. Commands are in request.go,
// refusals in refuse.go; docs/chess.md is the contract with clients.
package chess

import (
	"crypto/sha256"
	"encoding/base32"
	"time"

	"carillon/app"
	"carillon/channel"
)

// Space is the namespace.
const Space = "chess"

// Bounds of the service. Half-moves are plies.
const (
	MaxBody       = 4 << 10 // bytes of a command
	MaxPlies      = 2000    // of a game, which is drawn then
	MaxBase       = 3 * 3600
	MaxInc        = 180  // seconds
	MaxDelay      = 900  // seconds that spectators are behind
	MaxClock      = 7200 // seconds that more time can lead to
	MaxTakebacks  = 50   // offers of a side in a game
	MaxOffers     = 70   // of a side in a game, takebacks and rematches together
	MaxMoreTime   = 100  // of a side in a game
	MaxSeeks      = 5    // of a user
	MaxOpen       = 1000 // seeks of the lobby
	MaxSent       = 10   // challenges of a user that wait for others
	MaxReceived   = 50   // challenges that wait for a user
	MaxGames      = 100  // of a user, beyond which he begins no other
	maxListed     = 200  // of a user: those he had begun when he came to MaxGames
	MaxHeld       = 4096 // steps of a game that a relay holds back
	maxRating     = 10_000
	maxNumber     = 1<<53 - 1
	drawEvery     = 20 // plies between two draw offers of a side
	earlyPlies    = 2  // before which a game can be aborted and no clock runs
	moreTime      = 15 * second
	rematchWithin = 3600 * second
	seekLasts     = 15 * 60 * second
	askLasts      = 10 * 60 * second
	presenceEvery = 60 * second            // after which a quiet game, or the lobby of a seek, asks who is there
	slowAskLasts  = 7 * 24 * 3600 * second // of a challenge without a clock
)

// Units of time within machines.
const (
	second = 1000 // milliseconds
	day    = 24 * 3600 * second
)

// Service is chess as the runtime takes it.
func Service() app.Service {
	return app.Service{Name: Space, New: create, Restore: restore, Presence: true, Trip: true, Mirror: []string{"summary"}}
}

func create(n channel.Name) app.Machine {
	switch kindOf(n) {
	case ofGame:
		return newGame(n)
	case ofPlayer:
		return newPlayer(n)
	case ofLobby:
		return newLobby(n)
	case ofWatch:
		return newWatch(n)
	}
	return nobody{}
}

func restore(n channel.Name, snapshot []byte) (app.Machine, error) {
	r := &reader{SnapshotReader: app.ReadSnapshot(snapshot, version)}
	var m app.Machine = nobody{}
	switch kindOf(n) {
	case ofGame:
		m = readGame(n, r)
	case ofPlayer:
		m = readPlayer(n, r)
	case ofLobby:
		m = readLobby(n, r)
	case ofWatch:
		m = readWatch(n, r)
	}
	if err := r.End(n); err != nil {
		return nil, err
	}
	return m, nil
}

// nobody is the machine of a channel that is for nothing.
type nobody struct{}

// Apply refuses.
func (nobody) Apply(c channel.Command) app.Outcome {
	if c.User == app.PresenceUser {
		return answer(nil)
	}
	return because(NoGame, "no channel of chess has such a name: see which there are in the documentation").outcome()
}

// Snapshot appends the version.
func (nobody) Snapshot(dst []byte) []byte { return append(dst, version) }

// answer is an outcome that changes nothing.
func answer(reply []byte) app.Outcome { return app.Outcome{ReadOnly: true, Reply: reply} }

func moment(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

var idLetters = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// newID draws the id of a game, seek or challenge from a command's seed; n tells apart those of one command. With 80 bits
// no two are ever the same.
func newID(seed [32]byte, n int) string {
	sum := sha256.Sum256(append(seed[:], byte(n>>8), byte(n)))
	return idLetters.EncodeToString(sum[:10])
}
