package channel

import (
	"regexp"
	"testing"
)

var nameRule = regexp.MustCompile(`\A[A-Za-z0-9_.:@-]{1,128}\z`)

// FuzzName: exactly the names of the documented alphabet are names, and taking them apart loses nothing.
func FuzzName(f *testing.F) {
	for _, s := range []string{"", "chat:lobby", "scores:nba:lakers", "chat:lobby@presence", "@", "a@", "@a@b", ":", "сhat", "a b", "a\x00", "*", "../x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := ParseName(s)
		if (err == nil) != nameRule.MatchString(s) {
			t.Fatalf("%q: %v", s, err)
		}
		if err != nil {
			return
		}
		base, part := n.Part()
		if whole := string(base) + "@" + part; string(n) != s || whole != s && (part != "" || string(base) != s) {
			t.Fatalf("%q is %q and %q", s, base, part)
		}
		if shard := n.Shard(64); shard < 0 || shard >= 64 {
			t.Fatalf("%q is in shard %d of 64", s, shard)
		}
	})
}

// FuzzPosition: one text for one position, whatever comes from outside.
func FuzzPosition(f *testing.F) {
	for _, p := range []Position{{}, {Epoch: 1}, {Epoch: 1, Offset: 255, Tag: 1 << 63}, {Epoch: ^uint64(0), Offset: ^uint64(0), Tag: ^uint64(0)}} {
		f.Add(p.String(), p.Epoch, p.Offset, p.Tag)
	}
	f.Add("not a position", uint64(0), uint64(0), uint64(0))
	f.Add("0000000000000000000\r0000", uint64(1), uint64(1), uint64(1))
	f.Fuzz(func(t *testing.T, s string, epoch, offset, tag uint64) {
		if p, err := ParsePosition(s); err == nil && s != "" && p.String() != s {
			t.Fatalf("%q is read as %+v, which is %q", s, p, p.String())
		}
		want := Position{Epoch: epoch, Offset: offset, Tag: tag}
		if epoch == 0 {
			return
		}
		if got, err := ParsePosition(want.String()); err != nil || got != want {
			t.Fatalf("%+v became %+v, %v", want, got, err)
		}
	})
}
