package api

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"carillon/gateway/auth"
	"carillon/wire"
)

const userRule = "A user id has 1 to 128 printable ASCII characters without spaces, and does not begin with @."

// validUser tells a user id from other text, by the judge of identities.
func validUser(s string) bool {
	_, err := auth.NewIdentity(s, nil, time.Time{})
	return err == nil
}

// token makes a credential for a user of the caller's.
func (v *server) token(c *call) error {
	f, err := c.form(MaxForm)
	if err != nil {
		return err
	}
	g := grant(f)
	if e := f.finish(); e != nil {
		return e
	}
	if err := checkGrant(&g); err != nil {
		return err
	}
	cred, err := v.o.Issuer.Issue(c.ctx(), g)
	if err != nil {
		return err
	}
	c.answer(cred.append(nil))
	return nil
}

// grant takes one out of a form: each kind has its own fields.
func grant(f *form) Grant {
	g := Grant{Kind: KindConnect, User: f.user("user")}
	if f.has("kind") {
		g.Kind = Kind(f.text("kind"))
	}
	if g.Kind != KindTicket {
		if g.TTL = MaxTokenTTL; f.has("ttl") {
			g.TTL = f.duration("ttl")
		}
	}
	switch g.Kind {
	case KindConnect, KindTicket:
		g.Caps, g.Limits, g.Session = f.caps("caps"), f.limits("limits"), f.duration("session")
	case KindSubscribe:
		g.Channel, g.Can = f.channel("channel"), f.texts("can", len(auth.Actions()))
	default:
		f.refuse(wire.CodeBadRequest, `kind must be "connect", "subscribe" or "ticket".`)
	}
	return g
}

// limits are the bounds that a token sets.
func (f *form) limits(name string) (l auth.Limits) {
	text := f.value(name)
	if text == nil {
		return l
	}
	o := newForm(text, name+".")
	for _, n := range []struct {
		name string
		to   *int32
	}{
		{"connections", &l.Connections}, {"channels", &l.Channels}, {"publish", &l.Publish},
		{"requests", &l.Requests}, {"bytes", &l.Bytes}, {"body", &l.Body},
	} {
		v := o.millis(n.name)
		if v > math.MaxInt32 {
			o.refuse(wire.CodeBadRequest, "%s is too large.", n.name)
			break
		}
		*n.to = int32(v)
	}
	if e := o.finish(); e != nil && f.err == nil {
		f.err = e
	}
	return l
}

// checkGrant finds what no issuer would sign.
func checkGrant(g *Grant) error {
	caps := g.Caps
	switch {
	case g.User == "":
		return bad("user is missing.")
	case g.Kind != KindTicket && (g.TTL < time.Second || g.TTL > MaxTokenTTL):
		return bad("ttl must be from 1000 to %d ms.", MaxTokenTTL.Milliseconds())
	case g.Session != 0 && (g.Session < time.Second || g.Session > auth.MaxSession):
		return bad("session must be from 1000 to %d ms.", auth.MaxSession.Milliseconds())
	case g.Kind == KindSubscribe && g.Can != nil && !slices.Contains(g.Can, "subscribe") && !slices.Contains(g.Can, "*"):
		return bad("can must hold subscribe, whatever else it holds.")
	case g.Kind == KindSubscribe:
		caps = []auth.Capability{{Channels: []string{string(g.Channel)}, Can: g.Can}}
		if _, part := g.Channel.Part(); part != "" {
			return bad("A token speaks for a channel, not for a part of it.")
		}
	}
	if _, err := auth.NewIdentity(g.User, caps, time.Time{}); err != nil {
		return bad("caps: %s.", err)
	}
	return nil
}

// caps is an array of capabilities.
func (f *form) caps(name string) []auth.Capability {
	var all []auth.Capability
	for i, item := range f.list(name, auth.MaxRules) {
		o := newForm(item, fmt.Sprintf("%s[%d].", name, i))
		channels, can := o.texts("channels", auth.MaxRules), o.texts("can", len(auth.Actions()))
		deny := o.boolean("deny")
		if len(channels) == 0 {
			o.refuse(wire.CodeBadRequest, "channels must name a pattern at least.")
		}
		if len(can) == 0 && !deny {
			o.refuse(wire.CodeBadRequest, "can must name an action at least, of %v.", auth.Actions())
		}
		if e := o.finish(); e != nil {
			if f.err == nil {
				f.err = e
			}
			return nil
		}
		all = append(all, auth.Capability{Channels: channels, Can: can, Deny: deny})
	}
	return all
}

// boolean is false if it is absent.
func (f *form) boolean(name string) bool {
	switch v := f.value(name); string(v) {
	case "", "false":
		return false
	case "true":
		return true
	}
	f.refuse(wire.CodeBadRequest, "%s must be true or false.", name)
	return false
}

func (cred Credential) append(dst []byte) []byte {
	b, _ := json.Marshal(struct { // cannot fail: strings and a number
		Token   string `json:"token"`
		User    string `json:"user"`
		Expires int64  `json:"expires,omitempty"`
	}{cred.Token, cred.User, cred.Expires.Milliseconds()})
	return append(dst, b...)
}

// revoke withdraws what was granted.
func (v *server) revoke(c *call) error {
	f, err := c.form(MaxForm)
	if err != nil {
		return err
	}
	r := Revocation{User: f.user("user"), Token: f.mark("token"), Connection: f.mark("connection")}
	if issuer := f.mark("issuer"); r.Token != "" {
		if r.Issuer = auth.LocalIssuer; issuer != "" {
			r.Issuer = issuer
		}
	} else if issuer != "" {
		f.refuse(wire.CodeBadRequest, "issuer goes with token.")
	}
	if f.has("until") {
		r.Until = time.UnixMilli(f.millis("until"))
	}
	if e := f.finish(); e != nil {
		return e
	}
	if len(slices.DeleteFunc([]string{r.User, r.Token, r.Connection}, func(s string) bool { return s == "" })) != 1 {
		return bad("A revocation names one of user, token and connection.")
	}
	until, err := v.o.Revoker.Revoke(c.ctx(), r)
	if err != nil {
		return err
	}
	b, _ := json.Marshal(struct {
		Until int64 `json:"until"`
	}{until.UnixMilli()})
	c.answer(b)
	return nil
}

// maxID bounds ids of tokens and connections, in bytes.
const maxID = auth.MaxConnID

// mark is the name of something: 1 to maxID printable ASCII bytes without spaces, "" only if it is absent.
func (f *form) mark(name string) string {
	s := f.printable(name, maxID)
	if strings.Contains(s, " ") {
		f.refuse(wire.CodeBadRequest, "%s has no spaces.", name)
	}
	return s
}
