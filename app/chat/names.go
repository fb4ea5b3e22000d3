package chat

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"

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
func Me(user string) channel.Name {
	b := appendUser(append(make([]byte, 0, channel.MaxName), mePrefix...), user)
	if len(b) > channel.MaxName {
		return channel.Name(hashed(mePrefix, user))
	}
	return channel.Name(b)
}

// Direct is the channel of a conversation of two users, whichever is named first: "chat:dm:A::B" with both ids encoded as
// in Me, the one that sorts first by its bytes in front. What is too long becomes "chat:dm::" and a SHA-256 of both ids
// with a space between them. No two pairs share a channel.
func Direct(a, b string) channel.Name {
	if a > b {
		a, b = b, a
	}
	n := append(make([]byte, 0, channel.MaxName), directPrefix...)
	n = append(appendUser(n, a), "::"...)
	if n = appendUser(n, b); len(n) > channel.MaxName {
		return channel.Name(hashed(directPrefix, a+" "+b))
	}
	return channel.Name(n)
}

// appendUser writes an id with every byte that is no letter, digit, "_", "." or "-" as ":" and two hexadecimal digits.
func appendUser(dst []byte, user string) []byte {
	for i := 0; i < len(user); i++ {
		if c := user[i]; c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '.' || c == '-' {
			dst = append(dst, c)
		} else {
			dst = hex.AppendEncode(append(dst, ':'), []byte{c})
		}
	}
	return dst
}

func hashed(prefix, s string) string {
	sum := sha256.Sum256([]byte(s))
	return prefix + ":" + base64.RawURLEncoding.EncodeToString(sum[:])
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
