// Package auth turns a token into an identity and decides what that identity may do. Decide is the only place where a
// right is judged, for sockets, resumes, history and the HTTP API alike. It keeps no state, opens no connection and
// logs nothing. Start with Decide, then Keys.Verify.
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

// Capability allows, or with Deny forbids, actions in the channels that match one of its patterns. A pattern is a
// channel name, or the beginning of one followed by "*". Deny wins over every allowance.
type Capability struct {
	Channels []string `json:"channels"`
	Can      []string `json:"can,omitempty"`
	Deny     bool     `json:"deny,omitempty"`
}

// Identity is who a connection speaks for. It is never changed once made, so connections may share it.
type Identity struct {
	User    string
	Expires time.Time // zero: never
	rules   []rule
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

// NewIdentity checks a user id (1 to 128 printable ASCII characters without spaces) and capabilities.
func NewIdentity(user string, caps []Capability, expires time.Time) (*Identity, error) {
	if !validUser(user) {
		return nil, errors.New("a user id has 1 to 128 printable ASCII characters without spaces")
	}
	id := &Identity{User: user, Expires: expires}
	for _, c := range caps {
		actions, err := parseActions(c)
		if err != nil {
			return nil, err
		}
		for _, p := range c.Channels {
			text, prefix := strings.CutSuffix(p, "*")
			if strings.Contains(text, "*") || text == "" && !prefix {
				return nil, errors.New("a channel pattern is a name, or the beginning of one followed by *")
			}
			id.rules = append(id.rules, rule{pattern: text, prefix: prefix, deny: c.Deny, actions: actions})
		}
	}
	if len(id.rules) > MaxRules {
		return nil, errors.New("too many channel patterns in a token")
	}
	return id, nil
}

func validUser(user string) bool {
	if len(user) == 0 || len(user) > MaxUser {
		return false
	}
	for i := 0; i < len(user); i++ {
		if user[i] <= ' ' || user[i] > '~' {
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
	var actions Action
	for _, name := range c.Can {
		i := slices.IndexFunc(actionNames, func(a namedAction) bool { return a.name == name })
		if i < 0 {
			return 0, errors.New("unknown action in a capability; known are " + strings.Join(Actions(), ", "))
		}
		actions |= actionNames[i].bits
	}
	return actions, nil
}

func (r rule) matches(n channel.Name) bool {
	if r.prefix {
		return strings.HasPrefix(string(n), r.pattern)
	}
	return string(n) == r.pattern
}

// ErrForbidden is the answer of Decide where something is not allowed.
var ErrForbidden = errors.New("the token does not allow this")

// Decide says whether an identity may do one thing in one channel: nil or ErrForbidden. A part such as
// "chat:lobby@presence" is judged by the rights in its base channel: reading it takes Presence there, and nobody but the server writes to it.
func Decide(id *Identity, a Action, n channel.Name) error {
	base, part := n.Part()
	if part != "" {
		if base == "" || a == Publish || a == Command {
			return ErrForbidden
		}
		a, n = Presence, base
	}
	allowed := false
	for _, r := range id.rules {
		if r.actions&a == 0 || !r.matches(n) {
			continue
		}
		if r.deny {
			return ErrForbidden
		}
		allowed = true
	}
	if !allowed {
		return ErrForbidden
	}
	return nil
}
