package node

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"slices"
	"time"

	"carillon/channel"
	"carillon/gateway/auth"
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

// identify is whom a token speaks for. In dev a client without one is a guest who may do everything.
func identify(keys *auth.Keys, dev bool) func(token string) (*auth.Identity, error) {
	all := []auth.Capability{{Channels: []string{"*"}, Can: []string{"*"}}}
	return func(token string) (*auth.Identity, error) {
		switch {
		case token == "" && !dev:
			return nil, errNoToken
		case token != "" && keys == nil:
			return nil, errDevToken
		case token != "":
			return keys.Verify(token)
		}
		var id [6]byte
		_, _ = rand.Read(id[:]) // never fails
		return auth.NewIdentity("guest-"+hex.EncodeToString(id[:]), all, time.Time{})
	}
}
