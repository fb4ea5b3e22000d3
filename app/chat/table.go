package chat

import "slices"

// table is a map that is kept in the order of its keys, so that pages and snapshots need no sorting.
type table[V any] []row[V]

type row[V any] struct {
	key string
	val V
}

func (t table[V]) find(key string) (int, bool) {
	low, high := 0, len(t)
	for low < high {
		if mid := (low + high) / 2; t[mid].key < key {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low, low < len(t) && t[low].key == key
}

func (t table[V]) has(key string) bool {
	_, ok := t.find(key)
	return ok
}

// get is the value of a key, nil if there is none. It is good until the table changes.
func (t table[V]) get(key string) *V {
	if i, ok := t.find(key); ok {
		return &t[i].val
	}
	return nil
}

func (t *table[V]) put(key string, val V) {
	i, ok := t.find(key)
	if ok {
		(*t)[i].val = val
		return
	}
	*t = slices.Insert(*t, i, row[V]{key, val})
}

func (t *table[V]) drop(key string) {
	if i, ok := t.find(key); ok {
		*t = slices.Delete(*t, i, i+1)
	}
}

// page is up to limit rows after a key, and whether there are more.
func (t table[V]) page(after string, limit int) (rows table[V], more bool) {
	i, ok := t.find(after)
	if ok {
		i++
	}
	end := min(len(t), i+limit)
	return t[i:end], end < len(t)
}
