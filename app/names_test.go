package app

import (
	"strings"
	"testing"

	"carillon/channel"
)

func TestValidUser(t *testing.T) {
	for user, want := range map[string]bool{
		"ann": true, "e@f": true, "~": true, "!": true, strings.Repeat("x", MaxUser): true,
		"": false, "@ann": false, "an n": false, "ann\n": false, "é": false, "\x7f": false, strings.Repeat("x", MaxUser+1): false,
	} {
		if got := ValidUser(user); got != want {
			t.Errorf("%q can be a user: %v", user, got)
		}
	}
}

// TestChannelOf: every user has a channel whose name is one, and what the documents say it is.
func TestChannelOf(t *testing.T) {
	long := strings.Repeat("x", MaxUser)
	for user, want := range map[string]channel.Name{
		"ann": "a:b:ann", "A_z.0-9": "a:b:A_z.0-9", "ann@example.org": "a:b:ann:40example.org", ":~": "a:b::3a:7e",
		long[:124]: channel.Name("a:b:" + long[:124]), long[:125]: channel.Name("a:b:" + Digest(long[:125])),
	} {
		got := ChannelOf("a:b:", user)
		if _, err := channel.ParseName(string(got)); err != nil || got != want {
			t.Errorf("the channel of %q is %q, want %q", user, got, want)
		}
	}
	if got := Digest("abc"); got != ":ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0" {
		t.Errorf("the digest of abc is %s", got)
	}
}

// TestSystemUsers: what a machine is told by itself, by another and of presence is told apart.
func TestSystemUsers(t *testing.T) {
	for _, c := range []struct {
		user  string
		timer bool
		from  channel.Name
		sent  bool
	}{
		{"@a:b", true, "a:b", true}, {"@a:c", false, "a:c", true}, {PresenceUser, false, "presence", false},
		{"a:b", false, "a:b", false}, {"ann", false, "ann", false}, {"", false, "", false},
	} {
		cmd := channel.Command{Channel: "a:b", User: c.user}
		from, sent := SentBy(cmd)
		if IsTimer(cmd) != c.timer || sent != c.sent || sent && from != c.from {
			t.Errorf("%q: timer %v, sent %v by %q", c.user, IsTimer(cmd), sent, from)
		}
	}
}
