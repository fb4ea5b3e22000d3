package node

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"time"

	"carillon/api"
	"carillon/gateway/auth"
	"carillon/wire"
)

// issuer makes credentials for the server API; it implements api.Issuer.
type issuer struct {
	keys    *auth.Keys
	tickets auth.Tickets
}

// Issue implements api.Issuer.
func (i *issuer) Issue(ctx context.Context, g api.Grant) (api.Credential, error) {
	if i.keys == nil {
		return api.Credential{}, &wire.Error{Code: wire.CodeUnsupported, Text: "This server has no key that makes tokens: set CARILLON_SECRET_FILE."}
	}
	token, err := i.mint(ctx, g)
	if errors.Is(err, auth.ErrTickets) {
		return api.Credential{}, &wire.Error{Code: wire.CodeBusy, Text: err.Error()}
	}
	if err != nil {
		return api.Credential{}, &wire.Error{Code: wire.CodeBadRequest, Text: err.Error()}
	}
	return api.Credential{Token: token, User: g.User, Expires: lives(g)}, nil
}

func (i *issuer) mint(ctx context.Context, g api.Grant) (string, error) {
	if g.Kind == api.KindSubscribe {
		return i.keys.MintSubscription(auth.SubscriptionGrant{User: g.User, Channel: g.Channel, Can: g.Can, TTL: g.TTL})
	}
	token, err := i.keys.MintConnect(auth.Grant{User: g.User, Caps: g.Caps, Limits: g.Limits, TTL: g.TTL, Session: g.Session})
	if err != nil || g.Kind == api.KindConnect {
		return token, err
	}
	ticket, err := i.tickets.Issue(ctx, token)
	return ticketPrefix + ticket, err
}

// lives is how long what was granted can be used.
func lives(g api.Grant) time.Duration {
	switch {
	case g.Kind == api.KindTicket:
		return auth.TicketTTL
	case g.TTL == 0:
		return auth.MaxConnectToken
	}
	return g.TTL
}

// ticketPrefix tells a ticket from a token.
const ticketPrefix = "ticket."

// signIn makes a guest of a name, for dev. Who keeps the token stays the same guest.
func signIn(name string) (api.Credential, error) {
	var b strings.Builder
	for _, c := range strings.ToLower(name) {
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' {
			b.WriteRune(c)
		}
	}
	user := wire.GuestPrefix + b.String() + "-" + strings.ToLower(rand.Text()[:12])
	return api.Credential{Token: user, User: user}, nil
}
