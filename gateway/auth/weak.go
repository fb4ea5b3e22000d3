package auth

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
)

const makeSecret = "make one with: head -c 48 /dev/urandom | base64"

// sampleWords stand in secrets that people copied or thought up. Six letters or more: by chance one of them occurs in
// one of ten million random secrets of base64.
var sampleWords = []string{
	"secret", "password", "passw0rd", "changeme", "change-me", "change_me", "example", "sample", "default", "insecure",
	"carillon", "qwerty", "letmein", "placeholder", "abcdefghij", "0123456789", "1234567890", "replace", "your-256", "your_256",
}

// sampleSecrets are published with specifications and libraries, as the SHA-256 of their bytes or of their text.
// sampleKeys are such public keys, as the SHA-256 of their DER form.
var (
	sampleSecrets = []string{
		"465d9ad5d5528ebe287b5dce4fb51620833d09b290e49ddcc70ca6c4a0aea01b", // text of the debugger at jwt.io
		"c8ecc9361a05e285f04c26f9572131a6deab07e9e2b865053c6f75a4d8bd2b32", // RFC 7515 A.1
		"8b1b17a9740c068accab5c3d0d652c8e3cc13206e70bb73b42ea41d4c2de3c12", // the same as text
		"73ec74458059c70cae3f0ade8663fe0da1dc4b114ed8cdac75364140b4458a4c", // RFC 7520 3.5
		"0330b11998cbc9abd5a585e755cb5df2f73f1a5632fdcc2abb19e05e3eceddb9", // the same as text
	}
	sampleKeys = []string{
		"f56c8b01227f62ddbc16eb29a6ac0b310e276760a5e06302fa881a35146f6bc7", // jwt.io, RS256
		"a40f0f2e2974dc76a82df6ffe08ed0d79955c79e7ad0c20d97ae8f9246ade1c1", // jwt.io, ES256
		"6fd13c2435a361e7c588cd17f55f5ad3df0177a66c1727a6a200845f4d7ab88c", // RFC 7515 A.2
		"2bd1bb0c44a897c30a7aa0991cde38d8062fe441de50da0f46825344f602e827", // RFC 7515 A.3
		"06e3fd8fda29bb60ab59557de61edb0aecdb231134be30e75b455f8e1b792fa9", // RFC 8037 A.1
	}
)

// fewBytes is how many different bytes a random secret of 32 has at the very least, even in hexadecimal.
const fewBytes = 8

func checkSecret(secret []byte) error {
	switch {
	case len(secret) < MinSecret:
		return fmt.Errorf("the secret has %d bytes; HS256 needs at least %d: %s", len(secret), MinSecret, makeSecret)
	case len(secret) > MaxSecret:
		return fmt.Errorf("the secret has %d bytes; HS256 takes at most %d", len(secret), MaxSecret)
	case distinct(secret) < fewBytes:
		return errors.New("the secret repeats very few characters and could be guessed: " + makeSecret)
	case periodic(secret):
		return errors.New("the secret repeats itself and could be guessed: " + makeSecret)
	case counting(secret):
		return errors.New("the secret counts up or down and could be guessed: " + makeSecret)
	case slices.Contains(sampleSecrets, digest(secret)):
		return errors.New("the secret is that of a published example, which everybody has: " + makeSecret)
	}
	lower := bytes.ToLower(secret)
	for _, w := range sampleWords {
		if bytes.Contains(lower, []byte(w)) {
			return errors.New("the secret contains a word of examples, so somebody thought it up: " + makeSecret)
		}
	}
	return nil
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func sampleKey(thumb [sha256.Size]byte) bool {
	return slices.Contains(sampleKeys, hex.EncodeToString(thumb[:]))
}

func distinct(b []byte) (n int) {
	var seen [256]bool
	for _, x := range b {
		if !seen[x] {
			seen[x], n = true, n+1
		}
	}
	return n
}

// periodic tells whether b is one piece of at most half its length, over and over.
func periodic(b []byte) bool {
	for p := 1; p <= len(b)/2; p++ {
		if bytes.Equal(b[p:], b[:len(b)-p]) {
			return true
		}
	}
	return false
}

// counting tells whether three quarters of the bytes follow from the one before.
func counting(b []byte) bool {
	steps := 0
	for i := 1; i < len(b); i++ {
		if d := int(b[i]) - int(b[i-1]); d == 1 || d == -1 {
			steps++
		}
	}
	return steps*4 >= (len(b)-1)*3
}

// smallOrder tells whether an Ed25519 key is one of the points for which signatures can be made by anybody: the
// encodings of the eight points of small order, with either sign bit.
func smallOrder(k ed25519.PublicKey) bool {
	low := bytes.Clone(k)
	low[len(low)-1] &= 0x7f
	for _, p := range smallPoints {
		if hex.EncodeToString(low) == p {
			return true
		}
	}
	return false
}

var smallPoints = []string{
	"0000000000000000000000000000000000000000000000000000000000000000",
	"0100000000000000000000000000000000000000000000000000000000000000",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
}
