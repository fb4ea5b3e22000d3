package auth

import (
	"bytes"
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

type hostile struct {
	name   string
	token  string
	reason Reason
}

// TestA01 is every forgery of a header that is known to have fooled somebody.
func TestA01ForgedHeaders(t *testing.T) {
	secret, rsaKey := randomSecret(t), rsaOnce()
	hs, err := SecretKey("h", secret)
	if err != nil {
		t.Fatal(err)
	}
	rs, err := ParseKey("r", RS256, publicPEM(t, rsaKey.Public()))
	if err != nil {
		t.Fatal(err)
	}
	es, _ := freshKey(t, "e", ES256)
	ed, _ := freshKey(t, "d", EdDSA)
	asked := 0
	k := newKeys(t, Options{Now: atNoon, Unknown: func(string) bool { asked++; return true }},
		Issuer{Name: "a", Audience: "here", Keys: []Key{hs, rs, es, ed}})
	good := claimsAt(noon)
	hmac := jwt.SigningMethodHS256
	sign := func(header any) string { return forge(t, hmac, secret, header, good) }
	unsigned := func(alg any) string {
		return segment(t, object{"alg": alg, "kid": "h"}) + "." + segment(t, good) + "."
	}
	zeros := base64.RawURLEncoding.EncodeToString(make([]byte, 64))
	cases := []hostile{
		{"alg none", unsigned("none"), ReasonForm},
		{"alg None with a signature", unsigned("None") + zeros, ReasonAlgorithm},
		{"alg nOnE", unsigned("nOnE") + zeros, ReasonAlgorithm},
		{"alg none with a signature", unsigned("none") + zeros, ReasonAlgorithm},
		{"no alg", sign(object{"kid": "h"}), ReasonAlgorithm},
		{"alg array", sign(object{"alg": []string{"HS256"}, "kid": "h"}), ReasonAlgorithm},
		{"alg null", sign(object{"alg": nil, "kid": "h"}), ReasonAlgorithm},
		{"alg hs256", sign(object{"alg": "hs256", "kid": "h"}), ReasonAlgorithm},
		{"HS512 of an HS256 key", forge(t, jwt.SigningMethodHS512, secret, object{"alg": "HS512", "kid": "h"}, good), ReasonAlgorithm},
		{"HS256 signed with the public key", forge(t, hmac, publicPEM(t, rsaKey.Public()), object{"alg": "HS256", "kid": "r"}, good), ReasonAlgorithm},
		{"HS256 signed with the bare public key", forge(t, hmac, bytes.TrimSpace(publicPEM(t, rsaKey.Public())), object{"alg": "HS256", "kid": "r"}, good), ReasonAlgorithm},
		{"PS256 of an RS256 key", forge(t, jwt.SigningMethodPS256, rsaKey, object{"alg": "PS256", "kid": "r"}, good), ReasonAlgorithm},
		{"ES256 with r=s=0", segment(t, object{"alg": "ES256", "kid": "e"}) + "." + segment(t, good) + "." + zeros, ReasonSignature},
		{"EdDSA with zeros", segment(t, object{"alg": "EdDSA", "kid": "d"}) + "." + segment(t, good) + "." + zeros, ReasonSignature},
		{"empty signature", strings.TrimRight(sign(object{"alg": "HS256", "kid": "h"}), "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"), ReasonForm},
		{"short signature", sign(object{"alg": "HS256", "kid": "h"})[:len(sign(object{"alg": "HS256", "kid": "h"}))-3], ReasonSignature},
		{"kid path", sign(object{"alg": "HS256", "kid": "../../etc/passwd"}), ReasonKey},
		{"kid URL", sign(object{"alg": "HS256", "kid": "https://evil.example/k"}), ReasonKey},
		{"kid SQL", sign(object{"alg": "HS256", "kid": "x' UNION SELECT 'k"}), ReasonKey},
		{"kid number", sign(object{"alg": "HS256", "kid": 7}), ReasonKey},
		{"kid null", sign(object{"alg": "HS256", "kid": nil}), ReasonKey},
		{"kid of another case", sign(object{"alg": "HS256", "kid": "H"}), ReasonKey},
		{"kid missing", sign(object{"alg": "HS256"}), ReasonKey},
		{"kid of 1 MiB", sign(object{"alg": "HS256", "kid": strings.Repeat("k", 1<<20)}), ReasonSize},
		{"crit", sign(object{"alg": "HS256", "kid": "h", "crit": []string{"b64"}, "b64": false}), ReasonHeader},
		{"crit empty", sign(object{"alg": "HS256", "kid": "h", "crit": []string{}}), ReasonHeader},
		{"typ of another use", sign(object{"alg": "HS256", "kid": "h", "typ": "logout+jwt"}), ReasonHeader},
		{"typ number", sign(object{"alg": "HS256", "kid": "h", "typ": 1}), ReasonHeader},
		{"newline within", strings.Replace(sign(object{"alg": "HS256", "kid": "h"}), ".", "\n.", 1), ReasonForm},
		{"padding", sign(object{"alg": "HS256", "kid": "h"}) + "==", ReasonForm},
		{"header no object", sign(`["HS256"]`), ReasonForm},
		{"header deep", sign(strings.Repeat("[", 2000)), ReasonForm},
		{"payload no object", forge(t, hmac, secret, object{"alg": "HS256", "kid": "h"}, `"x"`), ReasonForm},
		{"payload twice", forge(t, hmac, secret, object{"alg": "HS256", "kid": "h"}, `{"iss":"a"}{}`), ReasonForm},
		{"payload deep", forge(t, hmac, secret, object{"alg": "HS256", "kid": "h"}, `{"x":`+strings.Repeat("[", 2500)), ReasonForm},
		{"five parts", sign(object{"alg": "HS256", "kid": "h"}) + ".x.y", ReasonForm},
		{"dots", strings.Repeat(".", 100_000), ReasonSize},
		{"dots that fit", strings.Repeat(".", MaxToken), ReasonForm},
		{"nothing", "", ReasonForm},
		{"too long by one", strings.Repeat("a", MaxToken-1) + "..", ReasonSize},
	}
	for _, name := range []string{"jku", "x5u", "jwk", "x5c"} {
		cases = append(cases, hostile{name, sign(object{"alg": "HS256", "kid": "h", name: "https://evil.example/keys"}), ReasonHeader})
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := k.Verify(c.token)
			refused(t, err, c.reason, c.token)
			if _, err = k.VerifySubscription(c.token); err == nil {
				t.Error("taken as a subscription token")
			}
			if r := k.Explain(c.token); r.Accepted || r.Why == "" || r.String() == "" {
				t.Errorf("Explain: %+v", r)
			}
		})
	}
	if asked != 0 {
		t.Errorf("%d requests for keys; this issuer has no URL", asked)
	}
	if _, err := k.Verify(sign(object{"alg": "HS256", "kid": "h"})); err != nil {
		t.Fatalf("the good one: %v", err)
	}
	// The worst of them costs little: against a good token in the same run, as the best of a few tries.
	fair := quickest(k, sign(object{"alg": "HS256", "kid": "h"}))
	for _, c := range cases {
		if cost := quickest(k, c.token); cost > 200*fair {
			t.Errorf("%s costs %v, a good token %v", c.name, cost, fair)
		}
	}
}

func quickest(k *Keys, token string) time.Duration {
	best := time.Duration(math.MaxInt64)
	for range 10 {
		start := time.Now()
		_, _ = k.Verify(token)
		best = min(best, time.Since(start))
	}
	return best
}

// TestA01WeakKeys: keys that could be guessed, are cut short or belong to everybody are refused before they are used.
func TestA01WeakKeys(t *testing.T) {
	small := &rsa.PublicKey{N: rsaOnce().N, E: 65537}
	small.N = rsaOnce().Primes[0]
	text := func(s string) []byte { return []byte(s) }
	for _, c := range []struct {
		name string
		alg  Alg
		text []byte
		says string
	}{
		{"short", HS256, text("kX9#mP2$vL5@nQ8"), "needs at least 32"},
		{"short after decoding", HS256, text("base64:" + base64.StdEncoding.EncodeToString(randomSecret(t)[:31])), "needs at least 32"},
		{"zeros", HS256, make([]byte, 64), "few characters"},
		{"one letter", HS256, text(strings.Repeat("a", 40)), "few characters"},
		{"repeats", HS256, text(strings.Repeat("k7Jq2Zp9", 5)), "repeats itself"},
		{"counts", HS256, text("ABCDEFGHIJKLMNOPQRSTUVWXYZ[]^_`abc"), "counts"},
		{"words", HS256, text("please-CHANGEME-before-production-1"), "word of examples"},
		{"the debugger's", HS256, text("a-string-secret-at-least-256-bits-long"), "example"},
		{"RFC 7515", HS256, text("base64:AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"), "example"},
		{"RFC 7515 as text", HS256, text("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"), "example"},
		{"no base64", HS256, text("base64:%%%%" + string(randomSecret(t))), "not base64"},
		{"PEM as secret", HS256, publicPEM(t, rsaOnce().Public()), "PEM"},
		{"huge", HS256, bytes.Repeat(randomSecret(t), 20), "at most"},
		{"RSA too small", RS256, publicPEM(t, small), "1024 bits"},
		{"RSA for ES256", ES256, publicPEM(t, rsaOnce().Public()), "does not go with"},
		{"secret for RS256", RS256, randomSecret(t), "given as PEM"},
		{"Ed25519 cut", EdDSA, text("base64:" + base64.StdEncoding.EncodeToString(randomSecret(t)[:31])), "32 bytes"},
		{"Ed25519 of small order", EdDSA, text("base64:" + base64.StdEncoding.EncodeToString(make([]byte, 32))), "32 bytes"},
		{"RFC 8037", EdDSA, text("base64:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"), "published example"},
		{"jwt.io ES256", ES256, text("-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEEVs/o5+uQbTjL3chynL4wXgUg2R9\nq9UU8I5mEovUf86QZ7kOBIjJwqnzD1omageEHWwHdBO6B+dFabmdT9POxg==\n-----END PUBLIC KEY-----"), "published example"},
		{"two keys", RS256, append(publicPEM(t, rsaOnce().Public()), publicPEM(t, rsaOnce().Public())...), "more than one"},
		{"broken PEM", RS256, text("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"), "damaged"},
		{"unknown algorithm", "none", randomSecret(t), "unknown algorithm"},
	} {
		_, err := ParseKey("k", c.alg, c.text)
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want something about %q", c.name, err, c.says)
		}
	}
	if _, err := NewKeys(make([]byte, 64), atNoon); err == nil {
		t.Error("NewKeys took zeros")
	}
	for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
		raw := randomSecret(t)[:33]
		k, err := ParseKey("k", HS256, []byte("base64:"+enc.EncodeToString(raw)+"\n"))
		if err != nil || !bytes.Equal(k.public.([]byte), raw) {
			t.Errorf("base64: %v", err)
		}
	}
}

// TestA02 keeps issuers apart: the same kid at another issuer, a wrong or missing iss or aud, and lists of them.
func TestA02IssuersApart(t *testing.T) {
	keyA, secretA := freshKey(t, "1", HS256)
	keyB, secretB := freshKey(t, "1", HS256)
	lax, secretL := freshKey(t, "", EdDSA)
	k := newKeys(t, Options{Now: atNoon},
		Issuer{Name: "a", Audience: "here", Keys: []Key{keyA}},
		Issuer{Name: "b", Audience: "here", Keys: []Key{keyB}, UserPrefix: "b-", Ceiling: []Capability{{Channels: []string{"b:*"}, Can: []string{"*"}}}},
		Issuer{Name: "lax", Audience: "here", AudienceList: true, Keys: []Key{lax}})
	header := object{"alg": "HS256", "typ": "JWT", "kid": "1"}
	good := claimsAt(noon)
	sign := func(secret any, m any) string { return forge(t, jwt.SigningMethodHS256, secret, header, m) }
	for _, c := range []hostile{
		{"b signs as a", sign(secretB, good), ReasonSignature},
		{"a signs as b", sign(secretA, with(good, "iss", "b")), ReasonSignature},
		{"iss unknown", sign(secretA, with(good, "iss", "c")), ReasonIssuer},
		{"iss missing", sign(secretA, with(good, "iss", nil)), ReasonIssuer},
		{"iss empty", sign(secretA, with(good, "iss", "")), ReasonClaims},
		{"iss list", sign(secretA, with(good, "iss", []string{"a"})), ReasonClaims},
		{"iss in other case", sign(secretA, with(good, "iss", "A")), ReasonIssuer},
		{"iss under another name", sign(secretA, with(good, "iss", nil, "ISS", "a")), ReasonIssuer},
		{"iss twice", sign(secretA, `{"iss":"b","iss":"a","aud":"here","sub":"ann","exp":1}`), ReasonClaims},
		{"aud wrong", sign(secretA, with(good, "aud", "there")), ReasonAudience},
		{"aud missing", sign(secretA, with(good, "aud", nil)), ReasonAudience},
		{"aud list", sign(secretA, with(good, "aud", []string{"here"})), ReasonAudience},
		{"aud number", sign(secretA, with(good, "aud", 1)), ReasonClaims},
		{"aud beginning alike", sign(secretA, with(good, "aud", "here2")), ReasonAudience},
		{"aud list without us", forge(t, jwt.SigningMethodEdDSA, secretL, object{"alg": "EdDSA"}, with(good, "iss", "lax", "aud", []string{"there"})), ReasonAudience},
		{"aud list of lists", forge(t, jwt.SigningMethodEdDSA, secretL, object{"alg": "EdDSA"}, with(good, "iss", "lax", "aud", [][]string{{"here"}})), ReasonClaims},
		{"aud list empty", forge(t, jwt.SigningMethodEdDSA, secretL, object{"alg": "EdDSA"}, with(good, "iss", "lax", "aud", []string{})), ReasonAudience},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := k.Verify(c.token)
			refused(t, err, c.reason, c.token)
		})
	}
	ann, err := k.Verify(sign(secretA, good))
	if err != nil || ann.User != "ann" || ann.Issuer != "a" || ann.KeyID != "1" {
		t.Fatalf("a: %+v, %v", ann, err)
	}
	other, err := k.Verify(sign(secretB, with(good, "iss", "b", "caps", []object{{"channels": []string{"*"}, "can": []string{"*"}}})))
	if err != nil || other.User != "b-ann" || other.Same(ann) {
		t.Fatalf("b: %+v, %v", other, err)
	}
	if Decide(other, Publish, "b:x") != nil || Decide(other, Publish, "chat:lobby") == nil {
		t.Error("the ceiling of an issuer does not hold")
	}
	if _, err := k.Verify(forge(t, jwt.SigningMethodEdDSA, secretL, object{"alg": "EdDSA"}, with(good, "iss", "lax", "aud", []string{"there", "here"}))); err != nil {
		t.Errorf("a list with us: %v", err)
	}
}

// TestA04 is about time and numbers that are none.
func TestA04Times(t *testing.T) {
	key, secret := freshKey(t, "1", HS256)
	k := newKeys(t, Options{Now: atNoon}, Issuer{Name: "a", Audience: "here", Keys: []Key{key}, MaxLifetime: time.Hour})
	at := noon.Unix()
	raw := func(exp string) string {
		return fmt.Sprintf(`{"iss":"a","aud":"here","sub":"ann","exp":%s}`, exp)
	}
	good := claimsAt(noon)
	slack := int64(leeway / time.Second)
	for _, c := range []struct {
		name    string
		payload any
		reason  Reason // empty: good
	}{
		{"as it should be", good, ""},
		{"past", with(good, "iat", at-100, "exp", at-slack), ReasonExpired},
		{"past, within the leeway", with(good, "iat", at-100, "exp", at-slack+1), ""},
		{"nbf future", with(good, "nbf", at+slack+1), ReasonEarly},
		{"nbf within the leeway", with(good, "nbf", at+slack), ""},
		{"iat future", with(good, "iat", at+slack+1), ReasonEarly},
		{"iat after exp", with(good, "iat", at+5, "exp", at+4), ReasonLifetime},
		{"no iat", with(good, "iat", nil), ""},
		{"no exp", with(good, "exp", nil), ReasonLifetime},
		{"exp too far", with(good, "exp", at+3600+slack+1), ReasonLifetime},
		{"exp at the most", with(good, "exp", at+3600+slack), ""},
		{"long life of which little is left", with(good, "iat", at-7200, "exp", at+60), ReasonLifetime},
		{"year 9999", raw("253402300799"), ReasonClaims},
		{"year 2286", raw("9999999999"), ReasonLifetime},
		{"string", raw(`"` + fmt.Sprint(at+60) + `"`), ReasonClaims},
		{"float", raw(fmt.Sprint(at+60) + ".5"), ReasonClaims},
		{"float without need", raw(fmt.Sprint(at+60) + ".0"), ReasonClaims},
		{"exponent", raw("1.8e9"), ReasonClaims},
		{"1e400", raw("1e400"), ReasonClaims},
		{"2^63", raw("9223372036854775808"), ReasonClaims},
		{"negative", raw("-1"), ReasonClaims},
		{"zero", raw("0"), ReasonClaims},
		{"null", raw("null"), ReasonClaims},
		{"true", raw("true"), ReasonClaims},
		{"list", raw("[1]"), ReasonClaims},
		{"not JSON", raw("NaN"), ReasonForm},
		{"milliseconds", raw(fmt.Sprint((at + 60) * 1000)), ReasonClaims},
		{"exp twice", `{"iss":"a","aud":"here","sub":"ann","exp":1,"exp":` + fmt.Sprint(at+60) + `}`, ReasonClaims},
		{"session over", with(good, "session_exp", at), ReasonExpired},
		{"session too long", with(good, "session_exp", at+int64(DefaultSession/time.Second)+slack+1), ReasonLifetime},
		{"session longer than exp", with(good, "session_exp", at+7200), ""},
		{"session as float", with(good, "session_exp", 1e10+0.5), ReasonClaims},
		{"sub missing", with(good, "sub", nil), ReasonClaims},
		{"sub with space", with(good, "sub", "an n"), ReasonClaims},
		{"sub of the server", with(good, "sub", "@chess:g1"), ReasonClaims},
		{"sub number", with(good, "sub", 1), ReasonClaims},
		{"sub too long", with(good, "sub", strings.Repeat("u", MaxUser+1)), ReasonClaims},
		{"jti number", with(good, "jti", 1), ReasonClaims},
		{"caps unknown action", with(good, "caps", []object{{"channels": []string{"a"}, "can": []string{"fly"}}}), ReasonClaims},
		{"caps unknown field", with(good, "caps", []object{{"channels": []string{"a"}, "can": []string{"*"}, "denied": true}}), ReasonClaims},
		{"caps null", `{"iss":"a","aud":"here","sub":"ann","caps":null,"exp":` + fmt.Sprint(at+60) + `}`, ReasonClaims},
		{"caps pattern with a hole", with(good, "caps", []object{{"channels": []string{"a*b"}, "can": []string{"*"}}}), ReasonClaims},
		{"caps pattern that no name has", with(good, "caps", []object{{"channels": []string{"a/*"}, "can": []string{"*"}}}), ReasonClaims},
		{"limits", with(good, "limits", object{"channels": 5, "publish": 10}), ""},
		{"limits unknown", with(good, "limits", object{"chanels": 5}), ReasonClaims},
		{"limits zero", with(good, "limits", object{"channels": 0}), ReasonClaims},
		{"limits negative", with(good, "limits", object{"channels": -1}), ReasonClaims},
		{"limits float", with(good, "limits", object{"publish": 0.5}), ReasonClaims},
		{"limits beyond", with(good, "limits", object{"connections": 1001}), ReasonClaims},
		{"limits overflow", with(good, "limits", object{"bytes": 1 << 33}), ReasonClaims},
		{"limits list", with(good, "limits", []int{1}), ReasonClaims},
		{"subscription token", with(good, "channel", "chat:x"), ReasonKind},
	} {
		t.Run(c.name, func(t *testing.T) {
			token := forge(t, jwt.SigningMethodHS256, secret, object{"alg": "HS256", "kid": "1"}, c.payload)
			id, err := k.Verify(token)
			if c.reason != "" {
				refused(t, err, c.reason, token)
			} else if err != nil || id.User != "ann" {
				t.Errorf("%+v, %v", id, err)
			}
		})
	}
	if !slices.Contains(Reasons(), ReasonLifetime) {
		t.Error("Reasons is incomplete")
	}
}
