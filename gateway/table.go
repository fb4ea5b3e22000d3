package gateway

import (
	"context"

	"carillon/channel"
	"carillon/gateway/hub"
	"carillon/journal"
)

// fillTable reads the Latest records of a channel, if its journal keeps such, and gives them to the hub. Whatever the hub
// had heard of before the read was true by then: a table that is older than that is of a journal that went back.
func (g *Gateway) fillTable(ctx context.Context, j Journal, n channel.Name) error {
	tables, is := j.(journal.Tables)
	if !is {
		return nil
	}
	// Once more where the journal went back: what became true meanwhile may have been taken for its old past.
	for range 2 {
		epoch, rev := g.o.Hub.TableRev(n)
		t, err := tables.Latest(ctx, n)
		if err != nil {
			return err
		}
		back := t.Epoch == epoch && t.Rev < rev
		g.o.Hub.FillTable(n, hub.Table(t), back)
		if !back {
			break
		}
	}
	return nil
}
