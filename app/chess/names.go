package chess

import (
	"strings"

	"carillon/app"
	"carillon/channel"
)

// Lobby is the channel of open seeks.
const Lobby channel.Name = "chess:lobby"

const (
	gamePrefix   = Space + ":game:"
	playerPrefix = Space + ":player:"
	watchPrefix  = Space + ":watch:"
	termPrefix   = "player:"
	maxTerm      = 128 // bytes of a term that rows are found by
)

// Game is the channel of the game with this id.
func Game(id string) channel.Name { return channel.Name(gamePrefix + id) }

// Watch is the channel on which spectators follow the game with this id, if it has a delay.
func Watch(id string) channel.Name { return channel.Name(watchPrefix + id) }

// Player is the channel of a user: "chess:player:" and what stands behind "user:" in the channel for direct delivery to
// that user. What is too long becomes ":" and a SHA-256 of the id. Different users have different channels.
func Player(user string) channel.Name { return app.ChannelOf(playerPrefix, user) }

// playerTerm is what rows of a user's games are found by.
func playerTerm(user string) string {
	if len(termPrefix)+len(user) > maxTerm {
		return termPrefix + app.Digest(user)
	}
	return termPrefix + user
}

// idOf is the id in the name of a game or of its relay.
func idOf(n channel.Name) string {
	return string(n[strings.LastIndexByte(string(n), ':')+1:])
}

// kind is what a channel of the service is for.
type kind uint8

const (
	ofNobody kind = iota
	ofGame
	ofPlayer
	ofLobby
	ofWatch
)

func kindOf(n channel.Name) kind {
	id, ok := strings.CutPrefix(string(n), Space+":")
	first, rest, more := strings.Cut(id, ":")
	switch {
	case n == Lobby:
		return ofLobby
	case !ok || !more || rest == "" || strings.Contains(id, "@"):
		return ofNobody
	case first == "player":
		return ofPlayer
	case first == "game" && !strings.Contains(rest, ":"):
		return ofGame
	case first == "watch" && !strings.Contains(rest, ":"):
		return ofWatch
	}
	return ofNobody
}
