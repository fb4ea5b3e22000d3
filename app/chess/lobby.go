package chess

import (
	"math"
	"slices"
	"time"

	"carillon/app"
	"carillon/channel"
)

// lobby is where seeks wait for each other, the oldest first.
type lobby struct {
	self  string
	open  bool // everybody may read the channel: since the first accepted command
	seeks []seek
}

// seek is a user who waits for an opponent. It came from his channel, which knows how strong he is.
type seek struct {
	id       string
	user     string
	standing standing
	offer    offer
	since    int64
}

// How far ratings may be apart, in points.
const (
	windowFirst  = 100
	windowGrowth = 25 // by the second
	windowOpens  = 60 * second
)

// maxPairs is how many games begin in one step; each takes a few of the sends of an outcome.
const maxPairs = 16

func newLobby(n channel.Name) *lobby { return &lobby{self: app.UserOf(n)} }

// Apply takes a step of the lobby.
func (l *lobby) Apply(c channel.Command) app.Outcome {
	now := c.Time.UnixMilli()
	var o app.Outcome
	from, sent := app.SentBy(c)
	switch {
	case app.IsTimer(c):
		o = l.timer(c, now)
	case c.User == app.PresenceUser:
		return answer(nil)
	case sent:
		m, no := readMessage(c)
		switch {
		case no != nil:
			return no.outcome()
		case kindOf(from) != ofPlayer || Player(m.User) != from || !app.ValidUser(m.User):
			return fromElsewhere()
		}
		o = l.hear(m, c, now)
	default:
		k, no := readCall(c)
		switch {
		case no != nil:
			return no.outcome()
		case k.Type != "seeks":
			return because(UnknownCommand, "the lobby knows only seeks: seek and join through your own channel").outcome()
		}
		o = answer(l.list())
	}
	if o.Refused == 0 && !l.open {
		l.open = true
		o.ReadOnly = false
		o.Access = append(o.Access, channel.Access{Rights: channel.Read})
	}
	if o.Refused == 0 && !o.ReadOnly && o.WakeAt.IsZero() {
		o.WakeAt = l.wake(now)
	}
	return o
}

func (l *lobby) hear(m *message, c channel.Command, now int64) (o app.Outcome) {
	switch m.Type {
	case "seek":
		if m.Standing == nil || m.judge() != nil || m.FEN != "" || l.find(m.ID) >= 0 {
			return refuse(BadRequest).outcome()
		}
		l.come(&o, seek{id: m.ID, user: m.User, standing: *m.Standing, offer: m.offer, since: now}, c)
		return o
	case "cancel":
		i := l.find(m.ID)
		if i < 0 || l.seeks[i].user != m.User {
			return answer(nil)
		}
		l.drop(&o, i)
		return o
	case "join":
		return l.join(m, c)
	}
	return refuse(UnknownCommand).outcome()
}

// come pairs a new seek, or has it wait.
func (l *lobby) come(o *app.Outcome, s seek, c channel.Command) {
	best := -1
	for i := range l.seeks { // the older of a pair is the one who waits
		if w := &l.seeks[i]; fits(w, &s, window(s.since-w.since)) && (best < 0 || w.apart(&s) < l.seeks[best].apart(&s)) {
			best = i
		}
	}
	switch {
	case best >= 0:
		l.pair(o, &l.seeks[best], &s, c.Seed, 0)
		l.drop(o, best)
	case len(l.seeks) >= MaxOpen:
		o.Sends = append(o.Sends, s.over("full"))
	default:
		l.seeks = append(l.seeks, s)
		o.Events = append(o.Events, l.latest(&s, true))
	}
}

// join pairs a user with the seek he chose, whatever their ratings, within its limits.
func (l *lobby) join(m *message, c channel.Command) (o app.Outcome) {
	i := l.find(m.Seek)
	s := seek{id: m.ID, user: m.User}
	if i >= 0 && m.Standings != nil {
		w := &l.seeks[i]
		s.offer = offer{Base: w.offer.Base, Inc: w.offer.Inc, Rated: w.offer.Rated}
		if sp := s.offer.control().speed(); sp < ratedSpeeds {
			s.standing = m.Standings[sp]
		}
		if fits(w, &s, math.MaxInt64) {
			l.pair(&o, w, &s, c.Seed, 0)
			l.drop(&o, i)
			return o
		}
	}
	o.Sends = []channel.Command{s.over("gone")}
	return o
}

// timer pairs those whose windows have grown, the oldest with the nearest, and ends what waited too long. Nobody begins
// two games in a step.
func (l *lobby) timer(c channel.Command, now int64) (o app.Outcome) {
	taken := make([]bool, len(l.seeks))
	busy := map[string]bool{}
	pairs := 0
	for i := range l.seeks {
		w := &l.seeks[i]
		if taken[i] || busy[w.user] {
			continue
		}
		if pairs >= maxPairs { // the others a second later
			o.WakeAt = moment(now + second)
			break
		}
		best, reach := -1, window(now-w.since)
		for j := i + 1; j < len(l.seeks); j++ {
			if s := &l.seeks[j]; !taken[j] && !busy[s.user] && fits(w, s, reach) && (best < 0 || w.apart(s) < w.apart(&l.seeks[best])) {
				best = j
			}
		}
		switch {
		case best >= 0:
			l.pair(&o, w, &l.seeks[best], c.Seed, pairs)
			pairs++
			taken[i], taken[best] = true, true
			busy[w.user], busy[l.seeks[best].user] = true, true
		case now-w.since >= seekLasts:
			o.Sends = append(o.Sends, w.over("expired"))
			taken[i] = true
			pairs++
		}
	}
	for i := len(l.seeks) - 1; i >= 0; i-- {
		if taken[i] {
			l.drop(&o, i)
		}
	}
	l.doubt(&o, now)
	return o
}

// doubt asks after those who have waited for another minute: who was there when all nodes ended is not told to be gone.
func (l *lobby) doubt(o *app.Outcome, now int64) {
	for i := range l.seeks {
		s := &l.seeks[i]
		if waited := now - s.since; waited >= presenceEvery && waited%presenceEvery < second && len(o.Sends) < app.MaxSends {
			o.Sends = append(o.Sends, believes(Player(s.user), s.user, true))
		}
	}
}

// wake is when the windows have grown, if that may bring two together, when somebody is to be asked after, or
// when the oldest seek ends.
func (l *lobby) wake(now int64) time.Time {
	if len(l.seeks) == 0 {
		return time.Time{}
	}
	if len(l.seeks) > 1 && now-l.seeks[len(l.seeks)-1].since <= windowOpens+second {
		return moment(now + second)
	}
	next := l.seeks[0].since + seekLasts
	for i := range l.seeks { // when another minute of waiting is over
		next = min(next, now+presenceEvery-max(0, now-l.seeks[i].since)%presenceEvery)
	}
	return moment(max(now+second, next))
}

// window is how far ratings may be apart once one of the two has waited so long.
func window(waited int64) int64 {
	if waited >= windowOpens {
		return math.MaxInt64
	}
	return windowFirst + windowGrowth*(max(0, waited)/second)
}

// apart is the difference of two ratings, in points.
func (s *seek) apart(other *seek) int64 {
	d := points(s.standing.Rating) - points(other.standing.Rating)
	return max(d, -d)
}

func fits(a, b *seek, reach int64) bool {
	return a.user != b.user && a.offer.control() == b.offer.control() && a.offer.Rated == b.offer.Rated &&
		(a.offer.Color == "" || a.offer.Color != b.offer.Color) && a.apart(b) <= reach && a.takes(b) && b.takes(a)
}

// takes tells whether another's rating is one that a seek wants.
func (s *seek) takes(other *seek) bool {
	r := points(other.standing.Rating)
	return r == 0 || r >= s.offer.Min && (s.offer.Max == 0 || r <= s.offer.Max)
}

// pair begins a game. The colors are those that were asked for, else by lot.
func (l *lobby) pair(o *app.Outcome, a, b *seek, seed [32]byte, n int) {
	white, black := a, b
	lot := seed[n%len(seed)]&1 == 1
	if a.offer.Color == "black" || b.offer.Color == "white" || a.offer.Color == "" && b.offer.Color == "" && lot {
		white, black = b, a
	}
	begin := message{
		Type: "create", White: &party{white.user, white.standing}, Black: &party{black.user, black.standing},
		offer: offer{Base: a.offer.Base, Inc: a.offer.Inc, Rated: a.offer.Rated, Delay: max(a.offer.Delay, b.offer.Delay)},
	}
	o.Sends = append(o.Sends, begin.to(Game(newID(seed, n))), a.over("paired"), b.over("paired"))
}

// over tells the user's channel what became of his seek.
func (s *seek) over(why string) channel.Command {
	m := message{Type: "over", ID: s.id, Why: why}
	return m.to(Player(s.user))
}

func (l *lobby) find(id string) int {
	return slices.IndexFunc(l.seeks, func(s seek) bool { return s.id == id })
}

func (l *lobby) drop(o *app.Outcome, i int) {
	o.Events = append(o.Events, l.latest(&l.seeks[i], false))
	l.seeks = slices.Delete(l.seeks, i, i+1)
}

// latest is the record of a seek, or that it is gone.
func (l *lobby) latest(s *seek, there bool) channel.Record {
	r := channel.Record{Class: channel.Latest, Key: s.id, From: l.self}
	if there {
		r.Body = s.fields(app.NewObject(192)).End()
	}
	return r
}

func (s *seek) fields(o app.Object) app.Object {
	o = o.Text("seek", s.id).Text("user", s.user)
	if s.standing.Rating != 0 {
		o = o.Number("rating", points(s.standing.Rating))
	}
	return s.offer.fields(o).Number("since", s.since)
}

func (l *lobby) list() []byte {
	o := app.NewObject(64 + 192*len(l.seeks)).List("seeks")
	for i := range l.seeks {
		o = l.seeks[i].fields(o.Next()).Close('}')
	}
	return o.Close(']').End()
}
