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
