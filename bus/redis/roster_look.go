package redis

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"carillon/backbone"
	"carillon/bus"
	"carillon/channel"

	"github.com/redis/rueidis"
)

// maxPage is the most users of a page.
const maxPage = 10_000

// Members is bus.Roster's. Conn is always 0: connections are known to their own node alone.
func (r *Roster) Members(ctx context.Context, n channel.Name, after string, limit int) ([]bus.Member, int, error) {
	ms, count, _, err := r.list(ctx, n, after, limit)
	return ms, count, err
}

// Look is bus.Shared's.
func (r *Roster) Look(ctx context.Context, n channel.Name, limit int) ([]bus.Member, int, uint64, error) {
	return r.list(ctx, n, "", limit)
}

func (r *Roster) list(ctx context.Context, n channel.Name, after string, limit int) (ms []bus.Member, count int, version uint64, err error) {
	limit = min(max(limit, 0), maxPage)
	var steps []step
	for _, p := range partitionsOf(n) {
		k := r.keys(p, n, r.node)
		steps = append(steps, step{r.scripts.look, []string{k[0], k[1], k[2]}, []string{after, decimal(limit)}})
	}
	for _, a := range run(ctx, r.b, steps) {
		fields, err := a.ToArray()
		if err != nil || len(fields) < 2 {
			return nil, 0, 0, fmt.Errorf("who is in %q: %w", n, errAnswer(err))
		}
		some, _ := fields[0].AsInt64()
		count += int(some)
		version += number(fields[1])
		for f := fields[2:]; len(f) >= 2; f = f[2:] {
			user, _ := f[0].ToString()
			stay, _ := f[1].ToString()
			since, _, _ := strings.Cut(stay, "|")
			ms = append(ms, bus.Member{Channel: n, User: user, Since: inMillis(since)})
		}
	}
	if len(steps) > 1 {
		slices.SortFunc(ms, func(a, b bus.Member) int { return cmp.Compare(a.User, b.User) })
		ms = ms[:min(len(ms), limit)]
	}
	return ms, count, version, nil
}

// Versions is bus.Shared's. The version of the channel "" is not told: it has none of its own.
func (r *Roster) Versions(ctx context.Context, ns []channel.Name, watched bool) ([]uint64, error) {
	mark := "0"
	if watched {
		mark = millis(WatchedFor)
	}
	all := make([]uint64, 0, len(ns))
	for names := range slices.Chunk(ns, opsInStep) {
		steps := make([]step, len(names))
		for i, n := range names {
			k := r.keys(districtOf(n, ""), n, r.node)
			steps[i] = step{r.scripts.version, []string{k[0], k[1], k[5]}, []string{r.node, mark}}
		}
		for i, a := range run(ctx, r.b, steps) {
			m, err := a.ToMessage()
			if err != nil {
				return nil, fmt.Errorf("the version of who is in %q: %w", names[i], err)
			}
			all = append(all, number(m))
		}
	}
	return all, nil
}

// Turn is bus.Shared's.
func (r *Roster) Turn(ctx context.Context, n channel.Name, lasts time.Duration) (wait time.Duration, err error) {
	k := r.keys(districtOf(n, ""), n, r.node)
	ms, err := run(ctx, r.b, []step{{r.scripts.turn, []string{k[7]}, []string{r.node, millis(lasts)}}})[0].AsInt64()
	if err != nil {
		return 0, fmt.Errorf("whose turn it is in %q: %w", n, err)
	}
	return time.Duration(ms) * time.Millisecond, nil
}

// Unwatch is bus.Shared's.
func (r *Roster) Unwatch(ctx context.Context, n channel.Name) (last bool, err error) {
	k := r.keys(districtOf(n, ""), n, r.node)
	none, err := run(ctx, r.b, []step{{r.scripts.unwatch, []string{k[5]}, []string{r.node}}})[0].AsInt64()
	return none == 1, err
}

// Where is bus.Roster's.
func (r *Roster) Where(ctx context.Context, users []string) ([]bus.Seen, error) {
	all := make([]bus.Seen, len(users))
	var places [backbone.Partitions][]int // of users in all
	for i, u := range users {
		all[i].User = u
		p := districtOf("", u)
		places[p] = append(places[p], i)
	}
	c := r.b.Client()
	var cmds rueidis.Commands
	var asked [][]int
	for p, at := range places {
		if len(at) == 0 {
			continue
		}
		us := make([]string, len(at))
		for j, i := range at {
			us[j] = users[i]
		}
		k := r.keys(p, "", r.node)
		cmds = append(cmds, c.B().Hmget().Key(k[1]).Field(us...).Build(), c.B().Zmscore().Key(k[6]).Member(us...).Build())
		asked = append(asked, at)
	}
	if len(cmds) == 0 {
		return all, nil
	}
	ctx, cancel := context.WithTimeout(ctx, backbone.CallTimeout)
	defer cancel()
	answers := c.DoMulti(ctx, cmds...)
	now := time.Now().Add(r.o.ahead())
	for i, at := range asked {
		stays, err := answers[2*i].ToArray()
		if err != nil || len(stays) != len(at) {
			return nil, fmt.Errorf("where users are: %w", errAnswer(err))
		}
		seen, err := answers[2*i+1].ToArray()
		if err != nil || len(seen) != len(at) {
			return nil, fmt.Errorf("when users were seen: %w", errAnswer(err))
		}
		for j, place := range at {
			all[place].Online, all[place].Last = whereabouts(stays[j], seen[j], now, r.o.SeenFor)
		}
	}
	return all, nil
}

// whereabouts reads what Redis has of one user.
func whereabouts(stay, seen rueidis.RedisMessage, now time.Time, most time.Duration) (online bool, last time.Time) {
	if says, err := stay.ToString(); err == nil {
		fields := strings.SplitN(says, "|", 3)
		if len(fields) == 3 && fields[1] != "" {
			return true, inMillis(fields[1])
		}
		return true, now
	}
	if at, err := seen.AsFloat64(); err == nil {
		if last = time.UnixMilli(int64(at)).UTC(); now.Sub(last) <= most {
			return false, last
		}
	}
	return false, time.Time{}
}

func number(m rueidis.RedisMessage) uint64 {
	text, _ := m.ToString()
	n, _ := strconv.ParseUint(text, 10, 64)
	return n
}

func inMillis(text string) time.Time {
	n, _ := strconv.ParseInt(text, 10, 64)
	return time.UnixMilli(n).UTC()
}
