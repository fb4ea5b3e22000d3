package chat

import "carillon/app"

// usualPage is how many rows a question gets that names no limit.
const usualPage = 100

// info answers who is here, in pages by user id, and how the room is set. A private room answers members only.
func (r *room) info(c *call) app.Outcome {
	rank := r.rank(c.asker)
	if rank == stranger && !r.public {
		return refuse(NotMember).outcome()
	}
	rows, more := r.members.page(c.After, clamp(c.Limit, usualPage))
	o := app.NewObject(256+64*len(rows)).Text("title", r.title).Flag("public", r.public).Flag("direct", r.direct)
	o = o.Flag("closed", r.phase == closed).Count("slow", uint64(r.slow)).Count("n", r.number)
	if len(r.window) > 0 {
		o = o.Count("at", r.window[len(r.window)-1].at)
	}
	o = o.Count("count", uint64(len(r.members)))
	if rank != stranger {
		o = o.Text("role", rank.String())
	}
	if wait := r.muted(c.asker, c.now); wait > 0 {
		o = o.Count("muted", uint64(c.now+wait))
	}
	o = o.List("members")
	for _, m := range rows {
		o = o.Next().Text("user", m.key).Text("role", m.val.role.String())
		if r.muted(m.key, c.now) > 0 {
			o = o.Count("muted", uint64(max(*r.mutes.get(m.key), 0)))
		}
		o = o.Close('}')
	}
	o = o.Close(']').Flag("more", more)
	if rank >= moderator && c.After == "" {
		o = o.List("bans")
		for _, b := range r.bans {
			o = o.Next().Text("user", b.key).Close('}')
		}
		o = o.Close(']')
	}
	return answer(o.End())
}
