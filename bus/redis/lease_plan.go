package redis

import (
	"cmp"
	"encoding/hex"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
)

// member is a worker of a service, as it says of itself.
type member struct {
	id     string
	inbox  string // of its desk
	shards int    // that the service has, it believes
	held   []bool // by shard: it holds the lease
}

// says is the form of a member beside its id: "SHARDS INBOX HELD", the last in hexadecimal digits, one bit a shard.
func (m *member) says() string {
	bits := make([]byte, (len(m.held)+7)/8)
	for shard, held := range m.held {
		if held {
			bits[shard/8] |= 1 << (shard % 8)
		}
	}
	return strconv.Itoa(m.shards) + " " + m.inbox + " " + hex.EncodeToString(bits)
}

func parseMember(id, says string) (m member, ok bool) {
	words := strings.Split(says, " ")
	if len(words) != 3 || len(id) > maxShort || len(words[1]) > maxShort {
		return m, false
	}
	shards, err := strconv.Atoi(words[0])
	if err != nil || shards <= 0 || shards > MaxShards || len(words[2]) != (shards+7)/8*2 {
		return m, false
	}
	bits, err := hex.DecodeString(words[2])
	if err != nil {
		return m, false
	}
	m = member{id: id, inbox: words[1], shards: shards, held: make([]bool, shards)}
	for shard := range m.held {
		m.held[shard] = bits[shard/8]&(1<<(shard%8)) != 0
	}
	return m, true
}

// divide says which member should have each shard, by its place in ms; nil members give nil. It is a pure function, so
// workers that see the same agree. Nobody gets two more than another. Nobody gives up a shard unless he has too many, so
// that one who comes gets only what the others have too much, and one who goes leaves only his own. What is free goes, as
// by rendezvous hashing, to whoever of those with room scores highest for that shard.
func divide(shards int, ms []member) []int {
	if len(ms) == 0 {
		return nil
	}
	owner := make([]int, shards)
	has := make([]int, len(ms))
	for s := range owner {
		owner[s] = best(s, ms, func(i int) bool { return s < len(ms[i].held) && ms[i].held[s] })
		if owner[s] >= 0 {
			has[owner[s]]++
		}
	}
	quota := quotas(shards, ms, has)
	for i := range ms { // gives up those for which it scores lowest
		if over := has[i] - quota[i]; over > 0 {
			mine := make([]int, 0, has[i])
			for s := range owner {
				if owner[s] == i {
					mine = append(mine, s)
				}
			}
			slices.SortFunc(mine, func(a, b int) int {
				return cmp.Or(cmp.Compare(score(a, ms[i].id), score(b, ms[i].id)), cmp.Compare(a, b))
			})
			for _, s := range mine[:over] {
				owner[s] = -1
			}
			has[i] = quota[i]
		}
	}
	for s := range owner {
		if owner[s] < 0 {
			owner[s] = best(s, ms, func(i int) bool { return has[i] < quota[i] })
			has[owner[s]]++
		}
	}
	return owner
}

// quotas are how many shards each member should have. The odd ones stay with those who have the most.
func quotas(shards int, ms []member, has []int) []int {
	order := make([]int, len(ms))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(has[b], has[a]), cmp.Compare(ms[a].id, ms[b].id))
	})
	quota := make([]int, len(ms))
	for place, i := range order {
		quota[i] = shards / len(ms)
		if place < shards%len(ms) {
			quota[i]++
		}
	}
	return quota
}

// best is the member that scores highest for a shard among those who may have it; -1: none may.
func best(shard int, ms []member, may func(i int) bool) int {
	found, top := -1, uint64(0)
	for i := range ms {
		if !may(i) {
			continue
		}
		if n := score(shard, ms[i].id); found < 0 || n > top || n == top && ms[i].id > ms[found].id {
			found, top = i, n
		}
	}
	return found
}

// score is that of a member for a shard: a hash that mixes both well.
func score(shard int, id string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(id))
	n := h.Sum64() ^ uint64(shard+1)*0x9e3779b97f4a7c15
	n = (n ^ n>>30) * 0xbf58476d1ce4e5b9
	n = (n ^ n>>27) * 0x94d049bb133111eb
	return n ^ n>>31
}
