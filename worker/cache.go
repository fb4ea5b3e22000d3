package worker

import (
	"time"

	"carillon/channel"
)

// overhead is what a machine takes beside its state, in bytes, roughly.
const overhead = 512

// cache holds the machines of one loop, in order of use.
type cache struct {
	byName      map[channel.Name]*resident
	newest      *resident
	oldest      *resident
	bytes       int64
	maxCount    int
	maxBytes    int64
	changeCount func(int64)
}

func newCache(count int, bytes int64, changed func(int64)) *cache {
	return &cache{byName: make(map[channel.Name]*resident), maxCount: count, maxBytes: bytes, changeCount: changed}
}

// get finds a machine and notes its use.
func (c *cache) get(n channel.Name, now time.Time) *resident {
	r := c.byName[n]
	if r != nil {
		r.used = now
		if c.newest != r {
			c.unlink(r)
			c.link(r)
		}
	}
	return r
}

func (c *cache) put(r *resident, now time.Time) {
	r.used = now
	c.byName[r.name] = r
	c.link(r)
	c.bytes += int64(r.size) + overhead
	c.changeCount(1)
}

func (c *cache) drop(r *resident) {
	if c.byName[r.name] != r {
		return
	}
	delete(c.byName, r.name)
	c.unlink(r)
	c.bytes -= int64(r.size) + overhead
	c.changeCount(-1)
}

// measured notes the size of a machine's snapshot.
func (c *cache) measured(r *resident, size int) {
	c.bytes += int64(size - r.size)
	r.size = size
}

// over gives the machine to put away next because there are too many or too large ones; nil: none.
func (c *cache) over() *resident {
	if len(c.byName) <= c.maxCount && c.bytes <= c.maxBytes {
		return nil
	}
	return c.resting(time.Time{})
}

// resting gives the machine that was not used for the longest time, unless it was after a moment (zero: whenever) or has
// changes in flight.
func (c *cache) resting(before time.Time) *resident {
	for r := c.oldest; r != nil; r = r.newer {
		if !before.IsZero() && r.used.After(before) {
			return nil
		}
		if r.pending == 0 {
			return r
		}
	}
	return nil
}

func (c *cache) link(r *resident) {
	r.older, r.newer = c.newest, nil
	if c.newest != nil {
		c.newest.newer = r
	} else {
		c.oldest = r
	}
	c.newest = r
}

func (c *cache) unlink(r *resident) {
	if r.newer != nil {
		r.newer.older = r.older
	} else {
		c.newest = r.older
	}
	if r.older != nil {
		r.older.newer = r.newer
	} else {
		c.oldest = r.newer
	}
	r.newer, r.older = nil, nil
}
