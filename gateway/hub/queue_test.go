package hub

import "testing"

// TestQueueServesNewcomersFirst: what had its turn waits for what is new, but never for more than overtakes of it, and
// then it does not yield.
func TestQueueServesNewcomersFirst(t *testing.T) {
	var q queue
	q.some.L = &q.mu
	large, small := &stripe{}, &stripe{}
	q.goOn(job{stripe: large})
	for round := range 3 {
		for i := range overtakes {
			q.push(job{stripe: small})
			q.push(job{stripe: small})
			if j, yields, ok := q.pop(); !ok || !yields || j.stripe != small {
				t.Fatalf("round %d: job %d is not the newcomer", round, i)
			}
		}
		if j, yields, ok := q.pop(); !ok || yields || j.stripe != large {
			t.Fatalf("round %d: the large one waits for more than %d, or yields again", round, overtakes)
		}
		q.goOn(job{stripe: large})
	}
	for q.newcomers.Load() > 0 {
		if j, _, _ := q.pop(); j.stripe == large {
			q.goOn(j)
		}
	}
	q.pop() // may be its turn
	q.goOn(job{stripe: large})
	if j, yields, ok := q.pop(); !ok || !yields || j.stripe != large || q.waiting() != 0 {
		t.Fatal("alone it is served, and yields to who comes")
	}
}
