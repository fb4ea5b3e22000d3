package chat

import (
	"carillon/app"
	"carillon/channel"
)

// directory is the list of public rooms, fed by the rooms themselves. It can be behind them by some seconds.
type directory struct {
	self  string
	open  bool // everybody may read the channel: since the first accepted command
	rooms table[listing]
}

type listing struct {
	title   string
	members uint64
}

func newDirectory(n channel.Name) *directory { return &directory{self: app.UserOf(n)} }

// Apply takes a step of the directory.
func (d *directory) Apply(c channel.Command) app.Outcome {
	k, no := readCall(c)
	if no != nil {
		return no.outcome()
	}
	var o app.Outcome
	switch {
	case k.sender == "" && k.Do == "list":
		o = d.list(k)
	case k.sender == "":
		return refuse(UnknownCommand).outcome()
	case kindOf(k.sender) != ofRoom:
		return because(NotAllowed, "the directory is written by rooms alone: create a public room").outcome()
	default:
		o = d.hear(k)
	}
	if o.Refused == 0 && !d.open {
		d.open = true
		o.ReadOnly = false
		o.Access = []channel.Access{{Rights: channel.Read}}
	}
	return o
}

// hear takes what a room says of itself. Rooms that come, go or are called otherwise are logged; how many members they have
// changes too often for that, and whoever misses it asks again.
func (d *directory) hear(c *call) app.Outcome {
	name := string(c.sender)
	old := d.rooms.get(name)
	now := listing{title: c.Title, members: c.Members}
	switch {
	case c.Do == "gone" && old == nil, c.Do == "room" && old != nil && *old == now:
		return answer(nil)
	case c.Do == "gone":
		d.rooms.drop(name)
		return d.tell(channel.Record{Body: app.NewObject(64).Text("type", "gone").Text("room", name).End()})
	case c.Do != "room":
		return refuse(UnknownCommand).outcome()
	case old == nil && len(d.rooms) >= MaxListed:
		return because(Full, "the directory lists 10,000 rooms, which is the most: close some").outcome()
	}
	var r channel.Record
	if old != nil && old.title == now.title {
		r.Class, r.Key = channel.Fleeting, name
	}
	r.Body = app.NewObject(96+len(now.title)).Text("type", "room").Text("room", name).Text("title", now.title).Count("members", now.members).End()
	d.rooms.put(name, now)
	return d.tell(r)
}

func (d *directory) tell(r channel.Record) app.Outcome {
	r.From = d.self
	return app.Outcome{Events: []channel.Record{r}}
}

// list answers a page of the directory, in the order of the channels' names.
func (d *directory) list(c *call) app.Outcome {
	rows, more := d.rooms.page(c.After, clamp(c.Limit, usualPage))
	o := app.NewObject(64 + 96*len(rows)).List("rooms")
	for _, r := range rows {
		o = o.Next().Text("room", r.key).Text("title", r.val.title).Count("members", r.val.members).Close('}')
	}
	return answer(o.Close(']').Flag("more", more).End())
}

// Snapshot appends the state of the directory.
func (d *directory) Snapshot(dst []byte) []byte {
	dst = app.AppendFlags(append(dst, version), d.open)
	return rows(dst, d.rooms, func(dst []byte, l listing) []byte { return number(app.AppendText(dst, l.title), l.members) })
}

func readDirectory(n channel.Name, r *reader) *directory {
	d := newDirectory(n)
	d.open = r.flag(r.Byte(), 0)
	d.rooms = readRows(r, func() listing { return listing{title: r.text(), members: r.Uint()} })
	return d
}
