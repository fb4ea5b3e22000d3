package transport

import "sync"

// outcome says how a round ended.
type outcome int

const (
	allOut   outcome = iota // nothing was left when the round began its write
	someLeft                // the budget ended before the bytes did
	full                    // the socket took no more
	ended                   // the close frame is out, or the line broke
)

// batch is what one round writes. Batches are pooled, so that a write allocates nothing.
type batch struct {
	bufs    [][]byte
	size    int    // bytes in bufs
	control []byte // control frame in bufs, nil for none or the close frame
	replies int    // frames
	closing bool   // the close frame comes after the replies
	source  int    // bytes of the Source, which come last
	left    bool   // there is more than fitted
}

var batches = sync.Pool{New: func() any { return &batch{bufs: make([][]byte, 0, roundBuffers+2)} }}

func (b *batch) add(p []byte) {
	b.bufs = append(b.bufs, p)
	b.size += len(p)
}

func (b *batch) release() {
	clear(b.bufs)
	*b = batch{bufs: b.bufs[:0]}
	batches.Put(b)
}

// round writes one batch.
func (o *Outlet) round() outcome {
	b := batches.Get().(*batch)
	defer b.release()
	o.src.Begin()
	ending := o.take(b)
	if !ending && !b.left && b.size < roundBytes { // replies that are left come before what became ready after them
		before := len(b.bufs)
		var more bool
		b.bufs, more = o.src.Gather(b.bufs, roundBytes-b.size)
		b.left = b.left || more // replies may be left too
		for _, p := range b.bufs[before:] {
			b.source += len(p)
		}
		b.size += b.source
	} else if !ending {
		b.left = true
	}
	if b.size == 0 {
		if b.left {
			return someLeft
		}
		return allOut
	}
	n, err := o.conn.Write(b.bufs)
	o.settle(b, n)
	switch {
	case err != nil:
		return ended
	case n < b.size:
		return full
	case b.closing || ending && !b.left:
		return ended
	case b.left:
		return someLeft
	}
	return allOut
}

// take fills b with what the Outlet itself holds. ending says that the Source is not asked any more.
func (o *Outlet) take(b *batch) (ending bool) {
	if !o.owes.Load() {
		return false
	}
	if len(o.rest) > 0 {
		b.add(o.rest)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.control != nil && !o.last {
		b.control = o.control
		b.add(o.control)
		o.control = nil
	}
	if o.overflow {
		o.queue, o.head, o.queued = nil, 0, 0
		if o.restReply {
			o.queued = int32(len(o.rest))
		}
	}
	for _, p := range o.queue[o.head:] {
		if b.replies == roundBuffers || b.size >= roundBytes {
			b.left = true
			break
		}
		b.add(p)
		b.replies++
	}
	if o.last && o.control != nil && !b.left {
		b.closing = true
		b.add(o.control)
	}
	return o.last
}

// settle accounts for the n bytes of b that went out. What was cut becomes rest, what was not touched stays queued.
func (o *Outlet) settle(b *batch, n int) {
	own := b.size - b.source
	if own > 0 {
		o.settleOwn(b, min(n, own))
	}
	if b.source > 0 {
		if cut := o.src.Wrote(max(n-own, 0)); len(cut) > 0 {
			o.rest, o.restReply = cut, false
			o.owes.Store(true)
		}
	}
}

func (o *Outlet) settleOwn(b *batch, n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.state.Load() == closed {
		return // Shut emptied the queue meanwhile
	}
	if len(o.rest) > 0 {
		k := min(n, len(o.rest))
		if o.restReply {
			o.queued -= int32(k)
		}
		n -= k
		if o.rest = o.rest[k:]; len(o.rest) == 0 {
			o.rest, o.restReply = nil, false
		}
	}
	if b.control != nil {
		left := o.cut(b.control, &n)
		if left == len(b.control) && o.control == nil {
			o.control = b.control // a newer one would have taken its place
		}
	}
	for range b.replies {
		p := o.queue[o.head]
		left := o.cut(p, &n)
		if left == len(p) {
			break
		}
		o.queued -= int32(len(p) - left)
		o.restReply = left > 0
		o.queue[o.head] = nil
		o.head++
	}
	if b.closing && o.cut(o.control, &n) < len(o.control) {
		o.control = nil
	}
	o.shrink()
	if len(o.queue) == 0 && o.control == nil && len(o.rest) == 0 && !o.last && !o.overflow {
		o.owes.Store(false)
	}
}

// cut takes p from the n bytes that went out and returns how many bytes of p did not. A tail becomes rest.
func (o *Outlet) cut(p []byte, n *int) int {
	k := min(*n, len(p))
	*n -= k
	if k > 0 && k < len(p) {
		o.rest, o.restReply = p[k:], false
	}
	return len(p) - k
}

// shrink gives room of the reply queue back.
func (o *Outlet) shrink() {
	switch waiting := len(o.queue) - int(o.head); {
	case waiting == 0 && cap(o.queue) > keptFrames:
		o.queue, o.head = nil, 0
	case waiting == 0:
		o.queue, o.head = o.queue[:0], 0
	case int(o.head) > waiting:
		k := copy(o.queue, o.queue[o.head:])
		clear(o.queue[k:])
		o.queue, o.head = o.queue[:k], 0
	}
}
