package chat

import (
	"carillon/app"
	"carillon/channel"
)

// event is a logged event about a user, with what it means for his rights.
func (r *room) event(c *call, o app.Object) app.Outcome {
	return app.Outcome{Events: []channel.Record{r.logged(o)}, Access: []channel.Access{r.access(c.User, c.now)}}
}

func about(what, user string) app.Object {
	return app.NewObject(64+len(user)).Text("type", what).Text("user", user)
}

// mute stops a user from writing until a time by the runtime's clock. It holds for who leaves and joins again.
func (r *room) mute(c *call) app.Outcome {
	no := r.mayModerate(c)
	switch {
	case no != nil:
	case c.MS == 0 || c.MS > uint64(MaxMute.Milliseconds()):
		no = because(BadRequest, "ms says how long: set it to 1 to 31536000000 milliseconds, which is a year")
	case len(r.mutes) >= MaxMutes && !r.mutes.has(c.User):
		no = because(Full, "1,000 users are muted, which is the most: unmute one, or ban this one")
	}
	if no != nil {
		return no.outcome()
	}
	until := c.now + int64(c.MS)
	r.mutes.put(c.User, until)
	r.findMuteEnd()
	return r.event(c, about("mute", c.User).Count("until", uint64(max(until, 0))))
}

func (r *room) unmute(c *call) app.Outcome {
	if no := r.mayModerate(c); no != nil {
		return no.outcome()
	}
	if !r.mutes.has(c.User) {
		return answer(nil)
	}
	r.mutes.drop(c.User)
	r.findMuteEnd()
	return r.event(c, about("unmute", c.User))
}

// kick ends a membership. To a public room the user may come back at once.
func (r *room) kick(c *call) app.Outcome {
	no := r.mayModerate(c)
	if no == nil && !r.members.has(c.User) {
		no = refuse(UnknownUser)
	}
	if no != nil {
		return no.outcome()
	}
	sends := r.remove(c.User, "kick", c.now)
	out := r.event(c, about("kick", c.User))
	out.Sends = sends
	return out
}

// ban ends a membership, and all reading with it, until it is lifted. One can ban who is no member yet.
func (r *room) ban(c *call) app.Outcome {
	no := r.mayModerate(c)
	switch {
	case no != nil:
	case r.bans.has(c.User):
		return answer(nil)
	case len(r.bans) >= MaxBans:
		no = because(Full, "1,000 users are banned, which is the most: lift an old ban first")
	}
	if no != nil {
		return no.outcome()
	}
	sends := r.remove(c.User, "ban", c.now)
	r.invites.drop(c.User)
	r.bans.put(c.User, struct{}{})
	out := r.event(c, about("ban", c.User))
	out.Sends = sends
	return out
}

func (r *room) unban(c *call) app.Outcome {
	if no := r.mayModerate(c); no != nil {
		return no.outcome()
	}
	if !r.bans.has(c.User) {
		return answer(nil)
	}
	r.bans.drop(c.User)
	return r.event(c, about("unban", c.User))
}

// setRole changes the rank of a member. Only owners may; an owner gives up his own rank only while there is another.
func (r *room) setRole(c *call) app.Outcome {
	to, known := roleOf(c.Role)
	m := r.members.get(c.User)
	rank := r.rank(c.asker)
	var no *refusal
	switch {
	case rank == stranger:
		no = refuse(NotMember)
	case rank != owner:
		no = because(NotAllowed, "only owners give roles: ask one")
	case !known:
		no = because(BadRequest, "role is missing or unknown: set it to member, moderator or owner")
	case m == nil:
		no = refuse(UnknownUser)
	case m.role == to:
		return answer(nil)
	case m.role == owner && c.User != c.asker:
		no = because(NotAllowed, "an owner keeps the role until he gives it up himself: ask him")
	case m.role == owner && r.owners() == 1:
		no = because(NotAllowed, "a room needs an owner: make another member one first")
	}
	if no != nil {
		return no.outcome()
	}
	m.role = to
	return app.Outcome{Events: []channel.Record{r.logged(about("role", c.User).Text("role", to.String()))}}
}

// maySet judges whether the asker may change settings.
func (r *room) maySet(c *call) *refusal {
	switch rank := r.rank(c.asker); {
	case rank == stranger:
		return refuse(NotMember)
	case rank < moderator:
		return refuse(NotAllowed)
	}
	return nil
}

// setSlow sets how many seconds a plain member waits between two messages; 0 is none.
func (r *room) setSlow(c *call) app.Outcome {
	no := r.maySet(c)
	switch {
	case no != nil:
	case c.Seconds == nil || *c.Seconds > MaxSlow:
		no = because(BadRequest, "seconds is missing or too large: set it to 0 to 21600")
	}
	if no != nil {
		return no.outcome()
	}
	if r.slow == int64(*c.Seconds) {
		return answer(nil)
	}
	r.slow = int64(*c.Seconds)
	return app.Outcome{Events: []channel.Record{
		r.logged(app.NewObject(48).Text("type", "slow").Count("seconds", *c.Seconds)), r.settings(),
	}}
}

func (r *room) setTitle(c *call) app.Outcome {
	no := r.maySet(c)
	if no == nil {
		no = checkText(c.Title, MaxTitle, false)
	}
	if no != nil {
		return no.outcome()
	}
	if r.title == c.Title {
		return answer(nil)
	}
	r.title = c.Title
	return app.Outcome{
		Events: []channel.Record{r.logged(app.NewObject(48+len(c.Title)).Text("type", "title").Text("title", c.Title)), r.settings()},
		Sends:  r.tellDirectory(nil),
	}
}
