package transport

import (
	"errors"
	"sync"
	"sync/atomic"
)

// Source supplies what a connection has to say beyond its queue: the records its cursors are due. Its methods are
// called only by whoever holds the connection's write state, so never two at once, and with no lock held.
type Source interface {
	// Begin opens a round, before the replies of the round are taken. What becomes ready from now on waits for the next
	// round: so a reply that was queued before something became ready goes out before it.
	Begin()
	// Gather appends framed bytes to dst, whole frames only, up to about budget bytes; more says that not all fitted.
	Gather(dst [][]byte, budget int) (out [][]byte, more bool)
	// Wrote tells how many of the gathered bytes went out. If the last frame was cut in two it returns a copy of its
	// unsent tail, which the Outlet sends before anything else; frames of which nothing went out are gathered again.
	Wrote(n int) (cut []byte)
	// Again asks that Outlet.Resume be called soon from a fan-out worker.
	Again()
}

// Bounds of one turn at the socket.
const (
	maxRounds    = 4         // rounds a writer makes before a fan-out worker goes on
	roundBytes   = 256 << 10 // bytes a round takes from replies and Source, give or take one frame
	roundBuffers = 64        // buffers a round takes from replies
	keptFrames   = 8         // frames of room an empty reply queue keeps
)

// The write state of a connection. Who moves it from idle to writing touches the socket.
const (
	idle    uint32 = iota
	writing        // somebody touches the socket
	more           // the same, and must go round again
	blocked        // the socket is full; Writable goes on
	closed

	stateMask uint32 = 7
	room      uint32 = 8  // Writable came before the writer could block
	handed    uint32 = 16 // nobody touches the socket; Resume goes on
)

// ErrOverflow is returned by Send when the peer takes its replies too slowly.
var ErrOverflow = errors.New("too many replies are waiting for the peer")

// Ender is a Conn that wants to know when its last frame is queued. From then on it hands nothing to the Inbox, and it
// cuts the line when the frame has not got out within its close time-out.
type Ender interface {
	// Ending is called once per Outlet, before the last frame is written. It never blocks.
	Ending()
}

// Outlet is the write state of one connection. Every method may be called from any goroutine and none ever waits; only
// one goroutine at a time touches the socket, all others leave their bytes and go. In each round go out, in this
// order and only whole frames: the rest of a cut frame, the control frame, replies, the Source's bytes; the close
// frame goes after the replies that were there before it. The zero Outlet is not ready: call Init first.
//
// All that a write needs which carries only what the Source has to say stands in its first 64 bytes.
type Outlet struct {
	conn  Conn
	src   Source
	state atomic.Uint32
	limit int32
	owes  atomic.Bool // there may be something in the fields below; set under mu, but for rest

	mu       sync.Mutex // guards the fields up to overflow
	queue    [][]byte   // replies from head on
	head     int32
	queued   int32  // reply bytes not yet written, a cut frame's tail included
	control  []byte // newest waiting control frame
	last     bool   // control is the close frame, or was
	overflow bool   // replies were lost: only the reason for the end is still of use

	restReply bool   // rest is of a reply; like rest, it belongs to the writer
	rest      []byte // unsent tail of a cut frame
}

// Init makes the Outlet ready. limit bounds the bytes of queued replies.
func (o *Outlet) Init(c Conn, src Source, limit int) {
	o.conn, o.src, o.limit = c, src, int32(min(limit, 1<<30))
}

// Send queues one or more whole frames, a reply, and gets them going. It owns frame from now on. ErrOverflow means that
// the reply is lost, with all that still wait: the caller closes the connection. ErrClosed means that nothing goes out any more.
func (o *Outlet) Send(frame []byte) error {
	if err := o.Queue(frame); err != nil {
		return err
	}
	o.Kick()
	return nil
}

// Queue is Send for callers that must not touch the socket: somebody calls Kick soon, this goroutine or a fan-out worker.
func (o *Outlet) Queue(frame []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.last || o.state.Load() == closed:
		return ErrClosed
	case o.overflow || int(o.queued)+len(frame) > int(o.limit):
		o.overflow = true
		o.owes.Store(true)
		return ErrOverflow
	}
	o.owes.Store(true)
	o.queue = append(o.queue, frame)
	o.queued += int32(len(frame))
	return nil
}

// Control queues a control frame and gets it going. It owns frame from now on. Of frames that wait only the newest is
// kept. last says that it is the close frame: nothing is sent after it, and the Conn is closed once it is out.
func (o *Outlet) Control(frame []byte, last bool) {
	o.mu.Lock()
	if o.last || o.state.Load() == closed {
		o.mu.Unlock()
		return
	}
	o.control, o.last = frame, last
	o.owes.Store(true)
	o.mu.Unlock()
	e, knows := o.conn.(Ender)
	if last && knows {
		e.Ending()
	}
	o.Kick()
	if last && !knows && o.Blocked() {
		o.conn.Close()
	}
}

// Near reads what a write will need first, so that it is in the cache when that comes; the number means nothing.
func (o *Outlet) Near() uint32 {
	n := o.state.Load()
	if c, ok := o.conn.(interface{ Near() uint32 }); ok {
		n += c.Near()
	}
	return n
}

// Kick tells that the Source has something to say.
func (o *Outlet) Kick() {
	for {
		switch s := o.state.Load(); s & stateMask {
		case idle:
			if o.state.CompareAndSwap(s, writing) {
				o.write()
				return
			}
		case writing:
			if o.state.CompareAndSwap(s, s&^stateMask|more) {
				return
			}
		default:
			return
		}
	}
}

// Resume goes on after Source.Again. It is called by a fan-out worker, once per Again.
func (o *Outlet) Resume() {
	if o.state.CompareAndSwap(more|handed, writing) {
		o.write()
	}
}

// Writable goes on after a short write: the Inbox forwards its Writable here.
func (o *Outlet) Writable() {
	for {
		switch s := o.state.Load(); s & stateMask {
		case blocked:
			if o.state.CompareAndSwap(s, writing) {
				o.write()
				return
			}
		case writing, more:
			if s&handed != 0 || o.state.CompareAndSwap(s, s|room) {
				return
			}
		default:
			return
		}
	}
}

// Shut drops everything; later calls do nothing. A goroutine that is in the middle of a round may still finish it.
func (o *Outlet) Shut() {
	s := o.state.Swap(closed)
	if m := s & stateMask; m == idle || m == blocked || s&handed != 0 {
		o.drop()
		return
	}
	o.clear()
}

// Pending returns the reply bytes that did not go out yet.
func (o *Outlet) Pending() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return int(o.queued)
}

// Blocked tells whether the socket is full.
func (o *Outlet) Blocked() bool { return o.state.Load() == blocked }

// write makes rounds until nothing is left, the socket is full or a worker shall go on. The caller moved the state to writing.
func (o *Outlet) write() {
	for range maxRounds {
		switch o.round() {
		case allOut:
			if o.leave() {
				return
			}
		case someLeft:
			if !o.again(writing) {
				return
			}
		case full:
			if o.block() {
				return
			}
		case ended:
			o.state.Store(closed)
			o.drop()
			o.conn.Close()
			return
		}
	}
	if o.again(more | handed) {
		o.src.Again()
	}
}

// leave gives the socket back, unless somebody left something meanwhile.
func (o *Outlet) leave() bool {
	if o.state.CompareAndSwap(writing, idle) {
		return true
	}
	for {
		s := o.state.Load()
		next := writing
		switch s & stateMask {
		case closed:
			o.drop()
			return true
		case writing: // with a Writable that nobody waited for
			next = idle
		}
		if o.state.CompareAndSwap(s, next) {
			return next == idle
		}
	}
}

// again moves a state that is writing, with whatever flags, to next; false means that the line is gone.
func (o *Outlet) again(next uint32) bool {
	for {
		s := o.state.Load()
		if s == closed {
			o.drop()
			return false
		}
		if o.state.CompareAndSwap(s, next) {
			return true
		}
	}
}

// block gives the socket back until Writable, unless that came already.
func (o *Outlet) block() bool {
	for {
		s := o.state.Load()
		if s == closed {
			o.drop()
			return true
		}
		if s&room != 0 {
			if o.state.CompareAndSwap(s, writing) {
				return false
			}
		} else if o.state.CompareAndSwap(s, blocked) {
			return true
		}
	}
}

// drop forgets all bytes. Only who holds the write state, or found it held by nobody, calls it.
func (o *Outlet) drop() {
	o.rest = nil
	o.clear()
}

// clear forgets what is queued.
func (o *Outlet) clear() {
	o.mu.Lock()
	o.queue, o.head, o.queued, o.control = nil, 0, 0, nil
	o.mu.Unlock()
}
