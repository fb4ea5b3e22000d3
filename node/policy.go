package node

import (
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

// identify is whom a token speaks for. In dev a client without one is a guest who may do everything; with the user id it
// was given as its token it is the same guest again.
func identify(keys *auth.Keys, dev bool) func(token string) (*auth.Identity, error) {
	all := []auth.Capability{{Channels: []string{"*"}, Can: []string{"*"}}}
	return func(token string) (*auth.Identity, error) {
		switch {
		case dev && token == "":
			return auth.NewIdentity(wire.GuestPrefix+strings.ToLower(rand.Text()), all, time.Time{})
		case dev && strings.HasPrefix(token, wire.GuestPrefix):
			return auth.NewIdentity(token, all, time.Time{})
		case token == "":
			return nil, errNoToken
		case keys == nil:
			return nil, errDevToken
		}
		return keys.Verify(token)
	}
}
