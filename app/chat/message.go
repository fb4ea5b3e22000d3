package chat

import (
	"slices"
	"sort"

	"carillon/app"
	"carillon/channel"
)

// send adds a message. Its offset is that of the first event.
func (r *room) send(c *call) app.Outcome {
	m, no := r.mayWrite(c)
	if no == nil {
		no = checkText(c.Text, MaxText, true)
	}
	if no == nil {
		no = r.checkReply(c)
	}
	if no == nil {
		no = checkMentions(c)
	}
	if no == nil && r.slow > 0 && m.val.role < moderator {
		if wait := m.val.last + r.slow*1000 - c.now; wait > 0 {
			no = &refusal{code: TooFast, wait: wait}
		}
	}
	if no != nil {
		return no.outcome()
	}
	m.val.last = c.now
	r.number++
	r.lastTime = c.now
	at := c.head + 1
	r.remember(message{at: at, author: m.key})

	mentions := r.mentioned(c)
	o := app.NewObject(64+len(c.Text)+16*len(mentions)).Text("type", "message").Count("n", r.number).Text("text", c.Text)
	if c.ReplyTo != 0 {
		o = o.Count("reply_to", c.ReplyTo)
	}
	if len(mentions) > 0 {
		o = o.Texts("mentions", mentions)
	}
	return app.Outcome{
		Reply:  app.NewObject(40).Count("n", r.number).Count("at", at).End(),
		Events: []channel.Record{r.logged(o), r.summary(c.Text)},
		Sends:  r.notify(c, mentions, at),
	}
}

// remember adds to the window; what falls out of it can no longer be changed.
func (r *room) remember(m message) {
	if len(r.window) == MaxWindow {
		r.window[0] = message{}
		r.window = r.window[1:]
	}
	r.window = append(r.window, m)
}

// checkReply judges the message that is answered. One that has left the window is taken as it is: it only is pointed at.
func (r *room) checkReply(c *call) *refusal {
	if c.ReplyTo == 0 {
		return nil
	}
	if _, no := r.message(c.ReplyTo); no != nil && no.code != TooOld {
		return no
	}
	return nil
}

func checkMentions(c *call) *refusal {
	if len(c.Mentions) > MaxMentions {
		return because(TooLong, "the message mentions too many users: 16 are the most")
	}
	for _, u := range c.Mentions {
		if !app.ValidUser(u) {
			return because(BadRequest, "mentions holds something that is no user id: list the ids of members")
		}
	}
	return nil
}

// mentioned are the members among the mentions, each once. Others are passed over: somebody may just have left.
func (r *room) mentioned(c *call) (users []string) {
	for i, u := range c.Mentions {
		if r.members.has(u) && !slices.Contains(c.Mentions[:i], u) {
			users = append(users, u)
		}
	}
	return users
}

// notify tells those whom a message concerns: the mentioned ones, and in a conversation of two the other one.
func (r *room) notify(c *call, mentions []string, at uint64) (sends []channel.Command) {
	do := "mention"
	if r.direct {
		do, mentions = "message", []string{r.other(c.asker)}
	}
	for _, u := range mentions {
		if u != c.asker {
			sends = append(sends, tellMe(u, telling(do, u).Text("by", c.asker).Count("n", r.number).Count("at", at)))
		}
	}
	return sends
}

// other is the partner in a conversation of two.
func (r *room) other(user string) string {
	if r.members[0].key == user {
		return r.members[1].key
	}
	return r.members[0].key
}

// message finds a message by its offset.
func (r *room) message(at uint64) (*message, *refusal) {
	i := sort.Search(len(r.window), func(i int) bool { return r.window[i].at >= at })
	switch {
	case at == 0:
		return nil, because(BadRequest, "the command names no message: set the field to the offset of a record of type message")
	case i < len(r.window) && r.window[i].at == at && !r.window[i].gone:
		return &r.window[i], nil
	case i == 0 && r.number > uint64(len(r.window)):
		return nil, refuse(TooOld)
	}
	return nil, refuse(UnknownMessage)
}

func (r *room) isLast(m *message) bool { return m == &r.window[len(r.window)-1] }

// edit replaces the text of an own message. Whom it mentions anew is not told.
func (r *room) edit(c *call) app.Outcome {
	_, no := r.mayWrite(c)
	if no == nil {
		no = checkText(c.Text, MaxText, true)
	}
	if no == nil {
		no = checkMentions(c)
	}
	var m *message
	if no == nil {
		m, no = r.message(c.Of)
	}
	switch {
	case no != nil:
	case m.author != c.asker:
		no = refuse(NotYours)
	case len(m.edits) >= MaxEdits:
		no = because(Full, "the message was edited 50 times: delete it and write a new one")
	}
	if no != nil {
		return no.outcome()
	}
	m.edits = append(m.edits, c.head+1)
	o := app.NewObject(64+len(c.Text)).Text("type", "edit").Count("of", m.at).Text("text", c.Text)
	if mentions := r.mentioned(c); len(mentions) > 0 {
		o = o.Texts("mentions", mentions)
	}
	out := app.Outcome{Events: []channel.Record{r.logged(o)}}
	if r.isLast(m) {
		out.Events = append(out.Events, r.summary(c.Text))
	}
	return out
}

// delete erases a message with all its edits. Whoever is muted may still take back his own.
func (r *room) delete(c *call) app.Outcome {
	rank := r.rank(c.asker)
	if rank == stranger {
		return refuse(NotMember).outcome()
	}
	m, no := r.message(c.Of)
	if no == nil && m.author != c.asker && rank < moderator {
		no = because(NotYours, "this message was written by somebody else: only its author or a moderator can delete it")
	}
	if no != nil {
		return no.outcome()
	}
	out := app.Outcome{Erase: append([]uint64{m.at}, m.edits...)}
	m.gone, m.edits, m.kinds = true, nil, nil
	out.Events = append(out.Events, r.logged(app.NewObject(48).Text("type", "delete").Count("of", m.at)))
	if r.isLast(m) {
		out.Events = append(out.Events, r.summary(""))
	}
	return out
}

// react adds a reaction or takes it back. Who reacted is in the log alone: of one user, emoji and message the last record
// counts.
func (r *room) react(c *call) app.Outcome {
	_, no := r.mayWrite(c)
	if no == nil {
		no = checkEmoji(c.Emoji)
	}
	var m *message
	if no == nil {
		m, no = r.message(c.Of)
	}
	if no != nil {
		return no.outcome()
	}
	on := c.Do == "react"
	if !slices.Contains(m.kinds, c.Emoji) {
		switch {
		case !on:
			return answer(nil)
		case len(m.kinds) >= MaxReactions:
			return because(Full, "the message got 32 different reactions: choose one of those").outcome()
		}
		m.kinds = append(m.kinds, c.Emoji)
	}
	o := app.NewObject(96).Text("type", "react").Count("of", m.at).Text("emoji", c.Emoji).Flag("on", on)
	return app.Outcome{Events: []channel.Record{r.logged(o)}}
}
