package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"sync/atomic"
)

// Bounds of server keys.
const (
	MinServerKey  = 32  // bytes
	MaxServerKey  = 512 // bytes
	MaxServerKeys = 8   // that are good at the same time, while one follows another
)

// ServerKeys are the secrets that open the server API. They are kept as hashes and may be replaced while in use.
type ServerKeys struct {
	hashes atomic.Pointer[[][sha256.Size]byte]
}

// NewServerKeys takes up to MaxServerKeys keys of printable ASCII. With none of them nobody gets in.
func NewServerKeys(keys ...string) (*ServerKeys, error) {
	k := &ServerKeys{}
	return k, k.Replace(keys...)
}

// Replace puts other keys in the place of those before, from the next request on. After an error the old ones stand; the
// error names no part of a key.
func (k *ServerKeys) Replace(keys ...string) error {
	if len(keys) > MaxServerKeys {
		return fmt.Errorf("%d server keys: at most %d are good at the same time", len(keys), MaxServerKeys)
	}
	hashes := make([][sha256.Size]byte, 0, len(keys))
	for i, key := range keys {
		if len(key) < MinServerKey || len(key) > MaxServerKey || !printable(key) {
			return fmt.Errorf("server key %d must have %d to %d printable ASCII characters (try: head -c 48 /dev/urandom | base64 -w0)", i+1, MinServerKey, MaxServerKey)
		}
		hashes = append(hashes, sha256.Sum256([]byte(key)))
	}
	k.hashes.Store(&hashes)
	return nil
}

// Match tells whether a key opens. It compares hashes, all of them and in constant time, so that how long it takes tells
// nothing of the keys, not even their length.
func (k *ServerKeys) Match(key string) bool {
	hashes := k.hashes.Load()
	given := sha256.Sum256([]byte(key))
	match := 0
	for i := range *hashes {
		match |= subtle.ConstantTimeCompare(given[:], (*hashes)[i][:])
	}
	return match == 1
}

// printable tells whether s holds printable ASCII alone, no spaces.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
