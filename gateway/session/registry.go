package session

import (
	"cmp"
	"context"
	"slices"
	"time"

	"carillon/channel"
	"carillon/gateway/auth"
	"carillon/wire"
)

// enter notes a new line.
func (sv *Server) enter(s *Session) (draining bool) {
	s.format.opened.Add(1)
	sv.mu.Lock()
	defer sv.mu.Unlock()
	sv.sessions[s] = struct{}{}
	return sv.draining
}

// admit notes a conversation that opens; false if its user has as many as the server and his token allow.
func (sv *Server) admit(s *Session, who *auth.Identity) bool {
	bound := least(sv.settings.Load().MaxPerUser, who.Limits.Connections)
	own := auth.UserChannel(who.User)
	sv.mu.Lock()
	defer sv.mu.Unlock()
	if bound > 0 && len(sv.users[own]) >= bound {
		return false
	}
	sv.users[own] = append(sv.users[own], s)
	return true
}

// least is the lower of two bounds, of which 0 is none.
func least(server int, token int32) int {
	if server == 0 || token != 0 && int(token) < server {
		return int(token)
	}
	return server
}

// forget takes a line off that is gone. user is "" for a conversation that never opened.
func (sv *Server) forget(s *Session, user string) {
	s.format.closed.Add(1)
	own := auth.UserChannel(user)
	sv.mu.Lock()
	delete(sv.sessions, s)
	if i := slices.Index(sv.users[own], s); i >= 0 {
		if sv.users[own] = slices.Delete(sv.users[own], i, i+1); len(sv.users[own]) == 0 {
			delete(sv.users, own)
		}
	}
	sv.mu.Unlock()
	if user != "" {
		sv.o.Ears.Unlisten(own)
	}
}

// all returns the sessions there are.
func (sv *Server) all() []*Session {
	sv.mu.Lock()
	defer sv.mu.Unlock()
	all := make([]*Session, 0, len(sv.sessions))
	for s := range sv.sessions {
		all = append(all, s)
	}
	return all
}

// Connection is what is known of an open conversation.
type Connection struct {
	ID        string
	User      string
	Remote    string
	Transport string // kind of the line, such as "ws"
	Protocol  string
	Since     time.Time
	Heard     time.Time // last sign of life
	Channels  []channel.Name
}

// Filter picks connections: of a user, in a channel, both or neither. After is the ID of the last one seen; Limit bounds the answer.
type Filter struct {
	User    string
	Channel channel.Name
	After   string
	Limit   int
}

// Connections lists open conversations in the order of their IDs. It looks at each one: it is meant for people, not for a hot path.
func (sv *Server) Connections(f Filter) []Connection {
	var found []Connection
	for _, s := range sv.all() {
		if c, open := s.describe(); open && (f.User == "" || c.User == f.User) && c.ID > f.After &&
			(f.Channel == "" || slices.Contains(c.Channels, f.Channel)) {
			found = append(found, c)
		}
	}
	slices.SortFunc(found, func(a, b Connection) int { return cmp.Compare(a.ID, b.ID) })
	if f.Limit > 0 && len(found) > f.Limit {
		found = found[:f.Limit]
	}
	return found
}

func (s *Session) describe() (c Connection, ok bool) {
	info := s.conn.Info()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase != open && s.phase != draining {
		return c, false
	}
	c = Connection{
		ID: s.name(), User: s.who.User, Remote: info.Remote, Transport: info.Kind, Protocol: s.format.Protocol.Name,
		Since: time.Unix(0, s.born), Heard: time.Unix(0, s.heard.Load()),
	}
	for _, b := range s.subs {
		if b.cursor != nil && b.state != subGone && !b.own { // as soon as the client may know
			c.Channels = append(c.Channels, b.channel)
		}
	}
	return c, true
}

// End ends every open conversation that match says, with a code, and returns how many there were.
func (sv *Server) End(code wire.Code, match func(who *auth.Identity, conn string) bool) (n int) {
	for _, s := range sv.all() {
		s.mu.Lock()
		who := s.who
		s.mu.Unlock()
		if who != nil && match(who, s.name()) {
			s.end(code)
			n++
		}
	}
	return n
}

// Drain walks the connections across window: each, at its own turn, is told to come back after a moment, finishes the
// requests it has under way and is closed; with a window of 0 all at once. Until its turn comes a connection is served as ever.
// Connections that come meanwhile are turned away. Drain returns when every connection was told, or ctx ends.
func (sv *Server) Drain(ctx context.Context, window, after time.Duration) {
	sv.mu.Lock()
	sv.draining = true
	sv.mu.Unlock()
	all := sv.all()
	began := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for i, s := range all {
		if wait := time.Until(began.Add(window * time.Duration(i) / time.Duration(len(all)))); wait > 0 {
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-ctx.Done():
				window = 0 // no time left: all that remain at once
			}
		}
		s.drain(after)
	}
}
