package chat

import (
	"slices"

	"carillon/app"
	"carillon/channel"
)

// me is the list of a user: the rooms and conversations he is in, how far he has read each, and who asked him in.
// Rooms write it, he marks it. Nobody else may.
type me struct {
	name  channel.Name
	self  string
	user  string // whose it is; "" until the first accepted command, which also lets him read it
	rooms table[place]
	asked table[invitation]
}

// place is a room of the list.
type place struct {
	with     string   // the other, in a conversation of two
	read     uint64   // number of the last message he has read
	last     uint64   // highest number that this list was told; the room's summary may know a higher one
	mentions []uint64 // numbers of messages that mention him, after read
	quiet    bool     // he does not want to be told
	touched  int64    // when something last came in
}

type invitation struct {
	by, title string
	time      int64
}

func newMe(n channel.Name) *me { return &me{name: n, self: app.UserOf(n)} }

// Apply takes a step of the list.
func (m *me) Apply(c channel.Command) app.Outcome {
	k, no := readCall(c)
	if no == nil {
		no = m.judge(k)
	}
	if no != nil {
		return no.outcome()
	}
	var o app.Outcome
	user := k.asker
	if k.sender != "" {
		user = k.User
		o = m.hear(k)
	} else {
		o = m.ask(k)
	}
	if o.Refused == 0 && m.user == "" {
		m.user = user
		o.ReadOnly = false
		o.Access = append(o.Access, channel.Access{User: user, Rights: channel.Read})
	}
	return o
}

// judge lets pass the user himself, and rooms that speak of him.
func (m *me) judge(c *call) *refusal {
	user := c.asker
	if c.sender != "" {
		if k := kindOf(c.sender); k != ofRoom && k != ofTwo {
			return because(NotAllowed, "this list is written by rooms and its user alone: ask as the user")
		}
		user = c.User
	}
	if user != m.user && (m.user != "" || !app.ValidUser(user) || Me(user) != m.name) {
		return because(NotAllowed, "this is the list of somebody else: use the channel of your own")
	}
	return nil
}

func (m *me) ask(c *call) app.Outcome {
	switch c.Do {
	case "rooms":
		return m.list(c)
	case "read":
		return m.mark(c)
	case "mute", "unmute":
		return m.setQuiet(c)
	case "decline":
		if !m.asked.has(c.Room) {
			return answer(nil)
		}
		m.asked.drop(c.Room)
		return m.tell(app.NewObject(64).Text("type", "declined").Text("room", c.Room))
	}
	return refuse(UnknownCommand).outcome()
}

// mark notes how far he has read. Marks only go forward; another device may have been faster.
func (m *me) mark(c *call) app.Outcome {
	p := m.rooms.get(c.Room)
	switch {
	case p == nil:
		return because(NotMember, "the room is not in your list: join it first").outcome()
	case c.N == 0 || c.N > maxNumber:
		return because(BadRequest, "n is missing or no number of a message: take it from a record of type message").outcome()
	case c.N <= p.read:
		return answer(app.NewObject(24).Count("read", p.read).End())
	}
	p.read, p.last = c.N, max(p.last, c.N)
	p.mentions = slices.DeleteFunc(p.mentions, func(n uint64) bool { return n <= c.N })
	return app.Outcome{Reply: app.NewObject(24).Count("read", p.read).End(), Events: []channel.Record{m.state(c.Room, p)}}
}

func (m *me) setQuiet(c *call) app.Outcome {
	p := m.rooms.get(c.Room)
	if p == nil {
		return because(NotMember, "the room is not in your list: join it first").outcome()
	}
	if on := c.Do == "mute"; p.quiet != on {
		p.quiet = on
		return app.Outcome{Events: []channel.Record{m.state(c.Room, p)}}
	}
	return answer(nil)
}

// list answers a page of the list, and with its first one the invitations.
func (m *me) list(c *call) app.Outcome {
	rows, more := m.rooms.page(c.After, clamp(c.Limit, MaxPage))
	o := app.NewObject(64 + 128*len(rows)).List("rooms")
	for i := range rows {
		o = rows[i].val.fields(o.Next().Text("room", rows[i].key)).Close('}')
	}
	o = o.Close(']').Flag("more", more)
	if c.After == "" {
		o = o.List("invites")
		for _, a := range m.asked {
			o = o.Next().Text("room", a.key).Text("by", a.val.by).Text("title", a.val.title).Count("time", uint64(max(a.val.time, 0))).Close('}')
		}
		o = o.Close(']')
	}
	return answer(o.End())
}

func (p *place) fields(o app.Object) app.Object {
	if p.with != "" {
		o = o.Text("with", p.with)
	}
	o = o.Count("read", p.read).Count("last", p.last).Count("mentions", uint64(len(p.mentions)))
	if p.quiet {
		o = o.Flag("muted", true)
	}
	return o
}

// state is the record that keeps his other devices in step; without a place it takes the room from their lists.
func (m *me) state(room string, p *place) channel.Record {
	r := channel.Record{Class: channel.Latest, Key: room, From: m.self}
	if p != nil {
		r.Body = p.fields(app.NewObject(96)).End()
	}
	return r
}

func (m *me) tell(o app.Object, more ...channel.Record) app.Outcome {
	return app.Outcome{Events: append([]channel.Record{{Body: o.End()}}, more...)}
}

// hear takes what a room says. The room is who says it, whatever the command claims.
func (m *me) hear(c *call) app.Outcome {
	room := string(c.sender)
	p := m.rooms.get(room)
	switch {
	case c.Do == "joined" && p == nil:
		return m.joined(c, room)
	case c.Do == "invited" && p == nil:
		return m.invited(c, room)
	case c.Do == "joined" || c.Do == "invited" || p == nil:
		return answer(nil) // known already, or late: he has left since
	case c.Do == "left":
		m.rooms.drop(room)
		return m.tell(app.NewObject(96).Text("type", "left").Text("room", room).Text("why", c.Why), m.state(room, nil))
	case c.Do == "mention" || c.Do == "message":
		return m.mentioned(c, room, p)
	}
	return refuse(UnknownCommand).outcome()
}

func (m *me) joined(c *call, room string) app.Outcome {
	direct := c.With != ""
	count, oldest := 0, -1
	for i := range m.rooms {
		if (m.rooms[i].val.with != "") == direct {
			if count++; oldest < 0 || m.rooms[i].val.touched < m.rooms[oldest].val.touched {
				oldest = i
			}
		}
	}
	var events []channel.Record
	if count >= MaxRooms {
		if !direct { // he joined it himself and can leave others; strangers can open conversations, so there the oldest goes
			return because(Full, "the list holds 1,000 rooms, which is the most: leave some").outcome()
		}
		old := m.rooms[oldest].key
		m.rooms.drop(old)
		events = append(events, m.state(old, nil))
	}
	m.asked.drop(room)
	p := place{with: c.With, read: c.N, last: c.N, touched: c.now}
	m.rooms.put(room, p)
	o := app.NewObject(96).Text("type", "joined").Text("room", room)
	if direct {
		o = o.Text("with", c.With)
	}
	return m.tell(o, append(events, m.state(room, &p))...)
}

// invited notes an invitation; of too many the oldest is forgotten.
func (m *me) invited(c *call, room string) app.Outcome {
	if len(m.asked) >= MaxAsked && !m.asked.has(room) {
		oldest := 0
		for i := range m.asked {
			if m.asked[i].val.time < m.asked[oldest].val.time {
				oldest = i
			}
		}
		m.asked.drop(m.asked[oldest].key)
	}
	m.asked.put(room, invitation{by: c.By, title: c.Title, time: c.now})
	return m.tell(app.NewObject(128).Text("type", "invited").Text("room", room).Text("by", c.By).Text("title", c.Title))
}

// mentioned notes a message that concerns him. A mention is also told, unless he wants quiet.
func (m *me) mentioned(c *call, room string, p *place) app.Outcome {
	if c.N <= p.read {
		return answer(nil)
	}
	p.last, p.touched = max(p.last, c.N), c.now
	events := make([]channel.Record, 0, 2)
	if c.Do == "mention" {
		if len(p.mentions) < MaxMentioned && !slices.Contains(p.mentions, c.N) {
			p.mentions = append(p.mentions, c.N)
		}
		if !p.quiet {
			o := app.NewObject(128).Text("type", "mention").Text("room", room).Text("by", c.By).Count("n", c.N).Count("at", c.At)
			events = append(events, channel.Record{Body: o.End()})
		}
	}
	return app.Outcome{Events: append(events, m.state(room, p))}
}

// Snapshot appends the state of the list.
func (m *me) Snapshot(dst []byte) []byte {
	dst = app.AppendText(append(dst, version), m.user)
	dst = rows(dst, m.rooms, func(dst []byte, p place) []byte {
		dst = app.AppendFlags(app.AppendText(dst, p.with), p.quiet)
		dst = number(number(dst, p.read), p.last)
		return moment(increasing(dst, p.mentions), p.touched)
	})
	return rows(dst, m.asked, func(dst []byte, a invitation) []byte {
		return moment(app.AppendText(app.AppendText(dst, a.by), a.title), a.time)
	})
}

func readMe(n channel.Name, r *reader) *me {
	m := newMe(n)
	m.user = r.text()
	m.rooms = readRows(r, func() place {
		p := place{with: r.text()}
		p.quiet = r.flag(r.Byte(), 0)
		p.read, p.last = r.Uint(), r.Uint()
		p.mentions = r.increasing()
		p.touched = r.Int()
		return p
	})
	m.asked = readRows(r, func() invitation { return invitation{by: r.text(), title: r.text(), time: r.Int()} })
	return m
}
