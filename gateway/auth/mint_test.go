package auth

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"carillon/channel"
)

// TestMintAndVerify: what an issuer signs in each algorithm is what Verify reads.
func TestMintAndVerify(t *testing.T) {
	for _, alg := range Algs() {
		for _, kid := range []string{"", "2026-05"} {
			key, _ := freshKey(t, kid, alg)
			k := newKeys(t, Options{Now: atNoon}, Issuer{Name: "a", Audience: "here", Signer: key})
			token, err := k.MintConnect(Grant{
				User: "ann", Caps: []Capability{allow("subscribe", "chat:*")}, Limits: Limits{Channels: 3}, Session: 2 * time.Hour,
			})
			if err != nil {
				t.Fatal(alg, err)
			}
			id, err := k.Verify(token)
			if err != nil {
				t.Fatal(alg, err)
			}
			if id.User != "ann" || id.Issuer != "a" || id.KeyID != kid || id.TokenID == "" || id.Limits.Channels != 3 ||
				!id.Issued.Equal(noon) || !id.Expires.Equal(noon.Add(2*time.Hour)) || Decide(id, Subscribe, "chat:x") != nil || !k.Holds(id) {
				t.Errorf("%s: %+v", alg, id)
			}
			if _, err := k.VerifySubscription(token); ReasonOf(err) != ReasonKind {
				t.Errorf("a connect token passes for a subscription token: %v", err)
			}
		}
	}
}

func TestMintRefuses(t *testing.T) {
	key, _ := freshKey(t, "", HS256)
	k := newKeys(t, Options{Now: atNoon}, Issuer{Name: "a", Audience: "here", Signer: key, MaxLifetime: time.Hour})
	long := allow("subscribe")
	for i := range 250 {
		long.Channels = append(long.Channels, fmt.Sprintf("chat:a-rather-long-name-%d", i))
	}
	for name, g := range map[string]Grant{
		"no user":       {},
		"server's user": {User: "@chess:1"},
		"lives long":    {User: "ann", TTL: time.Hour + 1},
		"lives not":     {User: "ann", TTL: -1},
		"action":        {User: "ann", Caps: []Capability{allow("fly", "x")}},
		"limit":         {User: "ann", Limits: Limits{Body: -1}},
		"session":       {User: "ann", Session: 25 * time.Hour},
		"id":            {User: "ann", ID: "a b"},
		"size":          {User: "ann", Caps: []Capability{long}},
	} {
		if token, err := k.Mint(g); err == nil {
			t.Errorf("%s: %s", name, token)
		}
	}
	if _, err := k.MintConnect(Grant{User: "ann", TTL: MaxConnectToken + time.Second}); err == nil {
		t.Error("a connect token of more than five minutes")
	}
	verifier := newKeys(t, Options{}, Issuer{Name: "a", Audience: "here", Keys: []Key{key}})
	if _, err := verifier.Mint(Grant{User: "ann"}); !errors.Is(err, errNoSigner) {
		t.Error(err)
	}
	if _, err := k.Sign("ann", nil, 0); err == nil {
		t.Error("Sign without a time")
	}
}

// TestSubscriptionToken: it widens one subscription of its user, and nothing else.
func TestSubscriptionToken(t *testing.T) {
	key, secret := freshKey(t, "1", HS256)
	other, _ := freshKey(t, "1", HS256)
	k := newKeys(t, Options{Now: atNoon},
		Issuer{Name: "a", Audience: "here", Signer: key, Ceiling: []Capability{allow("*", "*"), deny("", "vault:*")}},
		Issuer{Name: "b", Audience: "here", Keys: []Key{other}})
	mint := func(g SubscriptionGrant) *Permit {
		t.Helper()
		token, err := k.MintSubscription(g)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := k.Verify(token); ReasonOf(err) != ReasonKind {
			t.Errorf("a subscription token connects: %v", err)
		}
		p, err := k.VerifySubscription(token)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	p := mint(SubscriptionGrant{User: "ann", Channel: "room:7", Can: []string{"subscribe", "history"}})
	token, _ := k.Sign("ann", []Capability{allow("publish", "chat:*"), deny("", "room:8")}, time.Minute)
	ann, err := k.Verify(token)
	if err != nil {
		t.Fatal(err)
	}
	wider, err := ann.With(p)
	if err != nil || wider.Permit() != p || !wider.Expires.Equal(ann.Expires) || !k.Holds(wider) {
		t.Fatalf("%+v, %v", wider, err)
	}
	for _, c := range []struct {
		who  *Identity
		can  Action
		name string
		want bool
	}{
		{wider, Subscribe, "room:7", true}, {wider, History, "room:7", true}, {wider, Publish, "room:7", false},
		{wider, Subscribe, "room:70", false}, {wider, Publish, "chat:x", true}, {ann, Subscribe, "room:7", false},
	} {
		if got := Decide(c.who, c.can, channel.Name(c.name)) == nil; got != c.want {
			t.Errorf("%v in %s: %v", c.can, c.name, got)
		}
	}
	denied, _ := ann.With(mint(SubscriptionGrant{User: "ann", Channel: "room:8"}))
	vault, _ := ann.With(mint(SubscriptionGrant{User: "ann", Channel: "vault:1"}))
	if Decide(denied, Subscribe, "room:8") == nil || Decide(vault, Subscribe, "vault:1") == nil {
		t.Error("a permit wins over a denial")
	}
	if _, err := ann.With(mint(SubscriptionGrant{User: "bob", Channel: "room:7"})); !errors.Is(err, ErrPermit) {
		t.Error(err)
	}
	if _, err := wider.With(p); !errors.Is(err, ErrPermit) {
		t.Error("two permits at once")
	}
	if _, err := identity(t, "ann").With(p); !errors.Is(err, ErrPermit) {
		t.Error("a permit of an issuer for a user of none")
	}
	base := with(claimsAt(noon), "caps", nil, "channel", "room:7")
	for name, c := range map[string]object{
		"caps": with(base, "caps", []Capability{}), "limits": with(base, "limits", object{"channels": 1}), "session": with(base, "session_exp", noon.Unix()+60),
		"pattern": with(base, "channel", "room:*"), "part": with(base, "channel", "room:7@presence"), "empty": with(base, "channel", ""),
		"no subscribe": with(base, "can", []string{"publish"}), "unknown": with(base, "can", []string{"fly"}), "can text": with(base, "can", "subscribe"),
	} {
		if _, err := k.VerifySubscription(forge(t, jwt.SigningMethodHS256, secret, object{"alg": "HS256", "kid": "1"}, c)); !errors.Is(err, ErrToken) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := k.MintSubscription(SubscriptionGrant{User: "ann", Channel: "room:*"}); err == nil {
		t.Error("minted for a pattern")
	}
}

// TestS07Expiry: a token is good until its end and the leeway, in the time of a real clock.
func TestS07Expiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, err := NewKeys(randomSecret(t), nil)
		if err != nil {
			t.Fatal(err)
		}
		token, err := k.MintConnect(Grant{User: "ann", TTL: time.Minute, Session: 30 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(29 * time.Second)
		if id, err := k.Verify(token); err != nil || time.Until(id.Expires) != time.Second {
			t.Fatalf("%+v, %v", id, err)
		}
		time.Sleep(time.Second)
		if _, err := k.Verify(token); !errors.Is(err, ErrExpired) || ReasonOf(err) != ReasonExpired {
			t.Errorf("after its session: %v", err)
		}
		plain, _ := k.MintConnect(Grant{User: "ann", TTL: time.Minute})
		time.Sleep(time.Minute + leeway - time.Second)
		if _, err := k.Verify(plain); err != nil {
			t.Errorf("within the leeway: %v", err)
		}
		time.Sleep(time.Second)
		if _, err := k.Verify(plain); !errors.Is(err, ErrExpired) {
			t.Errorf("beyond the leeway: %v", err)
		}
	})
}

// TestS10Canary: a secret shows in no error, no print, no log and no report, whatever is done with it.
func TestS10Canary(t *testing.T) {
	canary := "CANARYq8Zk2W7vR4xT9mLp3N5bJ1hY6cD0fG"
	key, err := SecretKey("k", []byte(canary))
	if err != nil {
		t.Fatal(err)
	}
	_, private := freshKey(t, "e", ES256)
	pem := string(pkcs8(t, private))
	es, err := ParseKey("e", ES256, []byte(pem))
	if err != nil {
		t.Fatal(err)
	}
	k := newKeys(t, Options{Now: atNoon}, Issuer{Name: "a", Audience: "here", Signer: key, Keys: []Key{es}})
	token, _ := k.Sign("ann", nil, time.Minute)
	id, _ := k.Verify(token)
	var logged strings.Builder
	slog.New(slog.NewJSONHandler(&logged, nil)).Error("x", "key", key, "keys", []Key{key, es}, "id", id, "issuer", Issuer{Name: "a", Signer: key})
	slog.New(slog.NewTextHandler(&logged, nil)).Error("x", "key", key, "keys", []Key{key, es}, "issuer", Issuer{Name: "a", Signer: key})
	shown := []string{logged.String(), k.Explain(token).String(), fmt.Sprintf("%+v", k.Explain(token))}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
		shown = append(shown, fmt.Sprintf(verb, key), fmt.Sprintf(verb, []Key{key, es}), fmt.Sprintf(verb, Issuer{Name: "a", Signer: key}), fmt.Sprintf(verb, es))
	}
	for _, alg := range append(Algs(), "x") {
		for _, text := range []string{canary[:31], "base64:" + canary + "!", "-----BEGIN PRIVATE KEY-----\n" + canary + "\n-----END PRIVATE KEY-----", pem + canary, pem + pem, canary + pem} {
			if _, err := ParseKey("k", alg, []byte(text)); err != nil {
				shown = append(shown, err.Error())
			}
		}
	}
	for _, bad := range []string{token + "x", token[:len(token)-3] + "AAA", canary, "a." + canary + ".b"} {
		if _, err := k.Verify(bad); err != nil {
			shown = append(shown, err.Error())
		} else {
			t.Error("taken")
		}
	}
	signature := token[strings.LastIndexByte(token, '.')+1:]
	for _, s := range shown {
		for _, part := range []string{canary[:12], canary[12:24], fmt.Sprintf("%x", canary[:6]), fmt.Sprint([]byte(canary[:4])), pem[40:70], signature[:12]} {
			if strings.Contains(strings.ToLower(s), strings.ToLower(strings.Trim(part, "[]"))) {
				t.Errorf("%q shows in %s", part, s)
			}
		}
	}
}

// TestExplain is what an operator reads.
func TestExplain(t *testing.T) {
	key, _ := freshKey(t, "k1", EdDSA)
	k := newKeys(t, Options{Now: atNoon}, Issuer{Name: "a", Audience: "here", Signer: key, UserPrefix: "a-"})
	token, _ := k.Mint(Grant{User: "ann", Caps: []Capability{allow("subscribe history", "chat:*"), deny("", "chat:x")}, Limits: Limits{Publish: 5}, ID: "t1"})
	r := k.Explain(token)
	if !r.Accepted || r.Kind != "connect" || r.User != "a-ann" || r.Alg != "EdDSA" || r.KeyID != "k1" || r.Claims["jti"] != "t1" || !r.Expires.Equal(noon.Add(5*time.Minute)) {
		t.Errorf("%+v", r)
	}
	text := r.String()
	for _, want := range []string{"accepted", "subscribe, history in chat:*", "may not", "in 5m0s", `EdDSA key "k1" of issuer "a", fingerprint ` + key.Fingerprint(), `"publish":5`} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	sub, _ := k.MintSubscription(SubscriptionGrant{User: "ann", Channel: "room:7"})
	if r := k.Explain(sub); !r.Accepted || r.Kind != "subscription" || len(r.May) != 1 || r.May[0] != "subscribe in room:7" {
		t.Errorf("%+v", r)
	}
	broken := token[:len(token)-4] + "AAAA"
	if r := k.Explain(broken); r.Accepted || r.Reason != ReasonSignature || r.Key == "" || r.User != "a-ann" {
		t.Errorf("%+v", r)
	}
	foreign, err := ReadUnverified(token, noon)
	if err != nil || foreign.Accepted || foreign.User != "ann" || len(foreign.May) != 1 {
		t.Errorf("%+v, %v", foreign, err)
	}
	nasty := segment(t, object{"alg": "HS256\x1b[2J"}) + "." + segment(t, object{"sub": "a\x1b[31m\nb", "x": "\u202e"}) + ".AAAA"
	if out := k.Explain(nasty).String(); strings.ContainsAny(out, "\x1b\u202e") || strings.Contains(out, "\nb") {
		t.Errorf("a terminal would obey: %q", out)
	}
}
