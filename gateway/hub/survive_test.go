package hub

import (
	"strings"
	"sync"
	"testing"

	"carillon/channel"
)

// member takes what there is on a worker, as a connection does. What it shares with the test has a lock.
type member struct {
	mu     sync.Mutex
	got    int
	resume func()
	heard  chan struct{} // one for each wake that brought something
}

func (m *member) Wake(c *Cursor) {
	for more := true; more; {
		var bufs [][]byte
		bufs, more, _ = c.Ready(nil, 64<<10)
		n := 0
		for _, b := range bufs {
			n += len(b)
		}
		c.Wrote(n)
		m.mu.Lock()
		m.got += n
		m.mu.Unlock()
	}
	m.heard <- struct{}{}
}

func (m *member) Resume() { m.resume() }

// spoiltFormat is a format that cannot say a record whose body begins with "spoilt".
func spoiltFormat(dst []byte, r *channel.Record) []byte {
	if strings.HasPrefix(string(r.Body), "spoilt") {
		panic("spoilt record")
	}
	return frameFormat(1)(dst, r)
}

// TestS15EncoderPanics: a record that one format cannot say ends the connections of that format which are due it, one by
// one. Their room goes on for everybody else, nobody waits for a lock, and the books of memory stay right.
func TestS15EncoderPanics(t *testing.T) {
	var h *Hub
	cursors := map[Waker]*Cursor{}
	ended := make(chan Waker, 64)
	h = newHub(t, Options{Workers: 2, Panicked: func(_ any, w Waker) {
		cursors[w].Detach()
		ended <- w
	}}, frameFormat(0), spoiltFormat)
	log := filled(t, h, "a")
	var well, ill []*member
	for i := range 40 {
		m := &member{heard: make(chan struct{}, 64)}
		c, _, err := h.Attach("a", From{}, i%2, uint64(i+1), m)
		if err != nil {
			t.Fatal(err)
		}
		cursors[m] = c
		if i%2 == 0 {
			well = append(well, m)
		} else {
			ill = append(ill, m)
		}
	}
	h.Append(log.grow("a", []byte("spoilt"), 0, false))
	gone := map[Waker]bool{}
	for range ill {
		gone[<-ended] = true
	}
	for _, m := range well {
		<-m.heard
		if gone[m] {
			t.Error("a connection of the other format was ended")
		}
	}
	if len(gone) != len(ill) {
		t.Errorf("%d connections were ended, want %d", len(gone), len(ill))
	}
	h.Append(log.grow("a", []byte("sound"), 0, false))
	for _, m := range well {
		<-m.heard
	}
	for _, c := range cursors {
		c.Detach()
	}
	if !h.Drop("a") {
		t.Fatal("the room cannot be dropped")
	}
	if s := h.Stats(); s.Bytes != 0 || s.Cursors != 0 {
		t.Errorf("after all have left: %+v", s)
	}
}

// TestS15ResumePanics: a connection that panics when it is resumed ends alone; its worker goes on.
func TestS15ResumePanics(t *testing.T) {
	ended := make(chan Waker, 1)
	h := newHub(t, Options{Workers: 1, Panicked: func(_ any, w Waker) { ended <- w }})
	bad := &member{resume: func() { panic("bad connection") }}
	done := make(chan struct{})
	h.Again(bad)
	h.Again(&member{resume: func() { close(done) }})
	if w := <-ended; w != bad {
		t.Error("another connection was ended")
	}
	<-done
}
