package chat

import (
	"carillon/app"
	"carillon/channel"
)

// create opens a room; who does so owns it.
func (r *room) create(c *call) app.Outcome {
	var no *refusal
	switch {
	case r.direct:
		no = because(NotAllowed, "this is the name of a conversation of two: send open, with the other in user")
	case kindOf(r.name) != ofRoom:
		no = because(NoRoom, "no room can have this name: choose another")
	case r.phase == closed:
		no = because(Exists, "a room of this name was closed, and its history stays closed: choose another name")
	case r.phase == open:
		no = refuse(Exists)
	case c.Title != "":
		no = checkText(c.Title, MaxTitle, false)
	}
	if no != nil {
		return no.outcome()
	}
	title := c.Title
	if title == "" {
		title = string(r.name[len(roomPrefix):min(len(r.name), len(roomPrefix)+MaxTitle)])
	}
	r.phase, r.public, r.title = open, c.Public, title
	r.members.put(c.asker, member{role: owner, last: c.now})
	out := app.Outcome{
		Events: []channel.Record{
			r.logged(app.NewObject(64+len(title)).Text("type", "create").Text("title", title).Flag("public", r.public)),
			r.settings(),
		},
		Access: []channel.Access{r.access("", c.now), r.access(c.asker, c.now)},
		Sends:  []channel.Command{r.tellJoined(c.asker)},
	}
	out.Sends = r.tellDirectory(out.Sends)
	return out
}

// openDirect begins a conversation of two, by either of them.
func (r *room) openDirect(c *call) app.Outcome {
	var no *refusal
	if !r.direct {
		no = because(NotAllowed, "only a conversation of two is opened: create or join the room")
	} else if no = c.target(); no == nil && Direct(c.asker, c.User) != r.name {
		no = because(NotAllowed, "the channel is not the one of you and this user: take the name of your conversation")
	}
	if no != nil {
		return no.outcome()
	}
	if r.phase == open {
		return answer(nil)
	}
	r.phase = open
	out := app.Outcome{
		Events: []channel.Record{r.logged(app.NewObject(64).Text("type", "open").Text("user", c.User))},
		Access: []channel.Access{{}},
	}
	for _, u := range [2]string{c.asker, c.User} {
		r.members.put(u, member{role: plain, last: c.now})
		out.Access = append(out.Access, r.access(u, c.now))
	}
	for _, u := range [2]string{c.asker, c.User} {
		out.Sends = append(out.Sends, r.tellJoined(u))
	}
	return out
}

// tellJoined puts the room into the list of a new member.
func (r *room) tellJoined(user string) channel.Command {
	o := telling("joined", user).Count("n", r.number)
	if r.direct {
		o = o.Text("with", r.other(user))
	}
	return tellMe(user, o)
}

func (r *room) join(c *call) app.Outcome {
	switch {
	case r.members.has(c.asker):
		return answer(nil)
	case !r.public && !r.invites.has(c.asker):
		return refuse(NotInvited).outcome()
	case len(r.members) >= MaxMembers:
		return because(Full, "the room has 10,000 members, which is the most: join another").outcome()
	}
	r.invites.drop(c.asker)
	r.members.put(c.asker, member{role: plain, last: c.now})
	r.counted(c.now)
	return app.Outcome{
		Events: []channel.Record{r.logged(app.NewObject(24).Text("type", "join"))},
		Access: []channel.Access{r.access(c.asker, c.now)},
		Sends:  []channel.Command{r.tellJoined(c.asker)},
	}
}

// leave ends a membership. The last owner goes last, and closes the room.
func (r *room) leave(c *call) app.Outcome {
	m := r.members.get(c.asker)
	switch {
	case m == nil:
		return refuse(NotMember).outcome()
	case m.role == owner && len(r.members) > 1 && r.owners() == 1:
		return because(NotAllowed, "a room needs an owner: make another member one before you leave").outcome()
	}
	out := app.Outcome{Events: []channel.Record{r.logged(app.NewObject(24).Text("type", "leave"))}}
	out.Sends = r.remove(c.asker, "leave", c.now)
	if len(r.members) == 0 {
		r.phase = closed
		r.invites = nil
		out.Sends = r.tellDirectory(out.Sends)
		out.Events = append(out.Events, r.settings())
	}
	out.Access = []channel.Access{r.access(c.asker, c.now)}
	return out
}

// remove ends the membership of a user, and tells his list why.
func (r *room) remove(user, why string, now int64) []channel.Command {
	if !r.members.has(user) {
		return nil
	}
	r.members.drop(user)
	r.counted(now)
	return []channel.Command{tellMe(user, telling("left", user).Text("why", why))}
}

func (r *room) owners() (n int) {
	for i := range r.members {
		if r.members[i].val.role == owner {
			n++
		}
	}
	return n
}

// invite asks somebody in. Every member may; a ban stands against it.
func (r *room) invite(c *call) app.Outcome {
	no := c.target()
	switch {
	case no != nil:
	case !r.members.has(c.asker):
		no = refuse(NotMember)
	case r.bans.has(c.User):
		no = refuse(Banned)
	case r.members.has(c.User) || r.invites.has(c.User):
		return answer(nil)
	case len(r.invites) >= MaxInvites:
		no = because(Full, "1,000 invitations are open, which is the most: wait until some are taken up")
	}
	if no != nil {
		return no.outcome()
	}
	r.invites.put(c.User, struct{}{})
	return app.Outcome{
		Events: []channel.Record{r.logged(app.NewObject(64).Text("type", "invite").Text("user", c.User))},
		Sends:  []channel.Command{tellMe(c.User, telling("invited", c.User).Text("by", c.asker).Text("title", r.title))},
	}
}
