package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestA05 replays one-time tickets, at the same moment and later.
func TestA05TicketsOnce(t *testing.T) {
	ctx := t.Context()
	tickets := NewTickets(nil)
	const gateways = 16
	for round := range 200 {
		want := fmt.Sprint("token ", round)
		ticket, err := tickets.Issue(ctx, want)
		if err != nil || len(ticket) != ticketLength {
			t.Fatal(ticket, err)
		}
		var won atomic.Int32
		var wg sync.WaitGroup
		start := make(chan struct{})
		for range gateways {
			wg.Go(func() {
				<-start
				if got, err := tickets.Redeem(ctx, ticket); err == nil && got == want {
					won.Add(1)
				} else if ReasonOf(err) != ReasonTicket || strings.Contains(err.Error(), ticket) {
					t.Error(got, err)
				}
			})
		}
		close(start)
		wg.Wait()
		if won.Load() != 1 {
			t.Fatalf("%d of %d redeemed one ticket", won.Load(), gateways)
		}
	}
	for _, bad := range []string{"", "x", strings.Repeat("A", ticketLength), strings.Repeat("A", 1<<20)} {
		if _, err := tickets.Redeem(ctx, bad); !errors.Is(err, ErrToken) {
			t.Error(err)
		}
	}
	if c := tickets.Counts(); c.Issued != 200 || c.Redeemed != 200 || c.Refused != 200*(gateways-1)+4 || c.Waiting != 0 || tickets.bytes.Load() != 0 {
		t.Errorf("%+v", c)
	}
}

func TestA05TicketsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tickets := NewTickets(nil)
		early, _ := tickets.Issue(t.Context(), "a")
		late, _ := tickets.Issue(t.Context(), "b")
		never, _ := tickets.Issue(t.Context(), "c")
		time.Sleep(TicketTTL - 1)
		if got, err := tickets.Redeem(t.Context(), early); got != "a" || err != nil {
			t.Error(got, err)
		}
		time.Sleep(time.Nanosecond)
		if _, err := tickets.Redeem(t.Context(), late); ReasonOf(err) != ReasonTicket {
			t.Error("redeemed at its end")
		}
		tickets.Sweep()
		if _, err := tickets.Redeem(t.Context(), never); err == nil {
			t.Error("redeemed after the sweep")
		}
		if c := tickets.Counts(); c.Waiting != 0 || c.Expired != 1 || tickets.bytes.Load() != 0 {
			t.Errorf("%+v", c)
		}
	})
}

// TestTicketBounds: the store fills by number and by bytes, refuses, and has room again later; a quick succession of
// tickets that are used leaves nothing behind.
func TestTicketBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		for token, most := range map[string]int{"t": MaxTickets, strings.Repeat("t", MaxToken): MaxTicketBytes / MaxToken} {
			tickets := NewTickets(nil)
			for i := range most {
				if _, err := tickets.Issue(ctx, token); err != nil {
					t.Fatal(i, err)
				}
			}
			if _, err := tickets.Issue(ctx, token); !errors.Is(err, ErrTickets) {
				t.Errorf("ticket %d: %v", most+1, err)
			}
			time.Sleep(TicketTTL)
			if _, err := tickets.Issue(ctx, token); err != nil {
				t.Error(err)
			}
			if c := tickets.Counts(); c.NoRoom != 1 || c.Waiting != 1 || c.Expired != uint64(most) || tickets.bytes.Load() != int64(len(token)) {
				t.Errorf("%+v", c)
			}
		}
		tickets := NewTickets(nil)
		for range 20_000 {
			ticket, _ := tickets.Issue(ctx, "t")
			_, _ = tickets.Redeem(ctx, ticket)
		}
		for i := range tickets.shards {
			if n := len(tickets.shards[i].queue); n > 2*ticketSlack {
				t.Errorf("shard %d keeps %d used tickets", i, n)
			}
		}
		if _, err := tickets.Issue(ctx, strings.Repeat("t", MaxToken+1)); ReasonOf(err) != ReasonSize {
			t.Error(err)
		}
	})
}
