package limit

import (
	"net/http"
	"net/netip"
	"strings"
)

// Bounds of what is read of X-Forwarded-For, from the right.
const (
	maxHops    = 16 // entries
	maxHopText = 64 // bytes of an entry; the longest address with a port has 53
)

// Group is the key under which an address is limited: IPv4 as it is, also when written as IPv6; IPv6 by its /64, which
// is what one customer gets at least; without a zone.
func Group(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		p, _ := a.Prefix(64) // 64 bits fit any IPv6 address
		return p.Addr()
	}
	return a
}

// ClientIP tells whose address counts: that of the socket (remote, "host:port"), unless it belongs to a trusted proxy.
// Then X-Forwarded-For is read from its right end, where trusted proxies write, and the first address that is none of
// theirs is the client. An entry that is no address ends the search at the proxy that passed it on; so do 16 entries. If
// all are trusted, the left-most is the client. What stands further left was sent by the client and is never believed.
//
// Forwarded (RFC 7239) and X-Real-IP are not read: a proxy that sets one header passes the others through unseen, and
// then the client chooses its own address.
//
// The result has no zone and is never IPv4 in IPv6. It is the zero Addr where remote is no address, as on a Unix socket:
// all of those count as one.
func ClientIP(remote string, header http.Header, trusted []netip.Prefix) netip.Addr {
	at, ok := parseHop(remote)
	if !ok || !isTrusted(at, trusted) {
		return at
	}
	lines := header["X-Forwarded-For"]
	hops := 0
	for i := len(lines) - 1; i >= 0; i-- {
		line := lines[i]
		for more := true; more; hops++ {
			var entry string
			if entry, line, more = lastEntry(line); len(entry) > maxHopText || hops == maxHops {
				return at
			}
			hop, ok := parseHop(entry)
			if !ok {
				return at
			}
			if at = hop; !isTrusted(hop, trusted) {
				return at
			}
		}
	}
	return at
}

// lastEntry cuts the last entry off a list; more says that something is left before it.
func lastEntry(line string) (entry, rest string, more bool) {
	i := strings.LastIndexByte(line, ',')
	if i < 0 {
		return strings.Trim(line, " \t"), "", false
	}
	return strings.Trim(line[i+1:], " \t"), line[:i], true
}

// parseHop reads an address with or without port, in brackets or not.
func parseHop(s string) (netip.Addr, bool) {
	inner, bracket := strings.CutPrefix(s, "[")
	if strings.Count(s, ":") == 1 || bracket && !strings.HasSuffix(s, "]") {
		ap, err := netip.ParseAddrPort(s)
		return plain(ap.Addr()), err == nil
	}
	if bracket {
		s = strings.TrimSuffix(inner, "]")
	}
	a, err := netip.ParseAddr(s)
	return plain(a), err == nil && (!bracket || a.Is6())
}

func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

func isTrusted(a netip.Addr, trusted []netip.Prefix) bool {
	for _, p := range trusted {
		if p.Addr().Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		if p.Contains(a) {
			return true
		}
	}
	return false
}
