package auth

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"carillon/channel"
)

func identity(t testing.TB, user string, caps ...Capability) *Identity {
	t.Helper()
	id, err := NewIdentity(user, caps, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func allow(can string, channels ...string) Capability {
	return Capability{Channels: channels, Can: strings.Fields(can)}
}

func deny(can string, channels ...string) Capability {
	return Capability{Channels: channels, Can: strings.Fields(can), Deny: true}
}

// TestP09Decisions is a table that a person can check.
func TestP09Decisions(t *testing.T) {
	ann := identity(t, "ann",
		allow("subscribe history publish", "chat:*"), deny("", "chat:secret", "chat:admin:*"), deny("publish", "chat:news"),
		allow("*", "docs:plan"), allow("subscribe", "user:bob"), allow("presence", "game:*"))
	everything := identity(t, "root@example.org", allow("*", "*"))
	muted := identity(t, "m", deny("", "user:m"))
	for _, c := range []struct {
		who  *Identity
		can  Action
		name channel.Name
		want bool
	}{
		{ann, Subscribe, "chat:lobby", true},
		{ann, Publish, "chat:lobby", true},
		{ann, Presence, "chat:lobby", false},
		{ann, Command, "chat:lobby", false},
		{ann, Subscribe, "chat:secret", false},
		{ann, History, "chat:secret", false},
		{ann, Subscribe, "chat:secret2", true},
		{ann, Subscribe, "chat:admin:1", false},
		{ann, Subscribe, "chat:news", true},
		{ann, Publish, "chat:news", false},
		{ann, Subscribe | Publish, "chat:news", false},
		{ann, Subscribe | History, "chat:news", true},
		{ann, Subscribe, "chatter", false},
		{ann, Subscribe, "Chat:lobby", false},
		{ann, Command, "docs:plan", true},
		{ann, Command, "docs:plan2", false},
		{ann, Subscribe, "docs:plan@presence", true},
		{ann, Publish, "docs:plan@presence", false},
		{ann, Command, "docs:plan@presence", false},
		{ann, Subscribe, "chat:lobby@presence", false},
		{ann, Subscribe, "game:1@watchers", true},
		{ann, Subscribe, "game:1", false},
		{ann, Subscribe, "docs:plan@a@b", false},
		{ann, Subscribe, "docs:plan@", false},
		{ann, Subscribe, "user:ann", true},
		{ann, History, "user:ann", true},
		{ann, Publish, "user:ann", false},
		{ann, Subscribe, "user:bob", true},
		{ann, Subscribe, "user:bob2", false},
		{ann, Subscribe, "", false},
		{ann, 0, "chat:lobby", false},
		{ann, 1 << 7, "chat:lobby", false},
		{everything, Publish, "x", true},
		{everything, Publish, "@sys", false},
		{everything, Subscribe, "@all", false},
		{everything, Subscribe, "user:ann", false},
		{everything, Publish, "user:ann", false},
		{everything, Subscribe, "user:ann@presence", false},
		{everything, Subscribe, "user:root:40example.org", true},
		{everything, Subscribe, "user:root@example.org", false},
		{muted, Subscribe, "user:m", false},
		{nil, Subscribe, "chat:lobby", false},
	} {
		if got := Decide(c.who, c.can, c.name) == nil; got != c.want {
			t.Errorf("%v may %v in %s: %v, want %v", c.who, c.can, c.name, got, c.want)
		}
	}
}

// mayPlainly is Decide said in another way: over sets of actions, from the text of the patterns.
func mayPlainly(user string, caps []Capability, a Action, n string) bool {
	base, part, isPart := strings.Cut(n, "@")
	if isPart {
		if base == "" || part == "" || strings.Contains(part, "@") || a == Publish || a == Command {
			return false
		}
		a, n = Presence, base
	}
	fits := func(c Capability, private bool) bool {
		return slices.ContainsFunc(c.Channels, func(p string) bool {
			if private && !strings.HasPrefix(p, "user:") {
				return false
			}
			if begin, star := strings.CutSuffix(p, "*"); star {
				return len(n) >= len(begin) && n[:len(begin)] == begin
			}
			return p == n
		})
	}
	names := func(c Capability) bool {
		name := map[Action]string{Subscribe: "subscribe", Publish: "publish", History: "history", Presence: "presence", Command: "command"}[a]
		return slices.Contains(c.Can, name) || slices.Contains(c.Can, "*") || c.Deny && len(c.Can) == 0
	}
	private := strings.HasPrefix(n, "user:")
	ok := n == "user:"+user && (a == Subscribe || a == History)
	for _, c := range caps {
		if c.Deny && names(c) && fits(c, false) {
			return false
		}
		ok = ok || !c.Deny && names(c) && fits(c, private)
	}
	return ok
}

// TestP09Matrix: overlapping patterns in any order, every action by itself, parts and private channels: Decide is the
// plain reading of the capabilities, and a ceiling only takes away.
func TestP09Matrix(t *testing.T) {
	piece := rapid.SampledFrom([]string{"a", "b", "a:", "user:", "u1", "u2", "@", "p", ":"})
	name := rapid.Custom(func(t *rapid.T) string { return strings.Join(rapid.SliceOfN(piece, 1, 4).Draw(t, "pieces"), "") })
	pattern := rapid.Custom(func(t *rapid.T) string {
		if rapid.IntRange(0, 5).Draw(t, "kind") == 0 {
			return "*"
		}
		return name.Draw(t, "name") + rapid.SampledFrom([]string{"", "*"}).Draw(t, "star")
	})
	capability := rapid.Custom(func(t *rapid.T) Capability {
		return Capability{
			Channels: rapid.SliceOfN(pattern, 0, 3).Draw(t, "channels"),
			Can:      rapid.SliceOfN(rapid.SampledFrom(Actions()), 0, 3).Draw(t, "can"),
			Deny:     rapid.IntRange(0, 3).Draw(t, "deny") == 0,
		}
	})
	granted, denied := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		caps := rapid.SliceOfN(capability, 0, 5).Draw(t, "caps")
		ceiling := rapid.SliceOfN(capability, 0, 5).Draw(t, "ceiling")
		id, err := NewIdentity("u1", caps, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		lower, _ := NewIdentity("u1", caps, time.Time{})
		if lower.ceiling, err = compile(ceiling); err != nil {
			t.Fatal(err)
		}
		if lower.ceiling == nil {
			lower.ceiling = []rule{}
		}
		n := name.Draw(t, "channel")
		for _, a := range []Action{Subscribe, Publish, History, Presence, Command} {
			want := mayPlainly("u1", caps, a, n)
			if got := Decide(id, a, channel.Name(n)) == nil; got != want {
				t.Fatalf("%v in %q with %+v: %v, want %v", a, n, caps, got, want)
			}
			below := want && mayPlainly("u1", ceiling, a, n)
			if got := Decide(lower, a, channel.Name(n)) == nil; got != below {
				t.Fatalf("%v in %q with %+v under %+v: %v, want %v", a, n, caps, ceiling, got, below)
			}
			if want {
				granted++
			} else {
				denied++
			}
		}
	})
	if granted == 0 || denied == 0 {
		t.Errorf("the matrix saw %d grants and %d denials", granted, denied)
	}
}

// TestP10UserChannels: different users have different channels, all of which are names.
func TestP10UserChannels(t *testing.T) {
	for user, want := range map[string]channel.Name{
		"ann": "user:ann", "a.b-c_D9": "user:a.b-c_D9", "ann@example.org": "user:ann:40example.org", "a:b": "user:a:3ab", "a|1": "user:a:7c1",
	} {
		if got := UserChannel(user); got != want {
			t.Errorf("%s: %s, want %s", user, got, want)
		}
	}
	id := rapid.StringMatching(`[ -~]{1,128}`)
	rapid.Check(t, func(t *rapid.T) {
		a, b := id.Draw(t, "a"), id.Draw(t, "b")
		x, y := UserChannel(a), UserChannel(b)
		if (a == b) != (x == y) {
			t.Fatalf("%q and %q: %s and %s", a, b, x, y)
		}
		if _, err := channel.ParseName(string(x)); err != nil || strings.Contains(string(x), "@") {
			t.Fatalf("%q: %s is no name", a, x)
		}
		if validUser(a) {
			who, err := NewIdentity(a, nil, time.Time{})
			if err != nil || Decide(who, Subscribe, x) != nil || Decide(who, Publish, x) == nil {
				t.Fatalf("%q does not own %s: %v", a, x, err)
			}
			if a != b && y != "" && !errors.Is(Decide(who, Subscribe, y), ErrForbidden) {
				t.Fatalf("%q owns %s", a, y)
			}
		}
	})
}

func TestIdentityBounds(t *testing.T) {
	many := allow("subscribe")
	for range MaxRules + 1 {
		many.Channels = append(many.Channels, "a")
	}
	if _, err := NewIdentity("ann", []Capability{many}, time.Time{}); err == nil {
		t.Error("too many patterns")
	}
	for _, user := range []string{"", " ", "a b", "é", "@x", strings.Repeat("u", MaxUser+1), "a\x00"} {
		if _, err := NewIdentity(user, nil, time.Time{}); err == nil {
			t.Errorf("user %q was taken", user)
		}
	}
	for _, p := range []string{"", "**", "a**", "*a", "a b", "a/", strings.Repeat("c", channel.MaxName+1)} {
		if _, err := NewIdentity("ann", []Capability{allow("*", p)}, time.Time{}); err == nil {
			t.Errorf("pattern %q was taken", p)
		}
	}
}

func TestLimitsUnder(t *testing.T) {
	token := Limits{Connections: 2, Publish: 100}
	server := Limits{Connections: 5, Publish: 10, Channels: 128}
	if got := token.Under(server); got != (Limits{Connections: 2, Publish: 10, Channels: 128}) {
		t.Errorf("%+v", got)
	}
}
