package channel

import (
	"errors"
	"hash/fnv"
	"strings"
)

// MaxName is the longest channel name in bytes.
const MaxName = 128

// ErrName says that a string is no channel name.
var ErrName = errors.New("a channel name has 1 to 128 of A-Z a-z 0-9 _ . : @ -")

// Name names a channel: "service:id", such as "chat:lobby" or "scores:nba:lakers".
// Values from outside go through ParseName first; everything behind it may rely on the alphabet.
type Name string

// ParseName checks the alphabet [A-Za-z0-9_.:@-] and the length, or returns ErrName.
func ParseName(s string) (Name, error) {
	if len(s) == 0 || len(s) > MaxName {
		return "", ErrName
	}
	for i := 0; i < len(s); i++ {
		if !nameByte[s[i]] {
			return "", ErrName
		}
	}
	return Name(s), nil
}

var nameByte = func() (t [256]bool) {
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.:@-") {
		t[c] = true
	}
	return t
}()

// Namespace is what stands before the first colon; the whole base name where there is none.
// A part keeps its own namespace: that of "chat:lobby@presence" is "chat@presence".
func (n Name) Namespace() string {
	base, part := n.Part()
	space, _, _ := strings.Cut(string(base), ":")
	if part == "" {
		return space
	}
	return space + "@" + part
}

// Part splits "NAME@part". Only the server writes to a channel with a part.
func (n Name) Part() (base Name, part string) {
	if i := strings.LastIndexByte(string(n), '@'); i >= 0 {
		return n[:i], string(n[i+1:])
	}
	return n, ""
}

// Shard is the shard of a channel among count shards: a pure function of the name.
func (n Name) Shard(count int) int {
	h := fnv.New64a()
	_, _ = h.Write([]byte(n))
	return int(h.Sum64() % uint64(count))
}
