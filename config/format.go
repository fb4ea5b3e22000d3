package config

import (
	"errors"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"carillon/channel"
)

// formats are what is asked of texts beyond their type. No error repeats the text.
var formats = map[string]func(string) error{
	"actions": checkAction,
	"address": checkAddress,
	"cidr":    checkNetwork,
	"https":   checkHTTPS,
	"keys":    checkKeys,
	"origin":  checkOrigin,
	"path":    checkPath,

	"postgres": checkPostgres,
	"prefix":   checkPrefix,
	"redis":    checkRedis,
	"roles":    checkRole,
	"word":     checkWord,
}

// formatNames are what people call them, in place of "text" or "texts".
var formatNames = map[string]string{
	"actions": "actions", "address": "HOST:PORT", "cidr": "networks", "https": "https address", "origin": "origins", "path": "path",
	"redis": "redis address", "roles": "roles",
}

func checkWord(s string) error {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return errors.New("holds something else than printable ASCII without spaces")
		}
	}
	return nil
}

func checkPrefix(s string) error {
	if strings.HasPrefix(s, "@") {
		return errors.New("begins with @, which is kept for the server itself")
	}
	return checkWord(s)
}

func checkAction(s string) error {
	switch s {
	case "subscribe", "publish", "history", "presence", "command", "*":
		return nil
	}
	return errors.New("is no action; those are subscribe, publish, history, presence, command and *")
}

func checkAddress(s string) error {
	host, port, ok := cutPort(s)
	if !ok {
		return errors.New("is no address: write HOST:PORT, such as 127.0.0.1:8000, or :8000 for every address")
	}
	if strings.ContainsAny(host, " /@,") {
		return errors.New("has a host that is neither a name nor an address")
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(n, 10) != port {
		return errors.New("has no port between 0 and 65535 behind its last colon")
	}
	return nil
}

// cutPort takes HOST:PORT apart; an IPv6 host stands in brackets.
func cutPort(s string) (host, port string, ok bool) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return "", "", false
	}
	host, port = s[:i], s[i+1:]
	inner, opened := strings.CutPrefix(host, "[")
	inner, closed := strings.CutSuffix(inner, "]")
	if opened != closed || !opened && strings.Contains(host, ":") {
		return "", "", false
	}
	return inner, port, true
}

// isLoopback tells addresses that only this machine reaches.
func isLoopback(address string) bool {
	host, _, _ := cutPort(address)
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

func checkNetwork(s string) error {
	if _, err := netip.ParseAddr(s); err == nil && !strings.Contains(s, "%") {
		return nil
	}
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		return errors.New("is no network: write 10.0.0.0/8, fd00::/8 or one address")
	case p.Masked() != p:
		return errors.New("has bits behind its length: write " + p.Masked().String())
	case p.Bits() == 0:
		return errors.New("is the whole internet: anybody could claim any address")
	}
	return nil
}

// Networks are the trusted proxies, ready to be compared; a single address is a network of its own.
func (c *Config) Networks() (ns []netip.Prefix) {
	for _, s := range c.TrustedProxies {
		if ip, err := netip.ParseAddr(s); err == nil {
			ns = append(ns, netip.PrefixFrom(ip, ip.BitLen()))
		} else if p, err := netip.ParsePrefix(s); err == nil {
			ns = append(ns, p)
		}
	}
	return ns
}

// checkOrigin asks for what browsers send: small letters, no path, no default port.
func checkOrigin(s string) error {
	if s == "*" {
		return nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil {
		return errors.New("is no origin: write https://example.org, with the port if it is not the usual one, or * alone")
	}
	if u.Path != "" || u.RawQuery != "" || u.Fragment != "" || s != strings.ToLower(u.Scheme+"://"+u.Host) || strings.Contains(u.Host, "*") {
		return errors.New("is more than an origin: write scheme://host[:port] in small letters, without a path or a slash at the end")
	}
	if p := u.Port(); p == "443" && u.Scheme == "https" || p == "80" && u.Scheme == "http" || strings.HasSuffix(u.Host, ":") {
		return errors.New("names the usual port, which browsers leave out: leave it out here too")
	}
	return nil
}

func checkHTTPS(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.Fragment != "" {
		return errors.New("is no address of the form https://host/path")
	}
	if u.User != nil {
		return errors.New("holds a user or a password: a public set of keys needs none")
	}
	return nil
}

func checkPath(s string) error {
	if strings.ContainsRune(s, 0) {
		return errors.New("holds a zero byte")
	}
	return nil
}

// checkNamespace asks for what stands before the colon of a channel's name, or NAME@part.
func checkNamespace(name string) error {
	n, err := channel.ParseName(name)
	if err != nil || n.Namespace() != name {
		return errors.New("is no namespace: it is what stands before the colon, chat for chat:lobby, of A-Z a-z 0-9 _ . @ -")
	}
	return nil
}
