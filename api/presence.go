package api

import (
	"context"
	"time"

	"carillon/channel"
	"carillon/gateway/auth"
	"carillon/wire"
)

// Presence knows who is connected and who is in a channel, on all nodes.
type Presence interface {
	// Members lists the users in a channel in the order of their ids, and says how many there are in all; more tells that
	// the list goes on. A namespace that keeps no presence is refused with wire.CodeUnsupported.
	Members(ctx context.Context, q MemberQuery) (ms []Member, count int, more bool, err error)
	// Where tells of each user, in order, whether he is connected and when he last was.
	Where(ctx context.Context, users []string) ([]Seen, error)
}

// MemberQuery asks for those in a channel.
type MemberQuery struct {
	Channel channel.Name
	After   string // a user; "": from the first
	Limit   int    // 1..MaxList
}

// Member is a user in a channel, however many connections of his are.
type Member struct {
	User  string
	Since time.Time
}

// Seen is what is known of a user. Last is zero while he is connected, and of one never heard of.
type Seen struct {
	User   string
	Online bool
	Last   time.Time
}

// memberNames may stand in the query of a list of members.
const memberNames = "channel limit cursor"

// memberQuery reads what is asked for.
func (c *call) memberQuery() (q MemberQuery, err error) {
	if q.Channel, err = channel.ParseName(c.query.get("channel")); err != nil {
		return q, refuse(wire.CodeBadChannel, "channel must name a channel.")
	}
	if q.Limit, err = c.query.limit(MaxList, ListLimit); err != nil {
		return q, err
	}
	q.After, err = c.query.listCursor()
	return q, err
}

// members answers with a page of those in a channel.
func (c *call) members(from Presence, q MemberQuery) error {
	ms, count, more, err := from.Members(c.ctx(), q)
	if err != nil {
		return err
	}
	type member struct {
		User  string `json:"user"`
		Since int64  `json:"since"`
	}
	answer := struct {
		Channel channel.Name `json:"channel"`
		Count   int          `json:"count"`
		Members []member     `json:"members"`
		Next    string       `json:"next,omitempty"`
	}{Channel: q.Channel, Count: count, Members: make([]member, 0, len(ms))}
	for _, m := range ms {
		answer.Members = append(answer.Members, member{m.User, millis(m.Since)})
	}
	if more && len(ms) > 0 {
		answer.Next = cursorOf(ms[len(ms)-1].User)
	}
	return c.answerJSON(answer)
}

// users reads whom a question is about.
func (c *call) users() ([]string, error) {
	f, err := c.form(2 * MaxForm) // the longest ids of the most users
	if err != nil {
		return nil, err
	}
	users := f.texts("users", wire.MaxUsers)
	if e := f.finish(); e != nil {
		return nil, e
	}
	if len(users) == 0 {
		return nil, bad("users must hold 1 to %d user ids.", wire.MaxUsers)
	}
	for _, u := range users {
		if !validUser(u) {
			return nil, bad("users: %s", userRule)
		}
	}
	return users, nil
}

// seen answers what is known of users.
func (c *call) seen(from Presence, users []string) error {
	all, err := from.Where(c.ctx(), users)
	if err != nil {
		return err
	}
	type seen struct {
		User   string `json:"user"`
		Online bool   `json:"online"`
		Last   int64  `json:"last,omitempty"`
	}
	answer := struct {
		Seen []seen `json:"seen"`
	}{Seen: make([]seen, 0, len(all))}
	for _, s := range all {
		answer.Seen = append(answer.Seen, seen{s.User, s.Online, millis(s.Last)})
	}
	return c.answerJSON(answer)
}

// presence lists those in a channel that the token may see.
func (p *public) presence(c *call) error {
	q, err := c.memberQuery()
	if err != nil {
		return err
	}
	if auth.Decide(c.who, auth.Presence, q.Channel) != nil {
		return refuse(wire.CodeForbidden, "The token does not allow presence in channel %s.", q.Channel)
	}
	if p.o.Gate != nil {
		if err := p.o.Gate.Admit(c.ctx(), q.Channel, c.who.User); err != nil {
			return err
		}
	}
	return c.members(p.o.Presence, q)
}

// whereabouts tells of users whose presence the token may see; of himself everybody may.
func (p *public) whereabouts(c *call) error {
	users, err := c.users()
	if err != nil {
		return err
	}
	for _, u := range users {
		if n := auth.UserChannel(u); u != c.who.User && auth.Decide(c.who, auth.Presence, n) != nil {
			return refuse(wire.CodeForbidden, "The token does not allow presence in channel %s.", n)
		}
	}
	return c.seen(p.o.Presence, users)
}

// presence lists those in any channel.
func (v *server) presence(c *call) error {
	q, err := c.memberQuery()
	if err != nil {
		return err
	}
	return c.members(v.o.Presence, q)
}

// whereabouts tells of any users.
func (v *server) whereabouts(c *call) error {
	users, err := c.users()
	if err != nil {
		return err
	}
	return c.seen(v.o.Presence, users)
}
