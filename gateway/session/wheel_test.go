package session

import (
	"testing"
	"testing/synctest"
	"time"
)

// clapper is something with a deadline that panics, or not.
type clapper struct {
	spoke spoke
	bad   bool
	rung  int
	ended []any
}

func (c *clapper) due(now time.Time) time.Time {
	c.rung++
	if c.bad {
		panic("bad conversation")
	}
	return now.Add(time.Second)
}

func (c *clapper) broke(v any) { c.ended = append(c.ended, v) }

// TestS15WheelSurvives: a deadline that panics ends what it is of, once, and all others are met as before.
func TestS15WheelSurvives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWheel()
		all := make([]clapper, 9)
		for i := range all {
			all[i].bad = i%3 == 1
			w.set(&all[i].spoke, &all[i], time.Now().Add(time.Second))
		}
		time.Sleep(10*time.Second + wheelTick)
		synctest.Wait()
		w.Close()
		for i := range all {
			c := &all[i]
			if c.bad && (c.rung != 1 || len(c.ended) != 1 || c.ended[0] != "bad conversation") {
				t.Errorf("the panic of %d was met %d times and told as %v", i, c.rung, c.ended)
			}
			if !c.bad && (c.rung < 8 || len(c.ended) != 0) {
				t.Errorf("%d was due %d times in ten seconds, and ended by %v", i, c.rung, c.ended)
			}
		}
	})
}
