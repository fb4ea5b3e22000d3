package auth

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// TestRevocations follows a user, a token and a connection from the decision to the end of the record.
func TestRevocations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var heard []Revocation
		rs := NewRevocations(nil, func(r Revocation) { heard = append(heard, r) })
		key, _ := freshKey(t, "", HS256)
		k := newKeys(t, Options{Revocations: rs}, Issuer{Name: "a", Audience: "here", Signer: key})
		mint := func(user, id string) string {
			token, err := k.Mint(Grant{User: user, ID: id, TTL: time.Hour})
			if err != nil {
				t.Fatal(err)
			}
			return token
		}
		first, second := mint("ann", "t1"), mint("bob", "t2")
		ann, _ := k.Verify(first)
		bob, _ := k.Verify(second)
		if rs.Revoked(ann, "c1") || rs.Revoked(bob, "") {
			t.Fatal("revoked before anything was")
		}
		time.Sleep(time.Second)

		byUser, err := rs.OfUser("ann", k.Longest())
		if err != nil {
			t.Fatal(err)
		}
		if rs.Revoked(ann, "") {
			t.Error("a decision is not a record yet")
		}
		for want := true; ; want = false { // the second time nothing is new
			if changed, err := rs.Apply(throughLog(t, byUser)); changed != want || err != nil {
				t.Fatal(changed, err)
			}
			if !want {
				break
			}
		}
		if len(heard) != 1 || !heard[0].Covers(ann, "") || heard[0].Covers(bob, "") {
			t.Errorf("heard %+v", heard)
		}
		if _, err := k.Verify(first); !errors.Is(err, ErrRevoked) || ReasonOf(err) != ReasonRevoked {
			t.Error(err)
		}
		if _, err := k.Verify(second); err != nil {
			t.Error(err)
		}
		if _, err := k.Verify(mint("ann", "t3")); !errors.Is(err, ErrRevoked) {
			t.Error("a token of the same second slips through")
		}
		time.Sleep(time.Second)
		if _, err := k.Verify(mint("ann", "t3")); err != nil {
			t.Error("a token of the next second:", err)
		}

		byToken, _ := rs.OfToken("a", "t2", k.Longest())
		elsewhere, _ := rs.OfToken("b", "t3", k.Longest())
		byConn, _ := rs.OfConn("c9", k.Longest())
		for _, r := range []Revocation{byToken, elsewhere, byConn} {
			if _, err := rs.Apply(r); err != nil {
				t.Fatal(err)
			}
		}
		fresh, err := k.Verify(mint("ann", "t3"))
		if err != nil {
			t.Fatal("a token id of another issuer counts:", err)
		}
		if !rs.Revoked(bob, "") || !byToken.Covers(bob, "") || elsewhere.Covers(fresh, "") ||
			!rs.Revoked(fresh, "c9") || !byConn.Covers(fresh, "c9") || rs.Revoked(fresh, "c8") || byConn.Covers(fresh, "") {
			t.Error("token or connection")
		}
		guest := identity(t, "guest")
		all, _ := rs.OfUser("guest", k.Longest())
		_, _ = rs.Apply(all)
		if !rs.Revoked(guest, "") {
			t.Error("an identity that does not say when it was issued escapes")
		}

		if rs.Len() != 5 {
			t.Error(rs.Len())
		}
		time.Sleep(k.Longest())
		if rs.Revoked(bob, "") || len(slices.Collect(rs.All())) != 0 {
			t.Error("in force after its end")
		}
		if rs.Forget(); rs.Len() != 0 {
			t.Error(rs.Len())
		}
		if changed, err := rs.Apply(byToken); changed || err != nil {
			t.Error("one that is over came into force", err)
		}
	})
}

func throughLog(t testing.TB, r Revocation) Revocation {
	t.Helper()
	body, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseRevocation(body)
	if err != nil || got.key() != r.key() || !got.At.Equal(r.At) || !got.Until.Equal(r.Until) {
		t.Fatalf("%s: %+v, %v", body, got, err)
	}
	if again, _ := got.Encode(); !bytes.Equal(body, again) {
		t.Fatalf("%s, then %s", body, again)
	}
	return got
}

// TestRevocationOfPermit: what revokes a subscription token or its user ends the subscription.
func TestRevocationOfPermit(t *testing.T) {
	rs := NewRevocations(atNoon, nil)
	key, _ := freshKey(t, "", HS256)
	k := newKeys(t, Options{Now: atNoon, Revocations: rs}, Issuer{Name: "a", Audience: "here", Signer: key})
	token, _ := k.MintSubscription(SubscriptionGrant{User: "ann", Channel: "room:7", ID: "s1"})
	connect, _ := k.Sign("ann", nil, time.Minute)
	p, err := k.VerifySubscription(token)
	if err != nil {
		t.Fatal(err)
	}
	ann, _ := k.Verify(connect)
	wider, _ := ann.With(p)
	r, _ := rs.OfToken("a", "s1", time.Hour)
	if _, err := rs.Apply(r); err != nil {
		t.Fatal(err)
	}
	if !rs.Revoked(wider, "") || rs.Revoked(ann, "") || !r.Covers(wider, "") || r.Covers(ann, "") {
		t.Error("the permit is not followed")
	}
	if _, err := k.VerifySubscription(token); !errors.Is(err, ErrRevoked) {
		t.Error(err)
	}
}

// TestRevocationLog: a log of revocations gives one state, in whatever order and however often it is read, on a node
// that lived through it and on one that was restarted.
func TestRevocationLog(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := noon
		clock := func() time.Time { return now }
		lived := NewRevocations(clock, nil)
		var log [][]byte
		for range rapid.IntRange(0, 30).Draw(t, "records") {
			now = now.Add(time.Duration(rapid.IntRange(0, 5000).Draw(t, "ms")) * time.Millisecond)
			name := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "name")
			r := Revocation{At: now.Add(-time.Duration(rapid.IntRange(0, 3000).Draw(t, "late")) * time.Millisecond)}
			r.Until = r.At.Add(20 * time.Second)
			switch rapid.IntRange(0, 2).Draw(t, "kind") {
			case 0:
				r.User = name
			case 1:
				r.Token, r.Issuer = name, rapid.SampledFrom([]string{"a", "b"}).Draw(t, "issuer")
			default:
				r.Conn = name
			}
			body, err := r.Encode()
			if err != nil {
				t.Fatal(err)
			}
			log = append(log, body)
			if _, err := lived.Apply(r); err != nil {
				t.Fatal(err)
			}
		}
		shuffled := append(slices.Clone(log), log[:len(log)/2]...)
		seed := rapid.Uint64().Draw(t, "seed")
		rand.New(rand.NewPCG(seed, 1)).Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		restarted := NewRevocations(clock, nil)
		for _, body := range shuffled {
			r, err := ParseRevocation(body)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := restarted.Apply(r); err != nil {
				t.Fatal(err)
			}
		}
		a, b := fmt.Sprint(slices.Collect(lived.All())), fmt.Sprint(slices.Collect(restarted.All()))
		if a != b {
			t.Fatalf("lived through: %s\nrestarted: %s", a, b)
		}
	})
}

func TestRevocationParse(t *testing.T) {
	good := `{"type":"revoke","user":"ann","at":1790000000000,"until":1790000100000`
	if _, err := ParseRevocation([]byte(good + `,"note":"of a later version"}`)); err != nil {
		t.Error(err)
	}
	for _, body := range []string{
		"", "null", "[]", "{}", good, `{"type":"announce"}`, good + `,"token":"t"}`, good + `,"conn":"c"}`,
		`{"type":"revoke","at":1,"until":2}`, `{"type":"revoke","token":"t","at":1,"until":2}`,
		`{"type":"revoke","user":"a b","at":1,"until":2}`, `{"type":"revoke","user":"a","at":2,"until":2}`,
		`{"type":"revoke","user":"a","at":1,"until":9223372036854775807}`, `{"type":"revoke","user":"a","at":-5,"until":2}`,
		`{"type":"revoke","user":"` + strings.Repeat("a", MaxRevocation) + `","at":1,"until":2}`,
	} {
		if r, err := ParseRevocation([]byte(body)); err == nil {
			t.Errorf("%s: %+v", body, r)
		}
	}
}

// TestRevocationBounds: decisions stop at the bound, records of other nodes find the room beyond it, and what does not
// fit is said.
func TestRevocationBounds(t *testing.T) {
	now := noon
	rs := NewRevocations(func() time.Time { return now }, nil)
	for i := range roomForRevocation {
		r := Revocation{Conn: fmt.Sprint(i), At: now, Until: now.Add(time.Minute)}
		if i == MaxRevocations {
			if _, err := rs.OfUser("ann", time.Hour); !errors.Is(err, ErrRevocations) {
				t.Fatal(err)
			}
		}
		if _, err := rs.Apply(r); err != nil {
			t.Fatal(i, err)
		}
	}
	more := Revocation{User: "ann", At: now, Until: now.Add(time.Minute)}
	if _, err := rs.Apply(more); !errors.Is(err, ErrRevocations) {
		t.Error(err)
	}
	if changed, err := rs.Apply(Revocation{Conn: "7", At: now, Until: now.Add(2 * time.Minute)}); !changed || err != nil {
		t.Error("a known one needs no room:", err)
	}
	now = now.Add(time.Minute)
	if _, err := rs.OfUser("ann", time.Hour); err != nil {
		t.Error("no room after they are over:", err)
	}
	if rs.Len() != 1 {
		t.Error(rs.Len())
	}
}

func TestRevokedAllocatesNothing(t *testing.T) {
	rs := NewRevocations(atNoon, nil)
	id := identity(t, "ann")
	id.TokenID, id.Issuer, id.Issued = "t1", "a", noon
	check := func() {
		if n := testing.AllocsPerRun(100, func() { rs.Revoked(id, "c1") }); n != 0 {
			t.Errorf("%v allocations", n)
		}
	}
	check()
	for i := range 1000 {
		_, _ = rs.Apply(Revocation{User: fmt.Sprint("u", i), At: noon, Until: noon.Add(time.Hour)})
	}
	check()
}

func FuzzParseRevocation(f *testing.F) {
	f.Add([]byte(`{"type":"revoke","user":"ann","at":1790000000000,"until":1790000100000}`))
	f.Add([]byte(`{"type":"revoke","token":"t","iss":"a","at":1,"until":2}`))
	f.Add([]byte(`{"type":"revoke","conn":"c","at":1,"until":2}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if r, err := ParseRevocation(body); err == nil {
			throughLog(t, r)
		}
	})
}
