package node

import (
	"context"
	"time"

	"carillon/bus/redis"
)

// peers tells the other nodes that this one has clients and lives, until stop; and while it ends, that it takes none.
func (n *Node) keepPeers(stop <-chan struct{}) {
	ticker := time.NewTicker(redis.PeerEvery)
	defer ticker.Stop()
	for {
		n.sayPeers()
		select {
		case <-stop:
			return
		case <-ticker.C:
		}
	}
}

func (n *Node) sayPeers() {
	if err := n.hints.redis.peers.Say(context.Background(), !n.draining.Load()); err != nil {
		n.log.Debug("the other nodes cannot be counted", "error", err)
	}
}

// others is how many other nodes with clients there are.
func (h *hints) others() int {
	if h.redis == nil {
		return 0
	}
	return h.redis.peers.Others()
}
