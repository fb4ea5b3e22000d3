package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// noon is the time of tests that need no clock: whole seconds, far from any edge.
var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

func atNoon() time.Time { return noon }

func randomSecret(t testing.TB) []byte {
	t.Helper()
	b := make([]byte, 48)
	_, _ = rand.Read(b)
	return []byte(base64.StdEncoding.EncodeToString(b))
}

var rsaOnce = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

// freshKey makes a key of an algorithm and returns it with what a token is signed with.
func freshKey(t testing.TB, id string, alg Alg) (Key, any) {
	t.Helper()
	var private crypto.Signer
	var err error
	switch alg {
	case HS256:
		secret := randomSecret(t)
		k, err := SecretKey(id, secret)
		if err != nil {
			t.Fatal(err)
		}
		return k, secret
	case RS256:
		private = rsaOnce()
	case ES256:
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case EdDSA:
		_, private, err = ed25519.GenerateKey(rand.Reader)
	}
	if err != nil {
		t.Fatal(err)
	}
	k, err := ParseKey(id, alg, pkcs8(t, private))
	if err != nil {
		t.Fatal(err)
	}
	return k, private
}

func pkcs8(t testing.TB, private any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func publicPEM(t testing.TB, public any) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func newKeys(t testing.TB, o Options, issuers ...Issuer) *Keys {
	t.Helper()
	k, err := New(issuers, o)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

type object = map[string]any

// claimsAt are good claims for an issuer called a with audience here.
func claimsAt(now time.Time) object {
	return object{
		"iss": "a", "aud": "here", "sub": "ann", "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(),
		"caps": []object{{"channels": []string{"chat:*"}, "can": []string{"subscribe"}}},
	}
}

func with(m object, pairs ...any) object {
	out := object{}
	for k, v := range m {
		out[k] = v
	}
	for i := 0; i < len(pairs); i += 2 {
		if name := pairs[i].(string); pairs[i+1] == nil {
			delete(out, name)
		} else {
			out[name] = pairs[i+1]
		}
	}
	return out
}

// forge signs any header and any payload; strings are taken as they stand.
func forge(t testing.TB, method jwt.SigningMethod, key any, header, payload any) string {
	t.Helper()
	text := segment(t, header) + "." + segment(t, payload)
	sig, err := method.Sign(text, key)
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(sig)
}

func segment(t testing.TB, v any) string {
	t.Helper()
	if s, ok := v.(string); ok {
		return base64.RawURLEncoding.EncodeToString([]byte(s))
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// refused checks that an error is a refusal for a reason and repeats nothing of the token.
func refused(t testing.TB, err error, reason Reason, token string) {
	t.Helper()
	if !errors.Is(err, ErrToken) || ReasonOf(err) != reason {
		t.Errorf("got %v (reason %q), want a refusal with reason %q", err, ReasonOf(err), reason)
		return
	}
	for _, part := range strings.Split(token, ".") {
		if len(part) > 8 && strings.Contains(err.Error(), part) {
			t.Errorf("the error repeats a part of the token: %v", err)
		}
	}
}
