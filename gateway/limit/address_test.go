package limit

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
)

var proxies = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8"), netip.MustParsePrefix("::ffff:172.16.0.0/108"),
}

// TestH10ClientAddress: nobody chooses the address under which he is limited.
func TestH10ClientAddress(t *testing.T) {
	long := strings.Repeat("203.0.113.5, ", 10000)
	for _, c := range []struct {
		what, remote string
		forwarded    []string
		want         string
	}{
		{"no proxy", "198.51.100.1:4711", nil, "198.51.100.1"},
		{"spoofed, no proxy", "198.51.100.1:4711", []string{"203.0.113.5"}, "198.51.100.1"},
		{"IPv6", "[2001:db8::1]:4711", nil, "2001:db8::1"},
		{"IPv4 in IPv6", "[::ffff:198.51.100.1]:4711", nil, "198.51.100.1"},
		{"zone", "[fe80::1%eth0]:4711", nil, "fe80::1"},
		{"no port", "198.51.100.1", nil, "198.51.100.1"},
		{"Unix socket", "@", []string{"203.0.113.5"}, "invalid IP"},
		{"nothing", "", nil, "invalid IP"},
		{"proxy without a header", "10.0.0.1:80", nil, "10.0.0.1"},
		{"proxy with an empty header", "10.0.0.1:80", []string{""}, "10.0.0.1"},
		{"one proxy", "10.0.0.1:80", []string{"198.51.100.1"}, "198.51.100.1"},
		{"spoofed before one proxy", "10.0.0.1:80", []string{"203.0.113.5, 198.51.100.1"}, "198.51.100.1"},
		{"two proxies", "10.0.0.1:80", []string{"203.0.113.5, 198.51.100.1, 10.0.0.2"}, "198.51.100.1"},
		{"proxy by a mapped prefix", "172.16.5.5:80", []string{"198.51.100.1"}, "198.51.100.1"},
		{"beside a mapped prefix", "172.32.5.5:80", []string{"198.51.100.1"}, "172.32.5.5"},
		{"mapped hop", "10.0.0.1:80", []string{"198.51.100.1, ::ffff:10.0.0.2"}, "198.51.100.1"},
		{"several lines", "10.0.0.1:80", []string{"203.0.113.5", "198.51.100.1 ,10.0.0.2", "\t10.0.0.3 "}, "198.51.100.1"},
		{"client with a port", "10.0.0.1:80", []string{"203.0.113.5, 198.51.100.1:1234"}, "198.51.100.1"},
		{"IPv6 client with a port", "[fd00::1]:80", []string{"[2001:db8::1]:1234"}, "2001:db8::1"},
		{"IPv6 client in brackets", "[fd00::1]:80", []string{"[2001:db8::1]"}, "2001:db8::1"},
		{"IPv6 client with a zone", "[fd00::1]:80", []string{"2001:db8::1%25eth0"}, "2001:db8::1"},
		{"all trusted", "10.0.0.1:80", []string{"10.9.9.9, 10.0.0.2"}, "10.9.9.9"},
		{"garbage next to the proxy", "10.0.0.1:80", []string{"198.51.100.1, unknown"}, "10.0.0.1"},
		{"garbage behind a proxy", "10.0.0.1:80", []string{"198.51.100.1, <script>, 10.0.0.2"}, "10.0.0.2"},
		{"empty entry", "10.0.0.1:80", []string{"198.51.100.1,,10.0.0.2"}, "10.0.0.2"},
		{"ten thousand entries", "10.0.0.1:80", []string{long + "198.51.100.1"}, "198.51.100.1"},
		{"ten thousand proxies", "10.0.0.1:80", []string{"198.51.100.1," + strings.Repeat("10.0.0.2,", 10000) + "10.0.0.3"}, "10.0.0.2"},
		{"ten thousand lines", "10.0.0.1:80", make([]string, 10000), "10.0.0.1"},
		{"one endless entry", "10.0.0.1:80", []string{strings.Repeat("1", 1<<20)}, "10.0.0.1"},
		{"bracket alone", "10.0.0.1:80", []string{"["}, "10.0.0.1"},
		{"closing bracket alone", "10.0.0.1:80", []string{"2001:db8::1]"}, "10.0.0.1"},
		{"octal", "10.0.0.1:80", []string{"010.1.1.1"}, "10.0.0.1"},
	} {
		header := http.Header{"X-Forwarded-For": c.forwarded, "X-Real-Ip": {"203.0.113.66"}, "Forwarded": {"for=203.0.113.67"}}
		if got := ClientIP(c.remote, header, proxies); got.String() != c.want {
			t.Errorf("%s: %v, want %s", c.what, got, c.want)
		}
	}
	hostile := http.Header{"X-Forwarded-For": {long}}
	if n := testing.AllocsPerRun(10, func() { ClientIP("10.0.0.1:80", hostile, proxies) }); n > 2 {
		t.Errorf("%v allocations", n)
	}
}

func TestGroup(t *testing.T) {
	for in, want := range map[string]string{
		"198.51.100.1": "198.51.100.1", "::ffff:198.51.100.1": "198.51.100.1",
		"2001:db8:1:2:3:4:5:6": "2001:db8:1:2::", "2001:db8:1:2::%eth0": "2001:db8:1:2::", "::1": "::",
	} {
		if got := Group(netip.MustParseAddr(in)); got.String() != want {
			t.Errorf("%s: %v, want %s", in, got, want)
		}
	}
	if Group(netip.Addr{}).IsValid() {
		t.Error("the zero address became one")
	}
}

// FuzzClientIP: whatever a client puts to the left of what its proxy writes changes nothing.
func FuzzClientIP(f *testing.F) {
	for _, s := range []string{"", "203.0.113.5", "10.0.0.1", "[::1]:1", "fe80::1%eth0", ",,,", "a, b", "\x00"} {
		f.Add(s)
	}
	want := netip.MustParseAddr("198.51.100.1")
	f.Fuzz(func(t *testing.T, s string) {
		for _, lines := range [][]string{{s + ", 198.51.100.1"}, {s, "198.51.100.1"}, {s + ",198.51.100.1,10.0.0.2"}} {
			if got := ClientIP("10.0.0.1:80", http.Header{"X-Forwarded-For": lines}, proxies); got != want {
				t.Fatalf("%q: %v", lines, got)
			}
		}
		got := ClientIP(s, http.Header{"X-Forwarded-For": {s}}, proxies)
		if got.Zone() != "" || got.Is4In6() {
			t.Fatalf("%q: %v", s, got)
		}
	})
}

func BenchmarkClientIP(b *testing.B) {
	header := http.Header{"X-Forwarded-For": {"203.0.113.5, 198.51.100.1, 10.0.0.2"}}
	for b.Loop() {
		ClientIP("10.0.0.1:80", header, proxies)
	}
}
