package config

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// Bounds of RSA keys, in bits; a longer one would make every check expensive.
const (
	minRSA = 2048
	maxRSA = 4096
)

func (l *loader) judgeAuth(c *Config) {
	if !c.Secret.IsSet() && len(c.Auth.Issuers) == 0 {
		l.doubt("secret", "is not set and auth.issuers is empty: no token is good, so only carillon dev lets anybody in")
	}
	seen, signer := map[string]int{}, ""
	for i, is := range c.Auth.Issuers {
		path := fmt.Sprintf("auth.issuers[%d]", i)
		if first, twice := seen[is.Issuer]; twice {
			l.refuse([]string{path + ".issuer"}, "is that of auth.issuers[%d] too: give one entry all its keys", first)
		}
		seen[is.Issuer] = i
		if is.MaxLifetime > c.Auth.MaxLifetime {
			l.refuse([]string{path + ".max_lifetime", "auth.max_lifetime"}, "is longer than auth.max_lifetime, %s", formatSpan(c.Auth.MaxLifetime))
		}
		if is.SessionLifetime > c.Auth.SessionLifetime {
			l.refuse([]string{path + ".session_lifetime", "auth.session_lifetime"}, "is longer than auth.session_lifetime, %s", formatSpan(c.Auth.SessionLifetime))
		}
		l.judgeKeys(is, path)
		for j, k := range is.Keys {
			here := fmt.Sprintf("%s.keys[%d].private_key", path, j)
			if k.PrivateKey.IsSet() && signer != "" {
				l.refuse([]string{here}, "stands beside %s: one key makes tokens, the others give public_key_file", signer)
			} else if k.PrivateKey.IsSet() {
				signer = here
			}
		}
	}
}

func (l *loader) judgeKeys(is Issuer, path string) {
	if len(is.Keys) == 0 && is.JWKSURL == "" {
		l.refuse([]string{path + ".keys", path + ".jwks_url", path}, "is empty: give keys, or jwks_url")
	}
	seen := map[string]int{}
	for i, k := range is.Keys {
		here := fmt.Sprintf("%s.keys[%d]", path, i)
		if first, twice := seen[k.KID]; twice {
			l.refuse([]string{here + ".kid", here}, "is that of keys[%d] too: tokens could not say theirs", first)
		}
		seen[k.KID] = i
		l.judgeKey(k, here)
	}
}

func (l *loader) judgeKey(k TokenKey, path string) {
	secret, public, private, algorithm := path+".secret", path+".public_key", path+".private_key", path+".algorithm"
	symmetric := k.Algorithm == "HS256"
	switch {
	case k.Algorithm == "":
	case symmetric && (k.PublicKey.IsSet() || k.PrivateKey.IsSet()):
		l.refuse([]string{secret, algorithm, public, private}, "is the key of HS256, which has neither a public nor a private one")
	case symmetric && !k.Secret.IsSet():
		l.refuse([]string{secret, algorithm}, "is missing: HS256 needs secret_file")
	case symmetric:
	case k.Secret.IsSet():
		l.refuse([]string{secret, public, algorithm}, "does not belong to %s: give public_key_file", k.Algorithm)
	case k.PublicKey.IsSet() == k.PrivateKey.IsSet():
		l.refuse([]string{public, private, algorithm}, "or private_key is needed for %s, one of them: give public_key_file", k.Algorithm)
	case k.PublicKey.IsSet():
		if err := checkKey(k.Algorithm, k.PublicKey.text, false); err != nil {
			l.refuse([]string{public, algorithm}, "%s", err)
		}
	default:
		if err := checkKey(k.Algorithm, k.PrivateKey.text, true); err != nil {
			l.refuse([]string{private, algorithm}, "%s", err)
		}
	}
}

// checkKey asks for the one kind of key that an algorithm is safe with. Whether it is a good one, the code that checks
// signatures with it decides.
func checkKey(algorithm, text string, private bool) error {
	if algorithm == "EdDSA" && !private && strings.HasPrefix(text, "base64:") {
		return nil
	}
	block, _ := pem.Decode([]byte(text))
	switch {
	case block == nil:
		return errors.New("is no PEM: it begins with -----BEGIN")
	case !private && strings.Contains(block.Type, "PRIVATE"):
		return errors.New("is a private key, which belongs to whoever signs (openssl pkey -in KEY -pubout); if that is this server, give private_key_file")
	case private && !strings.Contains(block.Type, "PRIVATE"):
		return errors.New("is no private key: with a public one give public_key_file")
	case private:
		return nil
	}
	key, err := publicKey(block)
	if err != nil {
		return err
	}
	return fits(algorithm, key)
}

func publicKey(block *pem.Block) (key any, err error) {
	switch block.Type {
	case "PUBLIC KEY":
		key, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		key, err = x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		var c *x509.Certificate
		if c, err = x509.ParseCertificate(block.Bytes); err == nil {
			key = c.PublicKey
		}
	default:
		err = errors.ErrUnsupported
	}
	if err != nil {
		return nil, errors.New("holds no public key that can be read: openssl pkey -pubin -in KEY -text shows what it is")
	}
	return key, nil
}

func fits(algorithm string, key any) error {
	ok := false
	switch key := key.(type) {
	case *rsa.PublicKey:
		if ok = algorithm == "RS256"; ok && (key.N.BitLen() < minRSA || key.N.BitLen() > maxRSA) {
			return fmt.Errorf("has %d bits; RS256 takes %d to %d", key.N.BitLen(), minRSA, maxRSA)
		}
	case *ecdsa.PublicKey:
		ok = algorithm == "ES256" && key.Curve == elliptic.P256()
	case ed25519.PublicKey:
		ok = algorithm == "EdDSA"
	}
	if !ok {
		return fmt.Errorf("is no key for %s: that takes %s", algorithm, map[string]string{"RS256": "RSA", "ES256": "P-256", "EdDSA": "Ed25519"}[algorithm])
	}
	return nil
}
