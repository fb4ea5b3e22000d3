package redis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"carillon/journal"

	"github.com/redis/rueidis"
)

// Refusals that a script meets before it changed anything: Redis checks all of these no later than at its first write.
var (
	refusedFull = []string{"OOM ", "MISCONF "}
	refusedAway = []string{
		"READONLY ", "LOADING ", "CLUSTERDOWN ", "MASTERDOWN ", "TRYAGAIN ", "NOREPLICAS ", "MOVED ", "ASK ", "BUSY ",
		"NOAUTH ", "WRONGPASS ", "NOSCRIPT ", "ERR max number of clients",
	}
)

// failure gives an error of Redis its name: ErrFull and ErrUnavailable say that nothing was done, ErrUnconfirmed that
// nobody knows. The caller's own context speaks for itself.
func failure(err error) error {
	refusal, answered := rueidis.IsRedisErr(err)
	var line *net.OpError
	name := journal.ErrUnconfirmed
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case answered && begins(refusal.Error(), refusedFull):
		name = journal.ErrFull
	case answered && begins(refusal.Error(), refusedAway):
		name = journal.ErrUnavailable
	case errors.As(err, &line) && line.Op == "dial", errors.Is(err, rueidis.ErrNoSlot), errors.Is(err, rueidis.ErrNoAddr):
		name = journal.ErrUnavailable
	}
	return fmt.Errorf("%w: %w", name, err)
}

func begins(text string, words []string) bool {
	for _, w := range words {
		if strings.HasPrefix(text, w) {
			return true
		}
	}
	return false
}

// away tells whether a failed call says that Redis is not there, and others should not be sent after it: anything but an
// answer about the call itself.
func away(err error) bool {
	refusal, answered := rueidis.IsRedisErr(err)
	return !answered && !errors.Is(err, context.Canceled) || answered && begins(refusal.Error(), refusedAway)
}

// unread is failure for a call that only reads: there is nothing to confirm, so whatever would leave that open says that
// Redis cannot be reached, and no more. A caller who gave up gets his own error.
func unread(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if named := failure(err); !errors.Is(named, journal.ErrUnconfirmed) {
		return named
	}
	return fmt.Errorf("%w: %w", journal.ErrUnavailable, err)
}
