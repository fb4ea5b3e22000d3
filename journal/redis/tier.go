package redis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"carillon/backbone"

	"github.com/redis/rueidis"
)

// Persistence is what a Redis keeps of itself.
type Persistence string

// From weak to strong.
const (
	KeepsNone     Persistence = "none"     // nothing, or snapshots: a restart loses what came since
	KeepsEverySec Persistence = "everysec" // an append-only file, synced every second
	KeepsAlways   Persistence = "always"   // an append-only file, synced before the answer
)

func (p Persistence) rank() int {
	return map[Persistence]int{KeepsAlways: 2, KeepsEverySec: 1}[p]
}

// survey asks every server that is reached what it keeps; the weakest counts. A server that forbids CONFIG is believed to
// keep as much as hint says, within what INFO says of it.
func survey(ctx context.Context, b *backbone.Backbone, hint Persistence, log *slog.Logger) (Persistence, error) {
	weakest, found := KeepsAlways, false
	var last error
	for address, node := range b.Client().Nodes() {
		keeps, evicts, err := ask(ctx, node, hint)
		if err != nil {
			last = fmt.Errorf("asking redis at %s what it keeps: %w", address, err)
			continue // a replica that is away says nothing of the others
		}
		if evicts != "" {
			log.Warn("this redis drops logs when its memory is full, and not everybody can be told; set maxmemory-policy noeviction", "address", address, "policy", evicts)
		}
		if found = true; keeps.rank() < weakest.rank() {
			weakest = keeps
		}
	}
	if !found {
		return "", errors.Join(errors.New("no redis says what it keeps"), last)
	}
	return weakest, nil
}

// ask asks one server; evicts is its policy if that drops keys.
func ask(ctx context.Context, node rueidis.Client, hint Persistence) (keeps Persistence, evicts string, err error) {
	set, err := node.Do(ctx, node.B().ConfigGet().Parameter("appendonly", "appendfsync", "maxmemory", "maxmemory-policy").Build()).AsStrMap()
	if err == nil && len(set) > 0 {
		if set["maxmemory"] != "0" && set["maxmemory-policy"] != "noeviction" {
			evicts = set["maxmemory-policy"]
		}
		return configured(set), evicts, nil
	}
	if _, refused := rueidis.IsRedisErr(err); err != nil && !refused {
		return "", "", err
	}
	info, err := node.Do(ctx, node.B().Info().Section("persistence").Build()).ToString()
	if _, refused := rueidis.IsRedisErr(err); err != nil && !refused {
		return "", "", err
	}
	switch {
	case strings.Contains(info, "aof_enabled:0"):
		return KeepsNone, "", nil
	case hint.rank() > 0:
		return hint, "", nil
	case strings.Contains(info, "aof_enabled:1"):
		return KeepsEverySec, "", nil
	}
	return KeepsNone, "", nil
}

// configured reads it from the server's settings. With appendfsync "no" the system writes whenever it likes.
func configured(set map[string]string) Persistence {
	switch {
	case set["appendonly"] != "yes":
		return KeepsNone
	case set["appendfsync"] == "always":
		return KeepsAlways
	case set["appendfsync"] == "everysec":
		return KeepsEverySec
	}
	return KeepsNone
}
