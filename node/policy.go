package node

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"strings"
	"time"

	"carillon/channel"
	"carillon/gateway/auth"
	"carillon/wire"
)

var (
	errNoToken  = errors.New("connect needs a token (make one with: carillon token create --user NAME)")
	errDevToken = errors.New("dev without a secret takes no tokens: connect without one, or set CARILLON_SECRET_FILE")
)

// policies gives durable namespaces a log that lasts and is never trimmed, all others the default.
func policies(durable []string) func(channel.Name) channel.Policy {
	durable = slices.Clone(durable)
	return func(n channel.Name) channel.Policy {
		p := channel.DefaultPolicy()
		if slices.Contains(durable, n.Namespace()) {
			p.Durable, p.Retention = true, channel.Keep{}
		}
		return p
	}
}

// sysKept is how long @sys keeps what it says: longer than any revocation holds.
const sysKept = auth.MaxSession + 24*time.Hour

// withSys lays down the policies of the server's own channels. @sys outlives the process where anything does.
func withSys(plain func(channel.Name) channel.Policy, data bool) func(channel.Name) channel.Policy {
	return func(n channel.Name) channel.Policy {
		switch n {
		case channel.Sys:
			p := channel.DefaultPolicy()
			p.Durable, p.Retention = data, channel.Keep{Age: sysKept}
			return p
		case channel.All:
			return channel.DefaultPolicy()
		}
		return plain(n)
	}
}

// judge knows whom tokens speak for. In dev a client without one is a guest who may do everything; with the user id it
// was given as its token it is the same guest again.
type judge struct {
	keys        *auth.Keys // nil: only guests
	revocations *auth.Revocations
	tickets     auth.Tickets
	dev         bool
}

// Identify implements session.Judge.
func (j *judge) Identify(token string) (*auth.Identity, error) {
	switch {
	case j.dev && token == "":
		return guest(wire.GuestPrefix + strings.ToLower(rand.Text()))
	case j.dev && strings.HasPrefix(token, wire.GuestPrefix):
		return guest(token)
	case token == "":
		return nil, errNoToken
	case j.keys == nil:
		return nil, errDevToken
	}
	if ticket, is := strings.CutPrefix(token, ticketPrefix); is {
		var err error
		if token, err = j.tickets.Redeem(context.Background(), ticket); err != nil {
			return nil, err
		}
	}
	return j.keys.Verify(token)
}

func guest(user string) (*auth.Identity, error) {
	id, err := auth.NewIdentity(user, []auth.Capability{
		{Channels: []string{"*"}, Can: []string{"*"}},
		{Channels: []string{"user:*"}, Can: []string{"presence"}}, // whether others are there
	}, time.Time{})
	if err == nil {
		id.Issued = time.Now()
	}
	return id, err
}

// Permit implements session.Judge.
func (j *judge) Permit(token string) (*auth.Permit, error) {
	if j.keys == nil {
		return nil, errDevToken
	}
	return j.keys.VerifySubscription(token)
}

// Stands implements session.Judge.
func (j *judge) Stands(who *auth.Identity, conn string) bool {
	return !j.revocations.Revoked(who, conn) && (j.keys == nil || who.Issuer == "" || j.keys.Holds(who))
}
