package gateway

import (
	"cmp"
	"slices"
	"strings"

	"carillon/channel"
)

// Room is a channel whose ring is open on this node, and how many subscribe to it here.
type Room struct {
	Channel     channel.Name
	Subscribers int
}

// Rooms lists the open channels in the order of their names: those that begin with prefix and come after the name after, at
// most limit; more tells that the list goes on. It looks at every room: it is meant for people, not for a hot path.
func (g *Gateway) Rooms(prefix string, after channel.Name, limit int) (rooms []Room, more bool) {
	var names []channel.Name
	for i := range g.shards {
		for _, n := range g.shards[i].names() {
			if strings.HasPrefix(string(n), prefix) && n > after {
				names = append(names, n)
			}
		}
	}
	slices.SortFunc(names, func(a, b channel.Name) int { return cmp.Compare(a, b) })
	if more = len(names) > limit; more {
		names = names[:limit]
	}
	for _, n := range names {
		rooms = append(rooms, Room{Channel: n, Subscribers: g.Subscribers(n)})
	}
	return rooms, more
}

// Subscribers counts those of a channel on this node.
func (g *Gateway) Subscribers(n channel.Name) int { return g.o.Hub.Cursors(n) }
