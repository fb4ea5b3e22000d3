package gateway

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"carillon/channel"
	"carillon/gateway/hub"
	"carillon/gateway/session"
)

// silent is a bus that confirms nothing.
type silent struct{ ledgered }

func (*silent) Join(ctx context.Context, _ channel.Name) error {
	select {
	case <-ctx.Done():
	case <-time.After(3 * time.Second):
	}
	return errors.New("not confirmed")
}

// TestSilentBus: many wait for a bus that is away. Who asks for a page of history does not wait behind them: the journal
// is there.
func TestSilentBus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hub.New(nil, hub.Options{})
		defer h.Close()
		g := New(Options{
			Hub: h, Heard: func(*channel.Record) {}, Journal: func(channel.Name) Journal { return &flaky{} }, Clock: time.Now, Feed: &silent{},
			Policies: func(channel.Name) channel.Policy { return channel.DefaultPolicy() },
		})
		defer g.Close()
		for i := range 10 * readers {
			g.Join(channel.Name(fmt.Sprint("a:", i)), hub.From{}, func(channel.Position, error) {})
		}
		synctest.Wait()
		began := time.Now()
		read := make(chan error, 1)
		g.Read("a:b", session.Query{}, func(_ session.Page, err error) { read <- err })
		if err := <-read; err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(began); waited > 0 {
			t.Errorf("a page of history came after %v", waited)
		}
	})
}
