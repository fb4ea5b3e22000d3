package node

import (
	"context"
	"slices"

	"carillon/api"
	"carillon/channel"
	"carillon/journal"
	"carillon/wire"
)

// searches lets the HTTP API look for what services show, and read tables of Latest records.
type searches struct{ *Node }

var (
	_ api.Rows   = searches{}
	_ api.Tables = searches{}
)

// Find implements api.Rows.
func (s searches) Find(ctx context.Context, q journal.Search) (journal.Found, error) {
	finder, is := s.truth.stage.(journal.Finder)
	if !slices.Contains(s.o.Services, q.Service) || !is {
		return journal.Found{}, &wire.Error{Code: wire.CodeNoService, Text: "The service " + q.Service + " does not run here."}
	}
	return finder.Find(ctx, q)
}

// Latest implements api.Tables.
func (s searches) Latest(ctx context.Context, n channel.Name) (journal.Table, error) {
	tables, is := s.journal(n).(journal.Tables)
	if !is {
		return journal.Table{}, &wire.Error{Code: wire.CodeUnsupported, Text: "Channel " + string(n) + " keeps no records of class latest."}
	}
	return tables.Latest(ctx, n)
}

// readableTables are the tables of clients: what their namespace keeps from them it refuses.
type readableTables struct{ searches }

// Latest implements api.Tables.
func (r readableTables) Latest(ctx context.Context, n channel.Name) (journal.Table, error) {
	if r.gateway.Policy(n).NoHistory {
		return journal.Table{}, &wire.Error{Code: wire.CodeForbidden, Text: "Channel " + string(n) + " has no history for clients."}
	}
	return r.searches.Latest(ctx, n)
}
