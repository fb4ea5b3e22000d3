package auth

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of tokens.
const (
	MaxToken   = 4 << 10 // bytes
	MaxTokenID = 128     // bytes of jti
)

// Options of Keys.
type Options struct {
	Now         func() time.Time         // nil: time.Now
	Unknown     func(issuer string) bool // asks the JWKS URL of an issuer for keys anew, without waiting; true: it is being asked
	Revocations *Revocations             // refuses what was revoked; nil: nothing is
}

// Keys verifies tokens of several issuers, and makes those of the one that signs here. It is safe for use by many
// goroutines; a change of the keys is one atomic step, and a token is judged by the keys before it or after it.
type Keys struct {
	o       Options
	ring    atomic.Pointer[ring]
	header  atomic.Pointer[header]  // of the last token that was good
	granted atomic.Pointer[granted] // by the last token that was good

	mu      sync.Mutex
	issuers []Issuer
	remote  map[string][]Key // by issuer, from its URL
}

// New makes Keys for issuers. It refuses what Verify could not trust: see Issuer and Key.
func New(issuers []Issuer, o Options) (*Keys, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	k := &Keys{o: o, remote: map[string][]Key{}}
	return k, k.Update(issuers)
}

// NewKeys is New for one HS256 secret: the tokens name LocalIssuer as iss and aud and no kid, and Mint makes them.
func NewKeys(secret []byte, now func() time.Time) (*Keys, error) {
	key, err := SecretKey("", secret)
	if err != nil {
		return nil, err
	}
	return New([]Issuer{{Name: LocalIssuer, Audience: LocalIssuer, Signer: key}}, Options{Now: now})
}

// Update replaces all issuers and their keys at once, or nothing where it returns an error. Keys that came from a URL
// stay as long as the issuer keeps that URL. Tokens of a key that is gone are refused from now on; Holds finds the
// connections that live by one.
func (k *Keys) Update(issuers []Issuer) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	remote := map[string][]Key{}
	for _, is := range issuers {
		for _, before := range k.issuers {
			if before.Name == is.Name && before.JWKS == is.JWKS && is.JWKS != "" {
				remote[is.Name] = k.remote[is.Name]
			}
		}
	}
	r, err := newRing(issuers, remote)
	if err != nil {
		return err
	}
	k.issuers, k.remote = slices.Clone(issuers), remote
	k.ring.Store(r)
	return nil
}

// SetRemote replaces the keys that an issuer has from the URL in its JWKS. It is an error if the issuer has no such
// URL (any more), or a key is a secret or has the id of a configured one; then nothing changes.
func (k *Keys) SetRemote(issuer, url string, keys []Key) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	remote := maps.Clone(k.remote)
	remote[issuer] = slices.Clone(keys)
	if url == "" || !slices.ContainsFunc(k.issuers, func(is Issuer) bool { return is.Name == issuer && is.JWKS == url }) {
		return errors.New("the issuer does not take keys from this URL")
	}
	r, err := newRing(k.issuers, remote)
	if err != nil {
		return err
	}
	k.remote = remote
	k.ring.Store(r)
	return nil
}

// Holds tells whether the keys that an identity lives by are still trusted: the one that signed its token, and that of
// its permit. An identity that is not from a token is always held.
func (k *Keys) Holds(id *Identity) bool {
	r := k.ring.Load()
	if id.permit != nil && !r.holds(id.permit.Issuer, id.permit.key) {
		return false
	}
	return id.key == nil || r.holds(id.Issuer, id.key)
}

func (r *ring) holds(issuer string, key *Key) bool {
	now := r.keys[keyName{issuer, key.id}]
	return now != nil && (now == key || now.alg == key.alg && now.thumb == key.thumb)
}

// Longest is how long after its issue a token, or a connection that was made with one, can be alive: so long a
// revocation must be kept.
func (k *Keys) Longest() time.Duration { return k.ring.Load().longest }

// Verify checks a connect token and returns whom it speaks for. The error wraps ErrToken, has a Reason and names no
// part of the token.
func (k *Keys) Verify(token string) (*Identity, error) {
	c := claims{seen: k.granted.Load()}
	is, key, err := k.open(token, &c)
	if err != nil {
		return nil, err
	}
	if c.has(claimChannel) || c.has(claimCan) {
		return nil, refuse(ReasonKind, "it is a subscription token; connect takes a token without the claims channel and can")
	}
	return k.identity(&c, is, key)
}

func (k *Keys) identity(c *claims, is *issuer, key *Key) (*Identity, error) {
	caps := c.caps
	if !c.has(claimCaps) {
		caps = is.Default
	}
	id, err := k.grant(c, is.UserPrefix+c.subject, caps)
	if err != nil {
		return nil, refuse(ReasonClaims, err.Error())
	}
	if c.subject == "" || c.subject[0] == '@' {
		return nil, refuse(ReasonClaims, errUser.Error())
	}
	id.Issued, id.Issuer, id.KeyID, id.TokenID = c.issuedAt(), is.Name, key.id, c.id
	id.Limits, id.ceiling, id.key = c.limits, is.ceiling, key
	if k.o.Revocations != nil && k.o.Revocations.Revoked(id, "") {
		return nil, errRevoked()
	}
	return id, nil
}

// grant makes an identity; one whose claim caps is that of the last shares its rules.
func (k *Keys) grant(c *claims, user string, caps []Capability) (*Identity, error) {
	same := c.seen != nil && c.has(claimCaps) && c.seen.text == string(c.raw[claimCaps])
	if same {
		caps = nil
	}
	id, err := NewIdentity(user, caps, c.ends())
	switch {
	case err != nil:
	case same:
		id.rules = c.seen.rules
	case c.has(claimCaps):
		k.granted.Store(&granted{text: string(c.raw[claimCaps]), caps: caps, rules: id.rules})
	}
	return id, err
}

func errRevoked() error {
	return refuse(ReasonRevoked, "it was revoked, or its user was after it was issued", ErrRevoked)
}

// open checks form, key, signature and the claims that every kind of token has. Beside an error it gives what it found
// until then, for Explain.
func (k *Keys) open(token string, c *claims) (*issuer, *Key, error) {
	if err := checkForm(token); err != nil {
		return nil, nil, err
	}
	e, err := takeApart(token, k.header.Load(), c)
	if err != nil {
		return nil, nil, err
	}
	is, key, err := k.find(e.header, c)
	if err != nil {
		return is, key, err
	}
	seal, err := segments.DecodeString(e.seal)
	if err != nil {
		return is, key, errForm()
	}
	if key.alg.method().Verify(e.signed, seal, key.public) != nil {
		return is, key, refuse(ReasonSignature, "its signature is wrong")
	}
	if e.header != k.header.Load() {
		k.header.Store(e.header)
	}
	return is, key, c.check(is, k.o.Now())
}

// checkForm costs one pass over at most MaxToken bytes, before anything is taken apart.
func checkForm(token string) error {
	if len(token) > MaxToken {
		return refuse(ReasonSize, "it is longer than 4096 bytes")
	}
	dots := 0
	for i := 0; i < len(token); i++ {
		switch c := token[i]; {
		case c == '.':
			dots++
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-':
		default:
			return refuse(ReasonForm, "it holds a character that no token has")
		}
	}
	if dots != 2 || strings.HasSuffix(token, ".") {
		return refuse(ReasonForm, "a token has three parts with a dot between them")
	}
	return nil
}

// find gives the key that must have signed a token, by issuer and kid. What the token says about itself is only used to
// look up: neither its alg nor an address in it decides anything.
func (k *Keys) find(h *header, c *claims) (*issuer, *Key, error) {
	if h.neverFollows != "" {
		return nil, nil, refuse(ReasonHeader, "its header has "+h.neverFollows+", which this server never follows")
	}
	if h.hasTyp && !knownType(h.typ) {
		return nil, nil, refuse(ReasonHeader, "its header names a typ that is for something else")
	}
	if !slices.Contains(Algs(), Alg(h.alg)) {
		return nil, nil, refuse(ReasonAlgorithm, "its algorithm is none of HS256, RS256, ES256 and EdDSA")
	}
	r := k.ring.Load()
	is := r.issuers[c.issuer]
	if is == nil {
		return nil, nil, refuse(ReasonIssuer, "its issuer (iss) is missing or not one that this server takes tokens of")
	}
	if h.badKid {
		return nil, nil, refuse(ReasonKey, "its kid is no id of a key")
	}
	id := h.kid
	key := r.keys[keyName{is.Name, id}]
	if key == nil {
		if id != "" && is.JWKS != "" && k.o.Unknown != nil && k.o.Unknown(is.Name) {
			return nil, nil, refuse(ReasonKey, "its key is not known yet; the issuer is being asked, try again in some seconds", ErrRetry)
		}
		if id == "" {
			return nil, nil, refuse(ReasonKey, "it names no key (kid), and its issuer has none without an id")
		}
		return nil, nil, refuse(ReasonKey, "its key (kid) is not one of its issuer")
	}
	if Alg(h.alg) != key.alg {
		return nil, nil, refuse(ReasonAlgorithm, "its algorithm is not that of its key")
	}
	return is, key, nil
}

// knownType takes the media types of plain and access tokens (RFC 7519 5.1, RFC 9068 2.1).
func knownType(s string) bool {
	if len(s) > 32 {
		return false
	}
	s = strings.TrimPrefix(strings.ToLower(s), "application/")
	return s == "jwt" || s == "at+jwt"
}
