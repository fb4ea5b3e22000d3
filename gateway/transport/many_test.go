package transport

import "testing"

// counter takes everything and counts it.
type counter struct{ taken int }

func (c *counter) Write(bufs [][]byte) (n int, err error) {
	for _, b := range bufs {
		n += len(b)
	}
	c.taken += n
	return n, nil
}
func (c *counter) Close()     {}
func (c *counter) Info() Info { return Info{} }

// nothing is a Source that never has anything to say.
type nothing struct{}

func (nothing) Begin()                                          {}
func (nothing) Gather(dst [][]byte, _ int) (_ [][]byte, _ bool) { return dst, false }
func (nothing) Wrote(int) []byte                                { return nil }
func (nothing) Again()                                          {}

// afterwards is a Source with a frame that became ready after all replies were queued.
type afterwards struct {
	nothing
	frame []byte
}

func (a *afterwards) Gather(dst [][]byte, _ int) ([][]byte, bool) {
	if a.frame != nil {
		dst = append(dst, a.frame)
	}
	return dst, false
}

func (a *afterwards) Wrote(int) []byte {
	a.frame = nil
	return nil
}

// order notes the first byte of each buffer.
type order struct {
	counter
	firsts []byte
}

func (o *order) Write(bufs [][]byte) (int, error) {
	for _, b := range bufs {
		o.firsts = append(o.firsts, b[0])
	}
	return o.counter.Write(bufs)
}

// TestOutletRecordsWaitForAllReplies: what became ready behind more replies than one round takes comes after all of them.
func TestOutletRecordsWaitForAllReplies(t *testing.T) {
	var o Outlet
	c := &order{}
	o.Init(c, &afterwards{frame: []byte("record")}, 1<<20)
	for range 3 * roundBuffers {
		if err := o.Queue([]byte("p")); err != nil {
			t.Fatal(err)
		}
	}
	o.Kick()
	if len(c.firsts) != 3*roundBuffers+1 || c.firsts[3*roundBuffers] != 'r' {
		t.Errorf("went out in the order %s", c.firsts)
	}
}

// TestOutletManyReplies: more replies than fit into one round go out all the same, after a single kick.
func TestOutletManyReplies(t *testing.T) {
	for _, replies := range []int{roundBuffers, roundBuffers + 1, 2 * roundBuffers, 3*roundBuffers + 5} {
		var o Outlet
		c := &counter{}
		o.Init(c, nothing{}, 1<<20)
		for range replies {
			if err := o.Queue(make([]byte, 10)); err != nil {
				t.Fatal(err)
			}
		}
		o.Kick()
		if c.taken != 10*replies || o.Pending() != 0 {
			t.Errorf("of %d replies %d bytes went out, %d wait", replies, c.taken, o.Pending())
		}
	}
}
