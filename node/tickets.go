package node

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"

	"carillon/bus/redis"
	"carillon/gateway/auth"
)

// sharedTickets are tickets that are good on any node, once. They implement auth.Tickets.
type sharedTickets struct {
	once redis.Once
	log  *slog.Logger
}

// tickets are those of this node, or of all that share its Redis.
func (n *Node) tickets() auth.Tickets {
	if n.hints.redis == nil {
		return auth.NewTickets(nil)
	}
	return sharedTickets{redis.NewOnce(n.hints.redis.backbone), n.log}
}

// keyOf hashes, so that whoever reads Redis finds no ticket there.
func (sharedTickets) keyOf(ticket string) string {
	sum := sha256.Sum256([]byte(ticket))
	return hex.EncodeToString(sum[:16])
}

// Issue implements auth.Tickets.
func (s sharedTickets) Issue(ctx context.Context, token string) (string, error) {
	if len(token) > auth.MaxToken {
		return "", fmt.Errorf("%w: it is longer than %d bytes", auth.ErrToken, auth.MaxToken)
	}
	ticket := rand.Text()
	if err := s.once.Put(ctx, s.keyOf(ticket), token, auth.TicketTTL); err != nil {
		return "", fmt.Errorf("%w: they are kept in Redis: %w", auth.ErrTickets, err)
	}
	return ticket, nil
}

// Redeem implements auth.Tickets.
func (s sharedTickets) Redeem(ctx context.Context, ticket string) (string, error) {
	token, found, err := s.once.Take(ctx, s.keyOf(ticket))
	switch {
	case err != nil:
		s.log.Warn("a ticket could not be looked at", "error", err)
		return "", fmt.Errorf("%w: %w", auth.ErrToken, auth.ErrRetry)
	case !found:
		return "", fmt.Errorf("%w: the ticket is unknown, used or older than %s", auth.ErrToken, auth.TicketTTL)
	}
	return token, nil
}
