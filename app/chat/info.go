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
	o := newObject(256+64*len(rows)).text("title", r.title).flag("public", r.public).flag("direct", r.direct)
	o = o.flag("closed", r.phase == closed).number("slow", uint64(r.slow)).number("n", r.number)
	if len(r.window) > 0 {
		o = o.number("at", r.window[len(r.window)-1].at)
	}
	o = o.number("count", uint64(len(r.members)))
	if rank != stranger {
		o = o.text("role", rank.String())
	}
	if wait := r.muted(c.asker, c.now); wait > 0 {
		o = o.number("muted", uint64(c.now+wait))
	}
	o = o.list("members")
	for _, m := range rows {
		o = o.next().text("user", m.key).text("role", m.val.role.String())
		if r.muted(m.key, c.now) > 0 {
			o = o.number("muted", uint64(max(*r.mutes.get(m.key), 0)))
		}
		o = o.close('}')
	}
	o = o.close(']').flag("more", more)
	if rank >= moderator && c.After == "" {
		o = o.list("bans")
		for _, b := range r.bans {
			o = o.next().text("user", b.key).close('}')
		}
		o = o.close(']')
	}
	return answer(o.end())
}
