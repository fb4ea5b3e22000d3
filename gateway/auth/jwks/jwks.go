// Package jwks takes the public keys of an issuer from one fixed https URL and hands them to auth.Keys. The URL comes
// from configuration, never from a token; redirects, private addresses and large answers are refused; an unknown kid
// can hurry a fetch along, but not more often than MinInterval. Each issuer has one goroutine, which Close waits for.
// Start with New.
package jwks

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"carillon/gateway/auth"
)

// Bounds of fetching.
const (
	DefaultInterval = 10 * time.Minute // between fetches
	MinInterval     = 10 * time.Second // between fetches, whoever asks
	MaxInterval     = 24 * time.Hour
	DefaultStale    = 24 * time.Hour // how long keys are trusted that cannot be fetched any more
	Timeout         = 5 * time.Second
	MaxBody         = 256 << 10 // bytes
	maxHeader       = 16 << 10  // bytes
	maxURL          = 2 << 10   // bytes
)

// Options of a Follower. The zero value is for production.
type Options struct {
	Interval time.Duration // between fetches, MinInterval to MaxInterval; 0: DefaultInterval
	Stale    time.Duration // keys older than this are dropped; 0: DefaultStale
	// AllowPrivate takes URLs at private and loopback addresses: for a provider in one's own network, development
	// and tests. Link-local addresses, where clouds keep credentials, stay refused.
	AllowPrivate bool
	AllowHTTP    bool              // takes http URLs, which anybody on the way can change: for development and tests
	Roots        *x509.CertPool    // certificate authorities; nil: those of the system
	Report       func(State)       // hears of each fetch; it must not block and must not call the Follower; may be nil
	Transport    http.RoundTripper // instead of one that checks addresses: for tests; may be nil
}

// State is how the keys of one issuer stand.
type State struct {
	Issuer   string
	URL      string
	Keys     int
	Fetched  time.Time // last time that worked; zero: never
	Problem  string    // of the last fetch; empty: none
	Skipped  int       // keys in the last answer that are not for us: other algorithms, no kid, weak
	Fetches  uint64
	Failures uint64
}

// Follower keeps the keys of all issuers that have a URL up to date.
type Follower struct {
	o      Options
	client *http.Client
	wg     sync.WaitGroup

	mu      sync.Mutex
	sources map[string]*source // by issuer
	closed  bool
}

// New makes a Follower that follows nothing yet.
func New(o Options) (*Follower, error) {
	if o.Interval == 0 {
		o.Interval = DefaultInterval
	}
	if o.Stale == 0 {
		o.Stale = DefaultStale
	}
	if o.Interval < MinInterval || o.Interval > MaxInterval {
		return nil, fmt.Errorf("keys are fetched every %s to %s", MinInterval, MaxInterval)
	}
	if o.Stale < o.Interval {
		return nil, errors.New("keys must not become stale before they are fetched anew")
	}
	return &Follower{o: o, client: newClient(o), sources: map[string]*source{}}, nil
}

// Check tells whether a URL could be followed, by its form alone.
func (f *Follower) Check(raw string) error {
	u, err := url.Parse(raw)
	if err != nil || len(raw) > maxURL {
		return errors.New("the JWKS URL cannot be read")
	}
	switch {
	case u.Scheme != "https" && (u.Scheme != "http" || !f.o.AllowHTTP):
		return errors.New("the JWKS URL must begin with https://")
	case u.Hostname() == "":
		return errors.New("the JWKS URL has no host")
	case u.User != nil:
		return errors.New("the JWKS URL must not hold a password")
	case u.Fragment != "" || strings.Contains(raw, "#"):
		return errors.New("the JWKS URL has a fragment, which no server would see")
	}
	return checkHost(u.Hostname(), f.o.AllowPrivate)
}

// Follow fetches from the URLs of these issuers from now on and hands what it gets to keys.SetRemote; it stops what it
// followed before and is not among them. It returns at once. Call it after keys.Update with the same issuers.
func (f *Follower) Follow(keys *auth.Keys, issuers []auth.Issuer) error {
	for _, is := range issuers {
		if is.JWKS == "" {
			continue
		}
		if err := f.Check(is.JWKS); err != nil {
			return fmt.Errorf("issuer %q: %w", is.Name, err)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return errors.New("the follower of keys is closed")
	}
	for name, s := range f.sources {
		if !slices.ContainsFunc(issuers, func(is auth.Issuer) bool { return is.Name == name && is.JWKS == s.url }) {
			s.cancel()
			delete(f.sources, name)
		}
	}
	for _, is := range issuers {
		if is.JWKS != "" && f.sources[is.Name] == nil {
			f.sources[is.Name] = f.start(keys, is)
		}
	}
	return nil
}

func (f *Follower) start(keys *auth.Keys, is auth.Issuer) *source {
	ctx, cancel := context.WithCancel(context.Background())
	s := &source{
		o: f.o, client: f.client, issuer: is.Name, url: is.JWKS, cancel: cancel,
		deliver: func(ks []auth.Key) error { return keys.SetRemote(is.Name, is.JWKS, ks) },
		hint:    make(chan struct{}, 1), fetched: make(chan struct{}),
		state: State{Issuer: is.Name, URL: is.JWKS},
	}
	f.wg.Go(func() { s.run(ctx) })
	return s
}

// Hint is for auth.Options.Unknown: somebody showed a kid that the issuer is not known to have. It never waits; true
// means that the keys will have been asked for within MinInterval.
func (f *Follower) Hint(issuer string) bool {
	f.mu.Lock()
	s := f.sources[issuer]
	f.mu.Unlock()
	if s == nil {
		return false
	}
	return s.ask()
}

// Wait returns when every issuer was asked once, successfully or not, or ctx ends.
func (f *Follower) Wait(ctx context.Context) error {
	f.mu.Lock()
	var all []*source
	for _, s := range f.sources {
		all = append(all, s)
	}
	f.mu.Unlock()
	for _, s := range all {
		select {
		case <-s.fetched:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// States tells of every issuer with a URL, in the order of their names.
func (f *Follower) States() []State {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []State
	for _, s := range f.sources {
		all = append(all, s.now())
	}
	slices.SortFunc(all, func(a, b State) int { return strings.Compare(a.Issuer, b.Issuer) })
	return all
}

// Close stops fetching and waits until nothing of it is left.
func (f *Follower) Close() {
	f.mu.Lock()
	f.closed = true
	for _, s := range f.sources {
		s.cancel()
	}
	clear(f.sources)
	f.mu.Unlock()
	f.wg.Wait()
	f.client.CloseIdleConnections()
}
