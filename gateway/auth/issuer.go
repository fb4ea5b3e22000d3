package auth

import (
	"errors"
	"fmt"
	"time"
)

// Bounds of issuers and of what they may say.
const (
	MaxIssuers      = 64                  // of one server
	MaxKeys         = 64                  // of one issuer, from configuration and URL together
	MaxLifetime     = 24 * time.Hour      // from now to exp
	MaxSession      = 30 * 24 * time.Hour // from now to session_exp
	DefaultSession  = 24 * time.Hour      // of Issuer.MaxSession
	MaxConnectToken = 5 * time.Minute     // of a token by MintConnect
	leeway          = 10 * time.Second    // between the clock of an issuer and ours
	maxNameClaim    = 256                 // bytes of iss and of aud
	maxAudiences    = 8                   // in a list
)

// LocalIssuer is iss and aud of the tokens that this server makes itself.
const LocalIssuer = "carillon"

// Issuer is somebody whose tokens are taken, and how far. Issuers share nothing: a kid means a key of its issuer alone.
type Issuer struct {
	Name     string // iss, compared byte by byte
	Audience string // aud must be this
	// AudienceList takes an aud that is a list of at most 8 with Audience among them, as some providers send it.
	// Without it a list is refused.
	AudienceList bool
	Keys         []Key
	JWKS         string // https URL from which package jwks takes more keys; empty: none
	// Signer is the key with which Mint signs; it verifies too and need not stand among Keys. At most one issuer has it.
	Signer      Key
	MaxLifetime time.Duration // from now to exp; 0: MaxLifetime
	MaxSession  time.Duration // from now to session_exp; 0: DefaultSession
	// UserPrefix is put before every sub, so that users of different issuers are different users.
	UserPrefix string
	Default    []Capability // of tokens without the claim caps; nil: those allow nothing
	Ceiling    []Capability // no token allows more than this, whatever it says; nil: no ceiling
}

// issuer is an Issuer that was checked.
type issuer struct {
	Issuer
	ceiling []rule
}

func newIssuer(in Issuer) (*issuer, error) {
	is := &issuer{Issuer: in}
	fail := func(err error) (*issuer, error) { return nil, fmt.Errorf("issuer %q: %w", in.Name, err) }
	if !printable(in.Name, maxNameClaim) {
		return nil, errors.New("the name of an issuer has 1 to 256 printable ASCII characters without spaces")
	}
	if !printable(in.Audience, maxNameClaim) {
		return fail(errors.New("it needs an audience of 1 to 256 printable ASCII characters without spaces"))
	}
	if in.UserPrefix != "" && (!printable(in.UserPrefix, MaxUser/2) || in.UserPrefix[0] == '@') {
		return fail(errors.New("a user prefix has at most 64 printable ASCII characters without spaces and does not begin with @"))
	}
	var err error
	if is.MaxLifetime, err = within("the lifetime of tokens", in.MaxLifetime, MaxLifetime, MaxLifetime); err != nil {
		return fail(err)
	}
	if is.MaxSession, err = within("the lifetime of sessions", in.MaxSession, DefaultSession, MaxSession); err != nil {
		return fail(err)
	}
	if _, err = compile(in.Default); err != nil {
		return fail(fmt.Errorf("default: %w", err))
	}
	if is.ceiling, err = compile(in.Ceiling); err != nil {
		return fail(fmt.Errorf("ceiling: %w", err))
	}
	if in.Ceiling != nil && is.ceiling == nil {
		is.ceiling = []rule{}
	}
	return is, nil
}

func within(what string, d, otherwise, most time.Duration) (time.Duration, error) {
	if d == 0 {
		return otherwise, nil
	}
	if d < time.Second || d > most {
		return 0, fmt.Errorf("%s is 1s to %s", what, most)
	}
	return d, nil
}

// keyName is how a key is found: kid alone would let one issuer speak for another.
type keyName struct{ issuer, id string }

// ring is an immutable set of issuers and keys; a change makes a new one.
type ring struct {
	issuers map[string]*issuer
	keys    map[keyName]*Key
	signer  *issuer // nil: nobody signs here
	longest time.Duration
}

func newRing(issuers []Issuer, remote map[string][]Key) (*ring, error) {
	if len(issuers) == 0 {
		return nil, errors.New("there is no issuer of tokens: nobody could connect")
	}
	if len(issuers) > MaxIssuers {
		return nil, fmt.Errorf("there are %d issuers of tokens; %d are the most", len(issuers), MaxIssuers)
	}
	r := &ring{issuers: map[string]*issuer{}, keys: map[keyName]*Key{}}
	for _, in := range issuers {
		is, err := newIssuer(in)
		if err != nil {
			return nil, err
		}
		if r.issuers[is.Name] != nil {
			return nil, fmt.Errorf("issuer %q stands there twice", is.Name)
		}
		r.issuers[is.Name] = is
		if err := r.add(is, remote[is.Name]); err != nil {
			return nil, fmt.Errorf("issuer %q: %w", is.Name, err)
		}
		r.longest = max(r.longest, is.MaxLifetime+is.MaxSession+2*leeway)
	}
	return r, nil
}

func (r *ring) add(is *issuer, remote []Key) error {
	for _, k := range is.Keys {
		if err := r.addKey(is, k); err != nil {
			return err
		}
	}
	if is.Signer.alg != "" {
		if !is.Signer.Signs() {
			return fmt.Errorf("%v is a public key and cannot sign", is.Signer)
		}
		if r.signer != nil {
			return fmt.Errorf("issuer %q signs already; only one may", r.signer.Name)
		}
		r.signer = is
		if have := r.keys[keyName{is.Name, is.Signer.id}]; have == nil || have.thumb != is.Signer.thumb {
			if err := r.addKey(is, is.Signer); err != nil {
				return err
			}
		}
	}
	for _, k := range remote {
		if k.alg == HS256 {
			return errors.New("a secret from a URL is no secret")
		}
		if err := r.addKey(is, k); err != nil {
			return err
		}
	}
	n := 0
	for name := range r.keys {
		if name.issuer == is.Name {
			n++
		}
	}
	if n == 0 && is.JWKS == "" {
		return errors.New("it has neither a key nor a URL to take keys from")
	}
	if n > MaxKeys {
		return fmt.Errorf("it has %d keys; %d are the most", n, MaxKeys)
	}
	return nil
}

func (r *ring) addKey(is *issuer, k Key) error {
	if k.alg == "" {
		return errors.New("one of its keys is empty")
	}
	name := keyName{is.Name, k.id}
	if r.keys[name] != nil {
		return fmt.Errorf("two of its keys have the id %q: give each its own", k.id)
	}
	r.keys[name] = &k
	return nil
}
