package api

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"carillon/channel"
	"carillon/journal"
	"carillon/store/sqlite"
	"carillon/wire"
)

// rowStore is a store with rows, of one service that runs.
type rowStore struct{ *sqlite.Store }

func (r rowStore) Find(ctx context.Context, s journal.Search) (journal.Found, error) {
	if s.Service != "chess" {
		return journal.Found{}, refuse(wire.CodeNoService, "The service %s does not run here.", s.Service)
	}
	return r.Store.Find(ctx, s)
}

// newRowStage is a stage with games g0 to g9, of which every other is ann's and every third was won.
func newRowStage(t *testing.T) *stage {
	t.Helper()
	store, err := sqlite.OpenMemory(t.Context(), sqlite.Options{})
	must(t, err)
	t.Cleanup(func() { _ = store.Close() })
	s := newStage(t, func(p *PublicOptions, o *ServerOptions) { p.Rows, o.Rows = rowStore{store}, rowStore{store} })
	const n = channel.Name("chess:x")
	f, err := store.Claim(t.Context(), "chess", n.Shard(store.Shards()))
	must(t, err)
	c := journal.Change{Channel: n, Command: channel.Command{Channel: n, User: "ann"}}
	for i := range 10 {
		r := channel.Row{Kind: "game", Key: fmt.Sprint("g", i), Rank: int64(100 - 10*(i/2)), Body: fmt.Appendf(nil, `{"n":%d,"text":"<&>"}`, i)}
		if i%2 == 0 {
			r.Terms = append(r.Terms, "player:ann")
		}
		if i%3 == 0 {
			r.Terms = append(r.Terms, "won, by a lot")
		}
		c.Rows = append(c.Rows, r)
	}
	_, err = store.Commit(t.Context(), f, []journal.Change{c})
	must(t, err)
	return s
}

// keys are those of the rows of an answer, with what comes before.
func (a answer) keys() string {
	a.t.Helper()
	var all []string
	for _, r := range a.json()["rows"].([]any) {
		all = append(all, r.(map[string]any)["key"].(string))
	}
	return fmt.Sprint(a.json()["before"], " ", strings.Join(all, " "))
}

func TestRows(t *testing.T) {
	s := newRowStage(t)
	token := s.token("ann", "chess:*", "history")
	find := func(query string) answer { t.Helper(); return s.page(token, "/api/rows/chess/game"+query) }
	won := url.QueryEscape("won, by a lot")
	for query, want := range map[string]string{
		"":                                   "0 g0 g1 g2 g3 g4 g5 g6 g7 g8 g9",
		"?order=asc":                         "0 g9 g8 g7 g6 g5 g4 g3 g2 g1 g0",
		"?order=desc&limit=2":                "0 g0 g1",
		"?term=player:ann":                   "0 g0 g2 g4 g6 g8",
		"?term=player:ann&term=" + won:       "0 g0 g6",
		"?term=nobody":                       "0 ",
		"?key=g5":                            "5 g5",
		"?key=g6&term=player:ann":            "3 g6",
		"?key=g5&term=player:ann":            "0 ",
		"?key=no":                            "0 ",
		"?limit=-5":                          "0 g0",
		"?limit=99999999999999999999&term=x": "0 ",
	} {
		if got := find(query).keys(); got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	if a := s.page(token, "/api/rows/chess/rating.blitz"); a.keys() != "0 " || a.text("after") != "" {
		t.Error(a.body)
	}
	one := find("?key=g6").json()["rows"].([]any)[0].(map[string]any)
	if one["rank"] != 70.0 || fmt.Sprint(one["terms"]) != "[player:ann won, by a lot]" || fmt.Sprint(one["body"]) != "map[n:6 text:<&>]" {
		t.Errorf("a row is %v", one)
	}
	for _, order := range []string{"asc", "desc"} {
		var pages []string
		query := "?limit=3&term=player:ann&order=" + order
		for after := ""; ; {
			a := find(query + after)
			pages = append(pages, a.keys())
			if a.text("after") == "" {
				break
			}
			after = "&after=" + a.text("after")
		}
		want := map[string]string{"asc": "0 g8 g6 g4,3 g2 g0", "desc": "0 g0 g2 g4,3 g6 g8"}[order]
		if got := strings.Join(pages, ","); got != want {
			t.Errorf("pages %s: %q, want %q", order, got, want)
		}
	}
	if a := s.call("GET", "/api/rows/chess/game?limit=1", "").want(200); a.keys() != "0 g0" {
		t.Error(a.body)
	}
}

func TestRowsRefused(t *testing.T) {
	s := newRowStage(t)
	token := s.token("ann", "chess:*", "history")
	long := strings.Repeat("x", channel.MaxTerm+1)
	for path, code := range map[string]wire.Code{
		"/api/rows/chess/Game":                                    wire.CodeBadRequest,
		"/api/rows/chess/" + strings.Repeat("g", 33):              wire.CodeBadRequest,
		"/api/rows/none/game":                                     wire.CodeForbidden, // by the token: whether there is such a service is not told
		"/api/rows/chess:x/game":                                  wire.CodeNoService,
		"/api/rows/%00/game":                                      wire.CodeNoService,
		"/api/rows/chess@presence/game":                           wire.CodeNoService,
		"/api/rows/chess/game?term=":                              wire.CodeBadRequest,
		"/api/rows/chess/game?term=" + long:                       wire.CodeBadRequest,
		"/api/rows/chess/game?term=%ff":                           wire.CodeBadRequest,
		"/api/rows/chess/game?term=a%00":                          wire.CodeBadRequest,
		"/api/rows/chess/game?key=" + long:                        wire.CodeBadRequest,
		"/api/rows/chess/game?term=a&term=b&term=c&term=d&term=e": wire.CodeBadRequest,
		"/api/rows/chess/game?order=up":                           wire.CodeBadRequest,
		"/api/rows/chess/game?order=asc&order=asc":                wire.CodeBadRequest,
		"/api/rows/chess/game?limit=x":                            wire.CodeBadRequest,
		"/api/rows/chess/game?after=x":                            wire.CodeBadRequest,
		"/api/rows/chess/game?after=" + cursorOf("1"):             wire.CodeBadRequest,
		"/api/rows/chess/game?after=" + cursorOf("x g"):           wire.CodeBadRequest,
		"/api/rows/chess/game?key=g1&after=" + cursorOf("1 g0"):   wire.CodeBadRequest,
		"/api/rows/chess/game?terms=a":                            wire.CodeBadRequest,
		"/api/rows/chess":                                         CodeNotFound,
		"/api/rows/chess/game/g1":                                 CodeNotFound,
	} {
		s.ask(request{method: "GET", path: path, credential: token}).refused(code)
	}
	s.ask(request{method: "GET", path: "/api/rows/chess/game"}).refused(wire.CodeUnauthorized)
	s.ask(request{method: "GET", path: "/api/rows/chess/game", credential: s.token("eve", "chess:lobby", "history")}).refused(wire.CodeForbidden)
	s.ask(request{method: "GET", path: "/api/rows/chess/game", credential: s.token("eve", "chess:*", "subscribe")}).refused(wire.CodeForbidden)
	s.ask(request{method: "POST", path: "/api/rows/chess/game", credential: token}).refused(CodeMethod)
	s.call("GET", "/api/rows/none/game", "").refused(wire.CodeNoService)
	if a := s.page(token, "/api/rows/chess/game?after="+cursorOf("-9223372036854775808 g")); a.keys() != "0 " {
		t.Error(a.body)
	}
}

func TestLatest(t *testing.T) {
	var tables Tables
	s := newStage(t, func(p *PublicOptions, o *ServerOptions) {
		late := lateTables{&tables}
		p.Tables, o.Tables = late, late
	})
	tables = s.memory
	token := s.token("ann", "chat:*", "history")
	if a := s.page(token, "/api/channels/chat:a/latest"); len(a.json()["records"].([]any)) != 0 || a.text("epoch") == "" {
		t.Error(a.body)
	}
	for _, v := range []string{"a=1", "b=2", "a=3"} {
		key, data, _ := strings.Cut(v, "=")
		s.call("POST", "/api/publish", fmt.Sprintf(`{"channel":"chat:a","class":"latest","key":%q,"data":%s,"user":"bob"}`, key, data)).want(200)
	}
	for _, a := range []answer{s.page(token, "/api/channels/chat:a/latest"), s.call("GET", "/api/channels/chat:a/latest", "").want(200)} {
		var got []string
		for _, r := range a.json()["records"].([]any) {
			r := r.(map[string]any)
			got = append(got, fmt.Sprint(r["user"], r["key"], r["data"]))
		}
		if fmt.Sprint(got) != "[bobb2 boba3]" {
			t.Error(a.body)
		}
	}
	s.ask(request{method: "GET", path: "/api/channels/chat:a/latest"}).refused(wire.CodeUnauthorized)
	s.ask(request{method: "GET", path: "/api/channels/chat:secret/latest", credential: token}).refused(wire.CodeForbidden)
	s.ask(request{method: "GET", path: "/api/channels/other:a/latest", credential: token}).refused(wire.CodeForbidden)
	s.ask(request{method: "GET", path: "/api/channels/no%20name/latest", credential: token}).refused(wire.CodeBadChannel)
	s.ask(request{method: "GET", path: "/api/channels/chat:a/latest?limit=1", credential: token}).refused(wire.CodeBadRequest)
}

// lateTables are tables that are there once the stage is.
type lateTables struct{ of *Tables }

func (l lateTables) Latest(ctx context.Context, n channel.Name) (journal.Table, error) {
	return (*l.of).Latest(ctx, n)
}
