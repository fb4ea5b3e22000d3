package auth

import (
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"carillon/channel"
)

// Grant is what a connect token shall say.
type Grant struct {
	User    string
	Caps    []Capability // nil: the claim is left out, and Issuer.Default holds
	Limits  Limits
	TTL     time.Duration // until exp; 0: MaxConnectToken
	Session time.Duration // how long from now a connection may live; 0: until exp
	ID      string        // jti; "": a random one of 128 bits
}

// SubscriptionGrant is what a subscription token shall say: that one user may do something in one channel.
type SubscriptionGrant struct {
	User    string
	Channel channel.Name
	Can     []string      // actions, subscribe among them; nil: subscribe
	TTL     time.Duration // until exp, which ends the subscription; 0: MaxConnectToken
	ID      string        // jti; "": a random one of 128 bits
}

var (
	errNoSigner = errors.New("no key of this server makes tokens: give an issuer a signer")
	errTooLong  = errors.New("the token would be longer than 4096 bytes: name fewer channels, or use patterns such as chat:*")
	errTokenID  = errors.New("a token id has 1 to 128 printable ASCII characters without spaces")
)

// Minter is the issuer in whose name tokens are made here; "" if none are.
func (k *Keys) Minter() string {
	if is := k.ring.Load().signer; is != nil {
		return is.Name
	}
	return ""
}

// MintConnect makes a connect token that lives MaxConnectToken at most, for one who is about to connect.
func (k *Keys) MintConnect(g Grant) (string, error) {
	if g.TTL > MaxConnectToken {
		return "", fmt.Errorf("a connect token lives at most %s; how long the connection may live is its session", MaxConnectToken)
	}
	return k.Mint(g)
}

// Mint makes a connect token that Verify accepts until TTL has passed; TTL is at most what its issuer allows.
func (k *Keys) Mint(g Grant) (string, error) {
	is, now, err := k.minting(g.TTL)
	if err != nil {
		return "", err
	}
	if _, err := NewIdentity(is.UserPrefix+g.User, g.Caps, now); err != nil {
		return "", err
	}
	if !validUser(g.User) {
		return "", errUser
	}
	if err := g.Limits.check(); err != nil {
		return "", err
	}
	m := jwt.MapClaims{}
	if g.Caps != nil {
		m[claimNames[claimCaps]] = g.Caps
	}
	if g.Limits != (Limits{}) {
		m[claimNames[claimLimits]] = g.Limits
	}
	if g.Session != 0 {
		if g.Session < time.Second || g.Session > is.MaxSession {
			return "", fmt.Errorf("a session lives 1s to %s", is.MaxSession)
		}
		m[claimNames[claimSession]] = now.Add(g.Session).Unix()
	}
	return is.sign(m, g.User, g.ID, g.TTL, now)
}

// MintSubscription makes a subscription token that VerifySubscription accepts until TTL has passed.
func (k *Keys) MintSubscription(g SubscriptionGrant) (string, error) {
	is, now, err := k.minting(g.TTL)
	if err != nil {
		return "", err
	}
	if !validUser(is.UserPrefix+g.User) || !validUser(g.User) {
		return "", errUser
	}
	if _, err := permitted(string(g.Channel), g.Can); err != nil {
		return "", err
	}
	m := jwt.MapClaims{claimNames[claimChannel]: g.Channel}
	if g.Can != nil {
		m[claimNames[claimCan]] = g.Can
	}
	return is.sign(m, g.User, g.ID, g.TTL, now)
}

// Sign is Mint for a user, capabilities and a time to live above 0.
func (k *Keys) Sign(user string, caps []Capability, ttl time.Duration) (string, error) {
	if ttl <= 0 {
		return "", fmt.Errorf("a token lives more than 0 and at most %s", MaxLifetime)
	}
	return k.Mint(Grant{User: user, Caps: caps, TTL: ttl})
}

func (k *Keys) minting(ttl time.Duration) (*issuer, time.Time, error) {
	is := k.ring.Load().signer
	if is == nil {
		return nil, time.Time{}, errNoSigner
	}
	if ttl < 0 || ttl > is.MaxLifetime || ttl != 0 && ttl < time.Second {
		return nil, time.Time{}, fmt.Errorf("a token lives more than 1s and at most %s", is.MaxLifetime)
	}
	return is, k.o.Now(), nil
}

func (is *issuer) sign(m jwt.MapClaims, user, id string, ttl time.Duration, now time.Time) (string, error) {
	if id == "" {
		id = rand.Text()
	}
	if !printable(id, MaxTokenID) {
		return "", errTokenID
	}
	if ttl == 0 {
		ttl = min(MaxConnectToken, is.MaxLifetime)
	}
	m[claimNames[claimIssuer]], m[claimNames[claimAudience]], m[claimNames[claimSubject]] = is.Name, is.Audience, user
	m[claimNames[claimIssued]], m[claimNames[claimExpires]], m[claimNames[claimID]] = now.Unix(), now.Add(ttl).Unix(), id
	t := jwt.NewWithClaims(is.Signer.alg.method(), m)
	if is.Signer.id != "" {
		t.Header["kid"] = is.Signer.id
	}
	token, err := t.SignedString(is.Signer.private)
	if err != nil {
		return "", fmt.Errorf("%v cannot sign", is.Signer)
	}
	if len(token) > MaxToken {
		return "", errTooLong
	}
	return token, nil
}
