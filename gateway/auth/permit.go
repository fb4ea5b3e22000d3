package auth

import (
	"errors"
	"strings"
	"time"

	"carillon/channel"
)

// Permit is what a subscription token grants: one user may do something in one channel. It is immutable.
type Permit struct {
	User    string
	Channel channel.Name
	Can     Action
	Expires time.Time // of the subscription
	Issued  time.Time // zero: the token does not say
	Issuer  string
	KeyID   string
	TokenID string // jti; empty: the token has none

	key *Key
}

// VerifySubscription checks a subscription token and returns what it grants. The error is as that of Verify.
func (k *Keys) VerifySubscription(token string) (*Permit, error) {
	var c claims
	is, key, err := k.open(token, &c)
	if err != nil {
		return nil, err
	}
	return k.permit(&c, is, key)
}

func (k *Keys) permit(c *claims, is *issuer, key *Key) (*Permit, error) {
	if !c.has(claimChannel) {
		return nil, refuse(ReasonKind, "it is no subscription token: it has no claim channel")
	}
	if c.has(claimCaps) || c.has(claimLimits) || c.has(claimSession) {
		return nil, refuse(ReasonKind, "a subscription token has none of the claims caps, limits and session_exp")
	}
	user := is.UserPrefix + c.subject
	if c.subject == "" || c.subject[0] == '@' || !validUser(user) {
		return nil, refuse(ReasonClaims, errUser.Error())
	}
	can, err := permitted(c.channel, c.can)
	if err != nil {
		return nil, refuse(ReasonClaims, err.Error())
	}
	p := &Permit{
		User: user, Channel: channel.Name(c.channel), Can: can, Expires: c.ends(), Issued: c.issuedAt(),
		Issuer: is.Name, KeyID: key.id, TokenID: c.id, key: key,
	}
	if k.o.Revocations != nil && k.o.Revocations.permitRevoked(p) {
		return nil, errRevoked()
	}
	return p, nil
}

func permitted(name string, can []string) (Action, error) {
	if _, err := channel.ParseName(name); err != nil || strings.Contains(name, "@") {
		return 0, errors.New("a subscription token names one channel, without a pattern and without a part such as @presence")
	}
	if can == nil {
		return Subscribe, nil
	}
	actions, err := actionsNamed(can)
	if err != nil {
		return 0, err
	}
	if actions&Subscribe == 0 {
		return 0, errors.New("a subscription token allows to subscribe, whatever else it allows")
	}
	return actions, nil
}

// ErrPermit is the answer of With where a subscription token is somebody else's.
var ErrPermit = errors.New("the subscription token is of another user or issuer, or there is one already")

// With gives the identity that holds for one subscription: id, and what p grants in its channel, until the earlier of
// both ends. Denials and the ceiling of the issuer still win. It is for requests about that channel alone, and to be
// made anew from the identity of a refresh.
func (id *Identity) With(p *Permit) (*Identity, error) {
	if p.User != id.User || p.Issuer != id.Issuer || id.permit != nil {
		return nil, ErrPermit
	}
	wider := *id
	wider.rules = append(id.rules[:len(id.rules):len(id.rules)], rule{pattern: string(p.Channel), actions: p.Can})
	wider.permit = p
	if wider.Expires.IsZero() || p.Expires.Before(wider.Expires) {
		wider.Expires = p.Expires
	}
	return &wider, nil
}

// Permit is what With added; nil where nothing was.
func (id *Identity) Permit() *Permit { return id.permit }
