package channel

import (
	"crypto/sha1"
	"encoding/hex"
	"strings"
)

// Channels of the server itself.
const (
	All Name = "@all" // announcements to every connection
	Sys Name = "@sys" // what nodes tell each other, such as revocations; no client reads it
)

// own is the namespace of the channels that belong to one user each.
const own = "user"

// Own is the channel that belongs to a user: what is published there reaches all his connections. Characters of the user
// id outside A-Z a-z 0-9 _ . - are written as ":" and two hex digits, and ids that get too long that way as their hash, so
// that different users never share a channel.
func Own(user string) Name {
	var b strings.Builder
	b.WriteString(own)
	b.WriteByte(':')
	for i := 0; i < len(user); i++ {
		if c := user[i]; c != ':' && c != '@' && nameByte[c] {
			b.WriteByte(c)
		} else {
			b.WriteByte(':')
			b.WriteString(hex.EncodeToString([]byte{c}))
		}
	}
	if b.Len() > MaxName {
		sum := sha1.Sum([]byte(user))
		return Name(own + "::" + hex.EncodeToString(sum[:]))
	}
	return Name(b.String())
}
