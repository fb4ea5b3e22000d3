package chat

import (
	"math"
	"time"

	"carillon/app"
	"carillon/channel"
)

// role is a rank: who has a higher one may moderate who has a lower one.
type role uint8

const (
	stranger role = iota
	plain
	moderator
	owner
)

func (r role) String() string { return [...]string{"", "member", "moderator", "owner"}[r] }

func roleOf(s string) (role, bool) {
	for r := plain; r <= owner; r++ {
		if s == r.String() {
			return r, true
		}
	}
	return 0, false
}

// phase is how far a room got.
type phase uint8

const (
	unborn phase = iota
	open
	closed // its last member left; it stays so, for whoever opened it again could read what was said
)

// room is a room, or a conversation of two.
type room struct {
	name     channel.Name
	self     string // the room as a user
	direct   bool   // a conversation of two: both have the rank of a member, and either may mute the other
	phase    phase
	public   bool // everybody may read and join
	title    string
	slow     int64 // seconds between two messages of a plain member
	number   uint64
	lastTime int64 // of the last message
	stale    int64 // when the directory is to hear of joins and leaves; 0: it knows

	members table[member]
	mutes   table[int64] // until when; kept over leaving and joining
	bans    table[struct{}]
	invites table[struct{}]
	window  []message // the last ones, in order

	muteEnds int64 // the first of mutes to end; 0: there are none. Follows from mutes
}

type member struct {
	role role
	last int64 // when he last wrote, or joined: slow mode counts from there
}

// message is what must be known to judge what is done to a message. Its text is not here.
type message struct {
	at     uint64
	author string
	edits  []uint64 // offsets, so that all of them can be erased
	kinds  []string // emoji it ever got
	gone   bool
}

func newRoom(n channel.Name) *room {
	return &room{name: n, self: app.UserOf(n), direct: kindOf(n) == ofTwo}
}

// Apply takes a step of the room.
func (r *room) Apply(c channel.Command) app.Outcome {
	k, no := readCall(c)
	if no != nil {
		return no.outcome()
	}
	o := r.step(k)
	if o.Refused == 0 && !o.ReadOnly {
		o.WakeAt = r.wake()
	}
	return o
}

func (r *room) step(c *call) app.Outcome {
	switch {
	case c.sender == r.name:
		return r.timer(c)
	case c.sender != "":
		return because(NotAllowed, "rooms take commands of users only: ask as a user").outcome()
	case c.Do == "create":
		return r.create(c)
	case c.Do == "open":
		return r.openDirect(c)
	case r.phase == unborn:
		return refuse(NoRoom).outcome()
	case r.bans.has(c.asker):
		return refuse(Banned).outcome()
	case r.phase == closed && c.Do != "info":
		return because(NoRoom, "this room is closed, since its last member left: create another").outcome()
	}
	switch c.Do {
	case "info":
		return r.info(c)
	case "send":
		return r.send(c)
	case "edit":
		return r.edit(c)
	case "delete":
		return r.delete(c)
	case "react", "unreact":
		return r.react(c)
	case "mute":
		return r.mute(c)
	case "unmute":
		return r.unmute(c)
	}
	if r.direct {
		return r.notHere(c)
	}
	switch c.Do {
	case "join":
		return r.join(c)
	case "leave":
		return r.leave(c)
	case "invite":
		return r.invite(c)
	case "kick":
		return r.kick(c)
	case "ban":
		return r.ban(c)
	case "unban":
		return r.unban(c)
	case "role":
		return r.setRole(c)
	case "slow":
		return r.setSlow(c)
	case "title":
		return r.setTitle(c)
	}
	return refuse(UnknownCommand).outcome()
}

// notHere answers in a conversation of two what only rooms know.
func (r *room) notHere(c *call) app.Outcome {
	switch c.Do {
	case "join", "leave", "invite", "kick", "ban", "unban", "role", "slow", "title":
		return because(NotAllowed, "a conversation of two has no such command: create a room for that").outcome()
	}
	return refuse(UnknownCommand).outcome()
}

// wake is when the room wants to be woken: to lift a mute, or to tell the directory.
func (r *room) wake() time.Time {
	at := r.stale
	if at == 0 || r.muteEnds != 0 && r.muteEnds < at {
		at = r.muteEnds
	}
	return unixTime(at)
}

// timer lifts mutes whose time is over, and tells the directory how many members there are.
func (r *room) timer(c *call) (o app.Outcome) {
	kept := r.mutes[:0:0]
	for _, m := range r.mutes {
		if m.val > c.now {
			kept = append(kept, m)
		} else if r.members.has(m.key) {
			o.Access = append(o.Access, channel.Access{User: m.key, Rights: channel.Read | channel.Signal})
		}
	}
	if len(kept) != len(r.mutes) {
		r.mutes = kept
		r.findMuteEnd()
	}
	if r.stale != 0 && r.stale <= c.now {
		o.Sends = r.tellDirectory(nil)
	}
	return o
}

func (r *room) findMuteEnd() {
	r.muteEnds = 0
	for _, m := range r.mutes {
		if r.muteEnds == 0 || m.val < r.muteEnds {
			r.muteEnds = m.val
		}
	}
}

// rank of a user here.
func (r *room) rank(user string) role {
	if m := r.members.get(user); m != nil {
		return m.role
	}
	return stranger
}

// muted is how much longer a user may not write, in milliseconds.
func (r *room) muted(user string, now int64) int64 {
	if until := r.mutes.get(user); until != nil && *until > now {
		return *until - now
	}
	return 0
}

// access is what a user may do with the channel. Everybody may read a public room; typing is for members who are not muted.
func (r *room) access(user string, now int64) channel.Access {
	a := channel.Access{User: user}
	switch {
	case r.bans.has(user):
	case r.members.has(user):
		if a.Rights = channel.Read; r.muted(user, now) == 0 {
			a.Rights |= channel.Signal
		}
	case r.public:
		a.Rights = channel.Read
	}
	return a
}

// mayWrite judges whether the asker may add something here.
func (r *room) mayWrite(c *call) (*row[member], *refusal) {
	i, ok := r.members.find(c.asker)
	if !ok {
		return nil, refuse(NotMember)
	}
	if wait := r.muted(c.asker, c.now); wait > 0 {
		return nil, &refusal{code: Muted, wait: wait}
	}
	return &r.members[i], nil
}

// mayModerate judges whether the asker may do something to the user named in the command.
func (r *room) mayModerate(c *call) *refusal {
	if no := c.target(); no != nil {
		return no
	}
	rank := r.rank(c.asker)
	switch {
	case rank == stranger:
		return refuse(NotMember)
	case r.direct && !r.members.has(c.User):
		return refuse(UnknownUser)
	case r.direct:
		return nil
	case rank < moderator:
		return refuse(NotAllowed)
	case rank <= r.rank(c.User):
		return because(NotAllowed, "the user has your role or a higher one: ask an owner")
	}
	return nil
}

// Events of a room. Logged ones come from the asker; those that replace each other come from the room.

func (r *room) logged(o app.Object) channel.Record { return channel.Record{Body: o.End()} }

// settings is the record by which followers know the room without asking.
func (r *room) settings() channel.Record {
	o := app.NewObject(64+len(r.title)).Text("title", r.title).Flag("public", r.public).Count("slow", uint64(r.slow))
	if r.phase == closed {
		o = o.Flag("closed", true)
	}
	return channel.Record{Class: channel.Latest, Key: "settings", From: r.self, Body: o.End()}
}

// summary is the record from which unread counts are told: the last message by number and offset, and how it begins unless
// it was deleted.
func (r *room) summary(text string) channel.Record {
	last := &r.window[len(r.window)-1]
	o := app.NewObject(96+len(last.author)+min(len(text), 2*MaxPreview)).Count("n", r.number).Count("at", last.at)
	if !last.gone {
		o = append(o.Key("last"), '{')
		o = o.Text("user", last.author).Count("time", uint64(max(r.lastTime, 0))).Text("preview", preview(text)).Close('}')
	}
	return channel.Record{Class: channel.Latest, Key: "summary", From: r.self, Body: o.End()}
}

// tellMe is a command to the list of a user.
func tellMe(user string, o app.Object) channel.Command {
	return channel.Command{Channel: Me(user), Body: o.End()}
}

func telling(do, user string) app.Object {
	return app.NewObject(128).Text("do", do).Text("user", user)
}

// tellDirectory adds what the directory should hold of a public room.
func (r *room) tellDirectory(sends []channel.Command) []channel.Command {
	r.stale = 0
	if !r.public {
		return sends
	}
	o := app.NewObject(96).Text("do", "gone")
	if r.phase == open {
		o = app.NewObject(96+len(r.title)).Text("do", "room").Text("title", r.title).Count("members", uint64(len(r.members)))
	}
	return append(sends, channel.Command{Channel: Directory, Body: o.End()})
}

// counted notes that the number of members changed.
func (r *room) counted(now int64) {
	if r.public && r.stale == 0 && now < math.MaxInt64-directoryDelay {
		r.stale = now + directoryDelay
	}
}
