package auth

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"

	"carillon/channel"
)

// ErrForbidden is the answer of Decide where something is not allowed.
var ErrForbidden = errors.New("the token does not allow this")

// userSpace begins the channels for direct delivery to one user.
const userSpace = "user:"

// Decide says whether an identity may do one thing in one channel: nil or ErrForbidden. What no capability allows is
// forbidden, and a denial wins over every allowance.
//
// A part such as "chat:lobby@presence" is judged by the rights in its base channel: reading it takes Presence there,
// and nobody but the server writes to it. A channel under "user:" is private: its owner may subscribe and read its
// history, and others need a capability whose pattern begins with "user:"; a bare "*" does not reach it.
func Decide(id *Identity, a Action, n channel.Name) error {
	if id == nil || a == 0 || a&^anything != 0 || n == "" {
		return ErrForbidden
	}
	if i := strings.IndexByte(string(n), '@'); i >= 0 {
		base, part := n[:i], n[i+1:]
		if base == "" || part == "" || strings.IndexByte(string(part), '@') >= 0 || a&(Publish|Command) != 0 {
			return ErrForbidden
		}
		a, n = Presence, base
	}
	private := strings.HasPrefix(string(n), userSpace)
	var own Action
	if private && owns(id.User, n) {
		own = Subscribe | History
	}
	if !judge(id.rules, a, n, private, own) || id.ceiling != nil && !judge(id.ceiling, a, n, private, own) {
		return ErrForbidden
	}
	return nil
}

// judge tells whether the rules grant every action of a; granted are those that need no rule.
func judge(rules []rule, a Action, n channel.Name, private bool, granted Action) bool {
	for i := range rules {
		r := &rules[i]
		if r.actions&a == 0 || !r.matches(n) {
			continue
		}
		if r.deny {
			return false
		}
		if !private || strings.HasPrefix(r.pattern, userSpace) {
			granted |= r.actions
		}
	}
	return granted&a == a
}

func (r *rule) matches(n channel.Name) bool {
	if r.prefix {
		return strings.HasPrefix(string(n), r.pattern)
	}
	return string(n) == r.pattern
}

func owns(user string, n channel.Name) bool {
	if plainUser(user) && len(userSpace)+len(user) <= channel.MaxName {
		return string(n[len(userSpace):]) == user
	}
	return n == UserChannel(user)
}

func plainUser(user string) bool {
	for i := 0; i < len(user); i++ {
		if !plainByte(user[i]) {
			return false
		}
	}
	return true
}

func plainByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '.' || c == '-'
}

// UserChannel is the channel for direct delivery to a user: "user:" and the id where that has only letters, digits,
// "_", "." and "-". Any other byte becomes ":" and two hexadecimal digits ("user:ann:40example.org"); what is then too
// long becomes "user::" and a SHA-256 of the id. Different users have different channels.
func UserChannel(user string) channel.Name {
	b := make([]byte, 0, channel.MaxName)
	b = append(b, userSpace...)
	for i := 0; i < len(user); i++ {
		if c := user[i]; plainByte(c) {
			b = append(b, c)
		} else {
			b = hex.AppendEncode(append(b, ':'), []byte{c})
		}
	}
	if len(b) > channel.MaxName {
		sum := sha256.Sum256([]byte(user))
		b = base64.RawURLEncoding.AppendEncode(append(b[:len(userSpace)], ':'), sum[:])
	}
	return channel.Name(b)
}
