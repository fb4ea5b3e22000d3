package jwks

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"slices"

	"carillon/gateway/auth"
)

// jwk is a key as RFC 7517, 7518 and 8037 write it; only public parts are ever looked at.
type jwk struct {
	Kty    string   `json:"kty"`
	Kid    string   `json:"kid"`
	Use    string   `json:"use"`
	KeyOps []string `json:"key_ops"`
	Alg    string   `json:"alg"`
	Crv    string   `json:"crv"`
	N      string   `json:"n"`
	E      string   `json:"e"`
	X      string   `json:"x"`
	Y      string   `json:"y"`
}

var (
	errSet    = errors.New("the JWKS URL answers with something else than a set of keys")
	errNoKeys = errors.New("the JWKS URL answers with no key that could be used")
	errKey    = errors.New("no key for this server")
)

// parse takes the keys that can be used and counts the others: a set may hold keys for encryption or of later
// algorithms. No usable key at all, too many, or two with one id are errors, and then the keys from before stay.
func parse(body []byte) (keys []auth.Key, skipped int, err error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if json.Unmarshal(body, &set) != nil || set.Keys == nil {
		return nil, 0, errSet
	}
	if len(set.Keys) > auth.MaxKeys {
		return nil, 0, errors.New("the JWKS URL answers with too many keys")
	}
	seen := map[string]bool{}
	for _, raw := range set.Keys {
		k, err := parseKey(raw)
		if err != nil {
			skipped++
			continue
		}
		if seen[k.ID()] {
			return nil, 0, errors.New("the JWKS URL answers with two keys of the same id")
		}
		seen[k.ID()] = true
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, skipped, errNoKeys
	}
	return keys, skipped, nil
}

func parseKey(raw []byte) (auth.Key, error) {
	var j jwk
	if json.Unmarshal(raw, &j) != nil || j.Kid == "" || j.Use != "" && j.Use != "sig" ||
		len(j.KeyOps) > 0 && !slices.Contains(j.KeyOps, "verify") {
		return auth.Key{}, errKey
	}
	alg, public := j.public()
	if public == nil || j.Alg != "" && !sameAlg(j.Alg, alg) {
		return auth.Key{}, errKey
	}
	return auth.PublicKey(j.Kid, alg, public)
}

// sameAlg: RFC 9864 calls EdDSA with Ed25519 by the name of the curve.
func sameAlg(name string, alg auth.Alg) bool {
	return name == string(alg) || alg == auth.EdDSA && name == "Ed25519"
}

// public builds the key; its kind alone decides the algorithm. nil: not one of ours, or damaged.
func (j *jwk) public() (auth.Alg, crypto.PublicKey) {
	switch {
	case j.Kty == "RSA":
		n, e := number(j.N), number(j.E)
		if n == nil || e == nil || e.BitLen() > 31 {
			return "", nil
		}
		return auth.RS256, &rsa.PublicKey{N: n, E: int(e.Int64())}
	case j.Kty == "EC" && j.Crv == "P-256":
		x, y := decode(j.X), decode(j.Y)
		if len(x) != 32 || len(y) != 32 {
			return "", nil
		}
		point := append(append([]byte{4}, x...), y...)
		k, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point) // refuses what is not on the curve
		if err != nil {
			return "", nil
		}
		return auth.ES256, k
	case j.Kty == "OKP" && j.Crv == "Ed25519":
		if x := decode(j.X); len(x) == ed25519.PublicKeySize {
			return auth.EdDSA, ed25519.PublicKey(x)
		}
	}
	return "", nil
}

func decode(s string) []byte {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return nil
	}
	return b
}

func number(s string) *big.Int {
	b := decode(s)
	if len(b) == 0 || len(b) > 1024 {
		return nil
	}
	return new(big.Int).SetBytes(b)
}
