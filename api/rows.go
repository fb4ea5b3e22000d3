package api

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"

	"carillon/channel"
	"carillon/gateway/auth"
	"carillon/journal"
	"carillon/wire"
)

// Rows searches what services show of their channels.
type Rows interface {
	// Find is journal.Finder's. A service that does not run is refused with wire.CodeNoService.
	Find(ctx context.Context, s journal.Search) (journal.Found, error)
}

// Bounds of a search.
const (
	MaxRows  = journal.MaxFound // of one answer
	RowLimit = 50               // where the caller names no limit
	MaxTerms = 4
)

// rowNames may stand in the query of a search.
const rowNames = "term* key after order limit"

// search reads what is looked for.
func (c *call) search() (s journal.Search, err error) {
	s.Service, s.Kind, s.Key, s.Terms = c.values[0], c.values[1], c.query.get("key"), c.query["term"]
	if n, err := channel.ParseName(s.Service); err != nil || n.Namespace() != s.Service || strings.Contains(s.Service, "@") {
		return s, refuse(wire.CodeNoService, "There is no service of this name.")
	}
	if len(s.Kind) > channel.MaxKind || strings.Trim(s.Kind, "abcdefghijklmnopqrstuvwxyz0123456789.-") != "" {
		return s, bad("A kind of rows has 1 to %d of a-z 0-9 . -", channel.MaxKind)
	}
	if len(s.Terms) > MaxTerms {
		return s, bad("At most %d terms are looked for at once.", MaxTerms)
	}
	for _, t := range s.Terms {
		if t == "" || !isTerm(t) {
			return s, bad("term must have 1 to %d bytes of text.", channel.MaxTerm)
		}
	}
	switch c.query.get("order") {
	case "", "desc":
	case "asc":
		s.Ascending = true
	default:
		return s, bad(`order must be "asc" or "desc".`)
	}
	if s.Key != "" && (!isTerm(s.Key) || c.query.get("after") != "") {
		return s, bad("key must have 1 to %d bytes of text, and goes without after.", channel.MaxTerm)
	}
	if s.After, err = c.query.rowCursor(); err != nil {
		return s, err
	}
	s.Limit, err = c.query.limit(MaxRows, RowLimit)
	return s, err
}

func isTerm(s string) bool {
	return len(s) <= channel.MaxTerm && utf8.ValidString(s) && !strings.ContainsRune(s, 0)
}

// rowCursor is the place that a page goes on from, nil for the beginning.
func (q query) rowCursor() (*channel.Row, error) {
	text := q.get("after")
	if text == "" {
		return nil, nil
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	rank, key, found := strings.Cut(string(b), " ")
	n, wrong := strconv.ParseInt(rank, 10, 64)
	if err != nil || !found || wrong != nil || !isTerm(key) || bytes.ContainsAny([]byte(text), "\r\n") {
		return nil, bad("after must be one that the server gave.")
	}
	return &channel.Row{Rank: n, Key: key}, nil
}

func rowCursorOf(r *channel.Row) string { return cursorOf(strconv.FormatInt(r.Rank, 10) + " " + r.Key) }

// rows answers with what was found.
func (c *call) rows(from Rows, s journal.Search) error {
	found, err := from.Find(c.ctx(), s)
	if err != nil {
		return err
	}
	type row struct {
		Key   string          `json:"key"`
		Rank  int64           `json:"rank"`
		Terms []string        `json:"terms,omitempty"`
		Body  json.RawMessage `json:"body"`
	}
	answer := struct {
		Service string `json:"service"`
		Kind    string `json:"kind"`
		Before  int    `json:"before"`
		Rows    []row  `json:"rows"`
		After   string `json:"after,omitempty"`
	}{Service: s.Service, Kind: s.Kind, Before: found.Before, Rows: make([]row, 0, len(found.Rows))}
	for i := range found.Rows {
		r := &found.Rows[i]
		answer.Rows = append(answer.Rows, row{r.Key, r.Rank, r.Terms, r.Body})
	}
	if found.More && len(found.Rows) > 0 {
		answer.After = rowCursorOf(&found.Rows[len(found.Rows)-1])
	}
	return c.answerJSON(answer)
}

// rows finds what the token may see: that of a kind as if it were a channel of its service.
func (p *public) rows(c *call) error {
	s, err := c.search()
	if err != nil {
		return err
	}
	if n := channel.Name(s.Service + ":" + s.Kind); auth.Decide(c.who, auth.History, n) != nil {
		return refuse(wire.CodeForbidden, "The token does not allow history in %s, which is what rows of this kind take.", n)
	}
	return c.rows(p.o.Rows, s)
}

// rows finds anything.
func (v *server) rows(c *call) error {
	s, err := c.search()
	if err != nil {
		return err
	}
	return c.rows(v.o.Rows, s)
}
