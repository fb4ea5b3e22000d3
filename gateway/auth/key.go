package auth

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/golang-jwt/jwt/v5"
)

// Alg is a signature algorithm. It belongs to the key and is never taken from a token.
type Alg string

// The algorithms.
const (
	HS256 Alg = "HS256"
	RS256 Alg = "RS256"
	ES256 Alg = "ES256"
	EdDSA Alg = "EdDSA" // Ed25519
)

// Algs lists the algorithms.
func Algs() []Alg { return []Alg{HS256, RS256, ES256, EdDSA} }

func (a Alg) method() jwt.SigningMethod {
	switch a {
	case HS256:
		return jwt.SigningMethodHS256
	case RS256:
		return jwt.SigningMethodRS256
	case ES256:
		return jwt.SigningMethodES256
	case EdDSA:
		return jwt.SigningMethodEdDSA
	}
	return nil
}

// Bounds of keys.
const (
	MinSecret  = 32   // bytes of an HS256 key
	MaxSecret  = 1024 // bytes
	MaxKeyID   = 128  // bytes
	minRSA     = 2048 // bits
	maxRSA     = 4096 // bits, so that nobody can make a check expensive
	maxKeyText = 64 << 10
)

// Key verifies the tokens of one algorithm and, where it holds the secret half, signs them. It is immutable; printed in
// any way it shows its id and algorithm alone.
type Key struct {
	id      string
	alg     Alg
	public  any // what the method of alg verifies with
	private any // what it signs with; nil: verifies only
	thumb   [sha256.Size]byte
}

// ID is the kid, and may be empty: then the key is that of tokens without kid.
func (k Key) ID() string { return k.id }

// Alg is the algorithm of all tokens of this key.
func (k Key) Alg() Alg { return k.alg }

// Signs tells whether the key holds the half that makes tokens.
func (k Key) Signs() bool { return k.private != nil }

// Format implements fmt.Formatter: no verb prints the key itself.
func (k Key) Format(f fmt.State, _ rune) { _, _ = fmt.Fprintf(f, "%s key %q", k.alg, k.id) }

// Fingerprint is the beginning of the SHA-256 of a public key as people compare it; empty for a secret.
func (k Key) Fingerprint() string {
	if k.alg == HS256 || k.alg == "" {
		return ""
	}
	return hex.EncodeToString(k.thumb[:8])
}

var errKeyID = errors.New("a key id has at most 128 printable ASCII characters without spaces")

// SecretKey takes the bytes of an HS256 secret: MinSecret to MaxSecret, and hard to guess.
func SecretKey(id string, secret []byte) (Key, error) {
	if id != "" && !printable(id, MaxKeyID) {
		return Key{}, errKeyID
	}
	if err := checkSecret(secret); err != nil {
		return Key{}, err
	}
	secret = bytes.Clone(secret)
	return Key{id: id, alg: HS256, public: secret, private: secret, thumb: sha256.Sum256(secret)}, nil
}

// PublicKey takes the public half of an RS256, ES256 or EdDSA key: *rsa.PublicKey of 2048 to 4096 bits,
// *ecdsa.PublicKey on P-256 or ed25519.PublicKey.
func PublicKey(id string, alg Alg, public crypto.PublicKey) (Key, error) {
	if id != "" && !printable(id, MaxKeyID) {
		return Key{}, errKeyID
	}
	if err := checkPublic(alg, public); err != nil {
		return Key{}, err
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return Key{}, fmt.Errorf("this is no public key for %s", alg)
	}
	k := Key{id: id, alg: alg, public: public, thumb: sha256.Sum256(der)}
	if sampleKey(k.thumb) {
		return Key{}, errors.New("this is the key of a published example, whose private half everybody has: make your own")
	}
	return k, nil
}

func checkPublic(alg Alg, public crypto.PublicKey) error {
	switch p := public.(type) {
	case *rsa.PublicKey:
		if bits := p.N.BitLen(); alg == RS256 && (bits < minRSA || bits > maxRSA) {
			return fmt.Errorf("the RSA key has %d bits; RS256 takes %d to %d", bits, minRSA, maxRSA)
		}
		if alg == RS256 && (p.E < 3 || p.E&1 == 0) {
			return errors.New("the RSA key has an impossible exponent")
		}
		if alg == RS256 {
			return nil
		}
	case *ecdsa.PublicKey:
		if alg == ES256 && p.Curve != elliptic.P256() {
			return errors.New("the EC key is not on the curve P-256, which ES256 asks for")
		}
		if alg == ES256 {
			_, err := p.ECDH() // refuses points that are not on the curve
			return err
		}
	case ed25519.PublicKey:
		if len(p) != ed25519.PublicKeySize || smallOrder(p) {
			return errors.New("an Ed25519 public key has 32 bytes that stand for a point of full order")
		}
		if alg == EdDSA {
			return nil
		}
	}
	return fmt.Errorf("%s does not go with this kind of key", alg)
}

// ParseKey reads the text of a key as an operator keeps it. HS256: "base64:" and the secret in base64 (any of its
// alphabets), or the secret as it stands, without the blanks around it. The others: PEM of a public key, a certificate
// (of which only the key counts) or a private key, PKCS #1, PKCS #8 or SEC 1; EdDSA also "base64:" and the 32 bytes of
// the public key. No error holds any part of the text.
func ParseKey(id string, alg Alg, text []byte) (Key, error) {
	text = bytes.TrimSpace(text)
	switch {
	case alg.method() == nil:
		return Key{}, errors.New("unknown algorithm of a key; known are HS256, RS256, ES256 and EdDSA")
	case len(text) > maxKeyText:
		return Key{}, fmt.Errorf("the text of a key has at most %d bytes", maxKeyText)
	case bytes.Contains(text, []byte("-----BEGIN")):
		if alg == HS256 {
			return Key{}, errors.New("this is a PEM key, and no secret for HS256: name the algorithm that it is for")
		}
		return parsePEM(id, alg, text)
	case alg == RS256 || alg == ES256:
		return Key{}, fmt.Errorf("a key for %s is given as PEM", alg)
	}
	encoded, isBase64 := bytes.CutPrefix(text, []byte("base64:"))
	if isBase64 {
		raw, err := decodeBase64(encoded)
		if err != nil {
			return Key{}, err
		}
		text = raw
	}
	if alg == EdDSA {
		return PublicKey(id, alg, ed25519.PublicKey(text))
	}
	return SecretKey(id, text)
}

func decodeBase64(b []byte) ([]byte, error) {
	s := string(bytes.TrimRight(b, "="))
	for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		if raw, err := enc.Strict().DecodeString(s); err == nil {
			return raw, nil
		}
	}
	return nil, errors.New("what follows base64: is not base64")
}

func parsePEM(id string, alg Alg, text []byte) (Key, error) {
	block, rest := pem.Decode(text)
	if block != nil && block.Type == "EC PARAMETERS" {
		block, rest = pem.Decode(rest)
	}
	if block == nil {
		return Key{}, errors.New("the PEM text cannot be read")
	}
	if len(bytes.TrimSpace(rest)) > 0 {
		return Key{}, errors.New("the PEM text holds more than one key: give each a file of its own")
	}
	public, private, err := readBlock(block)
	if err != nil {
		return Key{}, err
	}
	k, err := PublicKey(id, alg, public)
	k.private = private
	return k, err
}

func readBlock(block *pem.Block) (public, private any, err error) {
	switch block.Type {
	case "PUBLIC KEY":
		public, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		public, err = x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		var c *x509.Certificate
		if c, err = x509.ParseCertificate(block.Bytes); err == nil {
			public = c.PublicKey
		}
	case "PRIVATE KEY":
		private, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		private, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		private, err = x509.ParseECPrivateKey(block.Bytes)
	default:
		return nil, nil, errors.New("the PEM block is neither a public key, a certificate nor an unencrypted private key")
	}
	if err != nil {
		return nil, nil, errors.New("the PEM block is damaged or of a kind that is not supported")
	}
	if private != nil {
		signer, ok := private.(crypto.Signer)
		if !ok {
			return nil, nil, errors.New("the private key is of a kind that does not sign")
		}
		public = signer.Public()
	}
	return public, private, nil
}
