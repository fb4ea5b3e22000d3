package chat

import (
	"strings"

	"carillon/app"
	"carillon/channel"
)

// Directory is the channel of the list of public rooms.
const Directory channel.Name = "chat:directory"

const (
	roomPrefix   = Space + ":"
	mePrefix     = roomPrefix + "me:"
	directPrefix = roomPrefix + "dm:"
)

// Me is the channel of a user's own list of rooms: "chat:me:" and what stands behind "user:" in the channel for direct
// delivery to that user. What is too long becomes ":" and a SHA-256 of the id. Different users have different channels.
func Me(user string) channel.Name { return app.ChannelOf(mePrefix, user) }

// Direct is the channel of a conversation of two users, whichever is named first: "chat:dm:A::B" with both ids encoded as
// in Me, the one that sorts first by its bytes in front. What is too long becomes "chat:dm::" and a SHA-256 of both ids
// with a space between them. No two pairs share a channel.
func Direct(a, b string) channel.Name {
	if a > b {
		a, b = b, a
	}
	n := append(make([]byte, 0, channel.MaxName), directPrefix...)
	n = append(app.AppendUser(n, a), "::"...)
	if n = app.AppendUser(n, b); len(n) > channel.MaxName {
		return directPrefix + channel.Name(app.Digest(a+" "+b))
	}
	return channel.Name(n)
}

// kind is what a channel of the service is for.
type kind uint8

const (
	ofNobody kind = iota // no machine of ours: every command is refused
	ofRoom
	ofTwo
	ofUser
	ofDirectory
)

func kindOf(n channel.Name) kind {
	id, ok := strings.CutPrefix(string(n), roomPrefix)
	first, _, more := strings.Cut(id, ":")
	switch {
	case !ok || id == "" || strings.Contains(id, "@"):
		return ofNobody
	case n == Directory:
		return ofDirectory
	case first == "me" && more:
		return ofUser
	case first == "dm" && more:
		return ofTwo
	case first == "me" || first == "dm" || first == "directory" || first == "":
		return ofNobody // they would be taken for one of those above
	}
	return ofRoom
}
