package app

import (
	"crypto/sha256"
	"encoding/base64"

	"carillon/channel"
)

// MaxUser is the longest user id, in bytes.
const MaxUser = 128

// ValidUser tells whether s can be a user id: visible ASCII, not beginning with "@".
func ValidUser(s string) bool {
	if s == "" || len(s) > MaxUser || s[:1] == systemPrefix {
		return false
	}
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// ChannelOf is the channel that a service keeps for a user: a prefix such as "chess:player:" and what stands behind "user:"
// in the channel for direct delivery to that user. What is too long becomes Digest. Different users have different channels.
func ChannelOf(prefix, user string) channel.Name {
	b := AppendUser(append(make([]byte, 0, channel.MaxName), prefix...), user)
	if len(b) > channel.MaxName {
		return channel.Name(prefix + Digest(user))
	}
	return channel.Name(b)
}

// AppendUser appends a user id as it stands in names of channels: every byte that is no letter, digit, "_", "." or "-" as
// ":" and two hexadecimal digits.
func AppendUser(dst []byte, user string) []byte {
	for i := 0; i < len(user); i++ {
		if c := user[i]; c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '.' || c == '-' {
			dst = append(dst, c)
		} else {
			dst = append(dst, ':', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return dst
}

// Digest stands for what is too long for a name: ":" and its SHA-256 in base64url, 44 bytes.
func Digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return ":" + base64.RawURLEncoding.EncodeToString(sum[:])
}
