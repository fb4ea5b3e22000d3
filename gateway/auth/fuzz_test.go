package auth

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// FuzzVerify signs any header and payload with the right key: whatever the issuer may write, the reader does not fall
// over, and what it takes is within the bounds.
func FuzzVerify(f *testing.F) {
	secret := []byte("q8Zk2W7vR4xT9mLp3N5bJ1hY6cD0fGsAeUiOqWz")
	key, err := SecretKey("1", secret)
	if err != nil {
		f.Fatal(err)
	}
	k := newKeys(f, Options{Now: atNoon}, Issuer{Name: "a", Audience: "here", Keys: []Key{key}, AudienceList: true})
	f.Add(`{"alg":"HS256","kid":"1"}`, `{"iss":"a","aud":"here","sub":"ann","iat":1777896000,"exp":1777896060,"caps":[{"channels":["chat:*"],"can":["*"]}],"limits":{"channels":4}}`)
	f.Add(`{"alg":"HS256","kid":"1","typ":"JWT"}`, `{"iss":"a","aud":["here"],"sub":"ann","exp":1777896060,"channel":"room:1","can":["subscribe"]}`)
	f.Add(`{"alg":["HS256"],"kid":{}}`, `{"exp":1e400}`)
	f.Add(`{"alg":"HS256","kid":"1","crit":[]}`, `{"iss":"a","iss":"b","session_exp":1777896060}`)
	f.Add(`[]`, `null`)
	f.Fuzz(func(t *testing.T, header, payload string) {
		token := forge(t, jwt.SigningMethodHS256, secret, header, payload)
		id, err := k.Verify(token)
		switch {
		case err != nil && (!errors.Is(err, ErrToken) || ReasonOf(err) == ""):
			t.Fatalf("no refusal: %v", err)
		case err == nil:
			left := id.Expires.Sub(noon)
			if !validUser(id.User) || left <= -leeway || left > DefaultSession+leeway || len(id.rules) > MaxRules || id.Limits.check() != nil || strings.Contains(payload, `"channel":`) && id.permit != nil {
				t.Fatalf("taken: %+v", id)
			}
		}
		p, perr := k.VerifySubscription(token)
		if err == nil && perr == nil {
			t.Fatalf("both kinds at once: %+v, %+v", id, p)
		}
		if perr == nil && (p.Can&Subscribe == 0 || strings.ContainsAny(string(p.Channel), "*@")) {
			t.Fatalf("%+v", p)
		}
		if r := k.Explain(token); r.Accepted != (err == nil || perr == nil) || r.String() == "" {
			t.Fatalf("Explain says %v, Verify %v, VerifySubscription %v", r, err, perr)
		}
	})
}

// FuzzToken takes any text for a token: nothing without the key gets in.
func FuzzToken(f *testing.F) {
	k, err := NewKeys([]byte("q8Zk2W7vR4xT9mLp3N5bJ1hY6cD0fGsAeUiOqWz"), atNoon)
	if err != nil {
		f.Fatal(err)
	}
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`))
	for _, s := range []string{"", "..", "a.b.c", none + ".e30.", none + ".e30.AA", strings.Repeat(".", 5000), "eyJhbGciOiJIUzI1NiJ9.e30.c2ln"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, token string) {
		if id, err := k.Verify(token); err == nil || !errors.Is(err, ErrToken) {
			t.Fatalf("%+v, %v", id, err)
		}
		_ = k.Explain(token).String()
		r, _ := ReadUnverified(token, noon)
		_ = r.String()
	})
}

func FuzzParseKey(f *testing.F) {
	f.Add("HS256", []byte("base64:AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ"))
	f.Add("RS256", []byte("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"))
	f.Add("EdDSA", []byte(strings.Repeat("x", 32)))
	f.Fuzz(func(t *testing.T, alg string, text []byte) {
		k, err := ParseKey("k", Alg(alg), text)
		if err == nil && (k.alg != Alg(alg) || k.public == nil) {
			t.Fatalf("%v", k)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	for _, alg := range Algs() {
		key, _ := freshKey(b, "1", alg)
		k := newKeys(b, Options{Revocations: NewRevocations(nil, nil)}, Issuer{Name: "a", Audience: "here", Signer: key})
		token, err := k.Sign("ann", []Capability{allow("subscribe history publish", "chat:*"), deny("", "chat:secret")}, time.Hour)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(string(alg), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := k.Verify(token); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkHostile is the dearest of the forgeries: a wrong signature under a long payload.
func BenchmarkHostile(b *testing.B) {
	for _, alg := range []Alg{HS256, RS256, ES256} {
		key, private := freshKey(b, "1", alg)
		k := newKeys(b, Options{Now: atNoon}, Issuer{Name: "a", Audience: "here", Keys: []Key{key}})
		payload := `{"iss":"a","aud":"here","caps":[` + strings.Repeat(`{"channels":["a"]},`, 110) + `{"channels":[]}]}`
		token := forge(b, alg.method(), private, object{"alg": alg, "kid": "1"}, payload)
		token = token[:len(token)-6] + "AAAA" + token[len(token)-2:]
		b.Run(string(alg), func(b *testing.B) {
			for b.Loop() {
				if _, err := k.Verify(token); ReasonOf(err) != ReasonSignature {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDecide(b *testing.B) {
	id := identity(b, "ann", allow("subscribe history publish", "chat:*"), deny("", "chat:secret"), allow("*", "docs:plan"))
	b.ReportAllocs()
	for b.Loop() {
		if Decide(id, Publish, "chat:lobby") != nil {
			b.Fatal("denied")
		}
	}
}

func BenchmarkRevoked(b *testing.B) {
	id := identity(b, "ann")
	id.TokenID, id.Issuer, id.Issued = "t1", "a", noon
	rs := NewRevocations(atNoon, nil)
	b.Run("empty", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			rs.Revoked(id, "c1")
		}
	})
	for i := range 10_000 {
		_, _ = rs.Apply(Revocation{Conn: strings.Repeat("c", 1+i%64) + string(rune('a'+i%26)), At: noon, Until: noon.Add(time.Hour)})
	}
	b.Run("thousands", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			rs.Revoked(id, "c1")
		}
	})
}

func BenchmarkTicket(b *testing.B) {
	tickets := NewTickets(nil)
	b.ReportAllocs()
	for b.Loop() {
		ticket, err := tickets.Issue(b.Context(), "t")
		if err != nil {
			b.Fatal(err)
		}
		if _, err := tickets.Redeem(b.Context(), ticket); err != nil {
			b.Fatal(err)
		}
	}
}
