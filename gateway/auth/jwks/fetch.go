package jwks

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"

	"carillon/gateway/auth"
)

var (
	errRedirect = errors.New("the JWKS URL redirects; configure the address it leads to")
	errAddress  = errors.New("the JWKS URL leads to a private or reserved address")
)

// newClient makes a client that goes to one place and nowhere else: no proxy, no redirect, no cookie, no connection
// kept open.
func newClient(o Options) *http.Client {
	transport := o.Transport
	if transport == nil {
		dialer := &net.Dialer{Timeout: Timeout, KeepAlive: -1, Control: guard(o.AllowPrivate)}
		transport = &http.Transport{
			DialContext:            dialer.DialContext,
			TLSClientConfig:        &tls.Config{RootCAs: o.Roots, MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:    Timeout,
			ResponseHeaderTimeout:  Timeout,
			MaxResponseHeaderBytes: maxHeader,
			DisableKeepAlives:      true,
			DisableCompression:     true, // the bound holds for what is read
			ForceAttemptHTTP2:      false,
		}
	}
	return &http.Client{
		Transport:     transport,
		Timeout:       Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return errRedirect },
	}
}

// guard judges each address right before it is dialled, after names were resolved: a name cannot mean another address
// then.
func guard(private bool) func(network, address string, _ syscall.RawConn) error {
	return func(_, address string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(address)
		if err != nil || !reachable(at.Addr(), private) {
			return errAddress
		}
		return nil
	}
}

// reserved are ranges that no public server has and the methods of netip.Addr do not know.
var reserved = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"), // shared by providers, RFC 6598
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"),
	netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("64:ff9b::/96"), // leads to IPv4, RFC 6052
	netip.MustParsePrefix("64:ff9b:1::/48"),
	netip.MustParsePrefix("2001::/23"),
	netip.MustParsePrefix("2001:db8::/32"),
	netip.MustParsePrefix("2002::/16"), // leads to IPv4, RFC 3056
	netip.MustParsePrefix("fec0::/10"),
}

func reachable(a netip.Addr, private bool) bool {
	a = a.Unmap().WithZone("")
	if a.IsLoopback() || a.IsPrivate() {
		return private
	}
	if !a.IsGlobalUnicast() { // unspecified, multicast, link-local, broadcast
		return false
	}
	for _, p := range reserved {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// checkHost refuses early what guard would refuse at every fetch.
func checkHost(host string, private bool) error {
	if a, err := netip.ParseAddr(host); err == nil && !reachable(a, private) {
		return errAddress
	}
	if h := strings.TrimSuffix(strings.ToLower(host), "."); !private && (h == "localhost" || strings.HasSuffix(h, ".localhost")) {
		return errAddress
	}
	return nil
}

func fetch(ctx context.Context, client *http.Client, address string) (keys []auth.Key, skipped int, err error) {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, 0, errors.New("the JWKS URL cannot be read")
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	req.Header.Set("User-Agent", "carillon")
	res, err := client.Do(req)
	if err != nil {
		return nil, 0, asProblem(err)
	}
	defer func() { _ = res.Body.Close() }() // it was only read
	if res.StatusCode != http.StatusOK {
		return nil, 0, fmt.Errorf("the JWKS URL answers with status %d", res.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, MaxBody+1))
	if err != nil {
		return nil, 0, asProblem(err)
	}
	if len(body) > MaxBody {
		return nil, 0, fmt.Errorf("the JWKS URL answers with more than %d bytes", MaxBody)
	}
	return parse(body)
}

// asProblem keeps what an operator can use: the URL is known, and could hold a secret in its query.
func asProblem(err error) error {
	var u *url.Error
	switch {
	case errors.Is(err, errRedirect):
		return errRedirect
	case errors.Is(err, errAddress):
		return errAddress
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("the JWKS URL does not answer within %s", Timeout.Round(time.Second))
	case errors.As(err, &u):
		err = u.Err
	}
	return fmt.Errorf("the JWKS URL cannot be fetched: %w", err)
}
