package redis

import (
	"context"
	"errors"
	"testing"

	"carillon/journal"
)

// TestUnread: a read that failed confirms nothing and leaves nothing in doubt, so that it must not be told as either.
func TestUnread(t *testing.T) {
	for _, cause := range []error{context.DeadlineExceeded, errors.New("connection reset by peer")} {
		err := unread(context.Background(), cause)
		if !errors.Is(err, journal.ErrUnavailable) || errors.Is(err, journal.ErrUnconfirmed) || !errors.Is(err, cause) {
			t.Errorf("a read ended by %q: %v", cause, err)
		}
	}
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	if err := unread(gone, context.DeadlineExceeded); err != gone.Err() {
		t.Errorf("a read whose caller went: %v", err)
	}
}
