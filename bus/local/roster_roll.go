package local

import (
	"cmp"
	"slices"
	"sort"

	"carillon/bus"
)

// rollBlock is the most stays of a block: what an insertion may have to move.
const rollBlock = 512

// roll is a list of stays in the order of users, in sorted blocks: a change moves at most one block, and a page is found
// by halving. It is guarded by the mu of its shard.
type roll struct{ blocks [][]*stay }

func newRoll(stays map[string]*stay) *roll {
	all := make([]*stay, 0, len(stays))
	for _, s := range stays {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b *stay) int { return cmp.Compare(a.user, b.user) })
	r := &roll{}
	for block := range slices.Chunk(all, rollBlock/2) {
		r.blocks = append(r.blocks, append(make([]*stay, 0, rollBlock), block...))
	}
	return r
}

// find gives the place of the first user that is not before the given one; at the end, the block does not exist.
func (r *roll) find(user string) (block, at int) {
	block = sort.Search(len(r.blocks), func(i int) bool { b := r.blocks[i]; return b[len(b)-1].user >= user })
	if block < len(r.blocks) {
		b := r.blocks[block]
		at = sort.Search(len(b), func(i int) bool { return b[i].user >= user })
	}
	return block, at
}

func (r *roll) insert(s *stay) {
	block, at := r.find(s.user)
	switch {
	case len(r.blocks) == 0:
		r.blocks = [][]*stay{{s}}
		return
	case block == len(r.blocks):
		block, at = block-1, len(r.blocks[block-1])
	}
	b := slices.Insert(r.blocks[block], at, s)
	r.blocks[block] = b
	if len(b) > rollBlock {
		half := len(b) / 2
		r.blocks = slices.Insert(r.blocks, block+1, slices.Clone(b[half:]))
		clear(b[half:])
		r.blocks[block] = b[:half:half]
	}
}

// remove takes out a stay that is in the roll. A block that became small is joined to the next one, so that many short
// stays do not leave a long list of nearly empty blocks.
func (r *roll) remove(s *stay) {
	block, at := r.find(s.user)
	b := slices.Delete(r.blocks[block], at, at+1)
	r.blocks[block] = b
	if next := block + 1; next < len(r.blocks) && len(b)+len(r.blocks[next]) <= rollBlock/2 {
		b = append(b, r.blocks[next]...)
		r.blocks[block] = b
		r.blocks = slices.Delete(r.blocks, next, next+1)
	}
	if len(b) == 0 {
		r.blocks = slices.Delete(r.blocks, block, block+1)
	}
}

// after appends the members behind a user, until dst has limit of them.
func (r *roll) after(user string, dst []bus.Member, limit int) []bus.Member {
	block, at := r.find(user)
	if block < len(r.blocks) && user != "" && r.blocks[block][at].user == user {
		at++
	}
	for ; block < len(r.blocks) && len(dst) < limit; block, at = block+1, 0 {
		for _, s := range r.blocks[block][at:] {
			if len(dst) == limit {
				break
			}
			dst = append(dst, s.member())
		}
	}
	return dst
}
