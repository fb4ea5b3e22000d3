package channel

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestOwn(t *testing.T) {
	for user, want := range map[string]Name{
		"ann":                    "user:ann",
		"ann@example.org":        "user:ann:40example.org",
		"a:b":                    "user:a:3ab",
		"a|b":                    "user:a:7cb",
		strings.Repeat("x", 123): Name("user:" + strings.Repeat("x", 123)),
		strings.Repeat("|", 100): "", // a hash
	} {
		got := Own(user)
		if _, err := ParseName(string(got)); err != nil {
			t.Errorf("%s: %q is no name", user, got)
		}
		if len(user) < 100 && got != want {
			t.Errorf("%s: %s, want %s", user, got, want)
		}
	}
}

func TestOwnIsOnesOwn(t *testing.T) {
	user := rapid.StringMatching(`[!-~]{1,128}`)
	rapid.Check(t, func(t *rapid.T) {
		a, b := user.Draw(t, "a"), user.Draw(t, "b")
		if a != b && Own(a) == Own(b) {
			t.Fatalf("%q and %q share %s", a, b, Own(a))
		}
		if n := Own(a); n.Namespace() != "user" {
			t.Fatalf("%q owns %s", a, n)
		}
	})
}
