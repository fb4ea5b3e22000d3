package store

import (
	"crypto/sha1"

	"carillon/channel"
	"carillon/journal"
)

// Answered is what an id of a command got the first time.
type Answered struct {
	Hash   [sha1.Size]byte // of the body
	Binary bool
	Reply  channel.Reply
}

// judge says what is known of a command whose id got k; nil: it is not known.
func (k *Answered) judge(c *channel.Command) journal.Known {
	switch {
	case k == nil && c.Age > IDsKnown:
		return journal.Known{Err: journal.ErrUnknown}
	case k == nil:
		return journal.Known{}
	case k.Hash != channel.BodyHash(c.Body) || k.Binary != c.Binary:
		return journal.Known{Err: journal.ErrReuse}
	}
	reply := k.Reply
	reply.ID = c.ID
	return journal.Known{Reply: &reply}
}

// Seen gathers what is known of commands, of which each id is looked up once. Use NewSeen.
type Seen struct {
	commands []channel.Command
	asked    []IDKey // of each command with an id
	keys     []IDKey
	again    map[IDKey]bool // may have come before
	found    map[IDKey]*Answered
}

// NewSeen begins with nothing known.
func NewSeen(d *Identity, cs []channel.Command) *Seen {
	s := &Seen{commands: cs, asked: make([]IDKey, len(cs)), found: make(map[IDKey]*Answered, len(cs))}
	for i := range cs {
		if cs[i].ID == "" {
			continue
		}
		k := d.Key(cs[i].Channel, cs[i].User, cs[i].ID)
		s.asked[i] = k
		if _, twice := s.found[k]; !twice {
			s.found[k] = nil
			s.keys = append(s.keys, k)
		}
		if cs[i].Age > 0 {
			if s.again == nil {
				s.again = make(map[IDKey]bool)
			}
			s.again[k] = true
		}
	}
	return s
}

// Keys are what is to be looked up.
func (s *Seen) Keys() []IDKey { return s.keys }

// Again tells whether a key may have come before, by what its commands say of their age.
func (s *Seen) Again(k IDKey) bool { return s.again[k] }

// Found takes what a key got.
func (s *Seen) Found(k IDKey, a *Answered) { s.found[k] = a }

// Known are the answers, in the order of the commands.
func (s *Seen) Known() []journal.Known {
	known := make([]journal.Known, len(s.commands))
	for i := range s.commands {
		if s.commands[i].ID != "" {
			known[i] = s.found[s.asked[i]].judge(&s.commands[i])
		}
	}
	return known
}
