package api

import (
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"carillon/channel"
)

// query is what stands behind the question mark: known names alone, each once, or more often if its name ends in a star.
type query map[string][]string

func parseQuery(raw string, known []string) (query, error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, bad("The query is malformed: it has names and values, %%-encoded, with & between them.")
	}
	for name, vs := range values {
		many := slices.Contains(known, name+"*")
		switch {
		case !many && !slices.Contains(known, name) && len(known) == 0:
			return nil, bad("There is nothing to say in the query here.")
		case !many && !slices.Contains(known, name):
			return nil, bad("The query takes %s, and nothing else.", strings.ReplaceAll(strings.Join(known, ", "), "*", ""))
		case len(vs) > 1 && !many:
			return nil, bad("%s stands twice in the query.", name)
		}
	}
	return query(values), nil
}

func (q query) get(name string) string {
	if vs := q[name]; len(vs) > 0 {
		return vs[0]
	}
	return ""
}

// limit is a number forced between 1 and most; what is no integer is refused.
func (q query) limit(most, absent int) (int, error) {
	s := q.get("limit")
	if s == "" {
		return absent, nil
	}
	n, err := strconv.ParseInt(s, 10, 64) // out of range, it gives the nearest number
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, bad("limit must be an integer.")
	}
	return int(min(max(n, 1), int64(most))), nil
}

// position is one as the server gave it, zero if it is absent.
func (q query) position(name string) (channel.Position, error) {
	at, err := channel.ParsePosition(q.get(name))
	if err != nil {
		return at, bad("%s must be a position as the server gave it.", name)
	}
	return at, nil
}
