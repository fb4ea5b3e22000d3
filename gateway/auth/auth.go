// Package auth turns a token into an identity and decides what that identity may do. Decide is the only place where a
// right is judged, for sockets, resumes, history and the HTTP API alike. Keys of several issuers are kept apart and
// replaced as a whole; Revocations ends what was granted too early; Tickets stand in for a token where a URL has to
// carry one. The package opens no connection, starts no goroutine and logs nothing, and no error of it holds any part
// of a secret or a token; keys from a URL are fetched by package jwks. Start with Decide, then Keys.Verify.
package auth

import (
	"errors"
	"slices"
	"strings"
	"time"

	"carillon/channel"
)

// Action is something an identity may want to do in a channel.
type Action uint8

// The actions, each granted by itself.
const (
	Subscribe Action = 1 << iota
	Publish
	History
	Presence
	Command

	anything = Subscribe | Publish | History | Presence | Command
)

type namedAction struct {
	name string
	bits Action
}

var actionNames = []namedAction{
	{"subscribe", Subscribe}, {"publish", Publish}, {"history", History},
	{"presence", Presence}, {"command", Command}, {"*", anything},
}

// Actions lists the names that a capability may hold; "*" stands for all of them.
func Actions() []string {
	var names []string
	for _, a := range actionNames {
		names = append(names, a.name)
	}
	return names
}

// String names the actions of a set, separated by commas.
func (a Action) String() string {
	if a == anything {
		return "*"
	}
	var names []string
	for _, n := range actionNames {
		if n.bits != anything && a&n.bits != 0 {
			names = append(names, n.name)
		}
	}
	return strings.Join(names, ", ")
}

// Capability allows, or with Deny forbids, actions in the channels that match one of its patterns. A pattern is a
// channel name, or the beginning of one followed by "*". Deny wins over every allowance, and denies everything where
// it names no action.
type Capability struct {
	Channels []string `json:"channels"`
	Can      []string `json:"can,omitempty"`
	Deny     bool     `json:"deny,omitempty"`
}

// Identity is who a connection speaks for. It is never changed once it is shared, so connections may share it.
type Identity struct {
	User    string
	Expires time.Time // end of the connection; zero: never
	Issued  time.Time // of the token, in whole seconds; zero: it does not say, and every revocation of the user hits it
	Issuer  string    // empty: not from a token
	KeyID   string    // kid of the key that signed
	TokenID string    // jti; empty: the token has none
	Limits  Limits    // what the token says; Limits.Under the server's apply

	rules   []rule
	ceiling []rule  // what the issuer may grant at most, shared by all of its identities; nil: everything
	key     *Key    // that signed; nil: not from a token
	permit  *Permit // that With added
}

type rule struct {
	pattern string
	prefix  bool
	deny    bool
	actions Action
}

// Bounds of an identity.
const (
	MaxUser  = 128 // bytes
	MaxRules = 256 // patterns of all capabilities
)

var (
	errUser    = errors.New("a user id has 1 to 128 printable ASCII characters without spaces and does not begin with @")
	errPattern = errors.New("a channel pattern is a name, or the beginning of one followed by *")
	errRules   = errors.New("too many channel patterns in a token")
)

// NewIdentity checks a user id (1 to 128 printable ASCII characters without spaces, not beginning with "@", which
// marks the users of the server itself) and capabilities.
func NewIdentity(user string, caps []Capability, expires time.Time) (*Identity, error) {
	if !validUser(user) {
		return nil, errUser
	}
	rules, err := compile(caps)
	if err != nil {
		return nil, err
	}
	return &Identity{User: user, Expires: expires, rules: rules}, nil
}

// Same tells whether two identities are the same user of the same issuer, as a refresh demands.
func (id *Identity) Same(other *Identity) bool {
	return id != nil && other != nil && id.User == other.User && id.Issuer == other.Issuer
}

func compile(caps []Capability) (rules []rule, err error) {
	for _, c := range caps {
		actions, err := parseActions(c)
		if err != nil {
			return nil, err
		}
		for _, p := range c.Channels {
			r, err := parsePattern(p)
			if err != nil {
				return nil, err
			}
			r.deny, r.actions = c.Deny, actions
			if rules = append(rules, r); len(rules) > MaxRules {
				return nil, errRules
			}
		}
	}
	return rules, nil
}

func parsePattern(p string) (rule, error) {
	text, prefix := strings.CutSuffix(p, "*")
	if text == "" && prefix {
		return rule{prefix: true}, nil
	}
	if _, err := channel.ParseName(text); err != nil {
		return rule{}, errPattern
	}
	return rule{pattern: text, prefix: prefix}, nil
}

func validUser(user string) bool {
	return len(user) <= MaxUser && printable(user, MaxUser) && user[0] != '@'
}

// printable tells whether s is 1 to most ASCII characters that can be seen.
func printable(s string, most int) bool {
	if len(s) == 0 || len(s) > most {
		return false
	}
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// parseActions reads Can; a denial that names no action denies them all.
func parseActions(c Capability) (Action, error) {
	if c.Deny && len(c.Can) == 0 {
		return anything, nil
	}
	return actionsNamed(c.Can)
}

func actionsNamed(names []string) (actions Action, err error) {
	for _, name := range names {
		i := slices.IndexFunc(actionNames, func(a namedAction) bool { return a.name == name })
		if i < 0 {
			return 0, errors.New("unknown action in a capability; known are " + strings.Join(Actions(), ", "))
		}
		actions |= actionNames[i].bits
	}
	return actions, nil
}
