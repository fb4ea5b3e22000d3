package chess

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"

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
func Player(user string) channel.Name {
	b := append(make([]byte, 0, channel.MaxName), playerPrefix...)
	for _, c := range []byte(user) {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '.' || c == '-' {
			b = append(b, c)
		} else {
			b = hex.AppendEncode(append(b, ':'), []byte{c})
		}
	}
	if len(b) > channel.MaxName {
		return channel.Name(playerPrefix + hashed(user))
	}
	return channel.Name(b)
}

// playerTerm is what rows of a user's games are found by.
func playerTerm(user string) string {
	if len(termPrefix)+len(user) > maxTerm {
		return termPrefix + hashed(user)
	}
	return termPrefix + user
}

func hashed(user string) string {
	sum := sha256.Sum256([]byte(user))
	return ":" + base64.RawURLEncoding.EncodeToString(sum[:])
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

// validUser tells whether s can be a user id: visible ASCII, not beginning with "@".
func validUser(s string) bool {
	if s == "" || len(s) > MaxUser || s[0] == '@' {
		return false
	}
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
