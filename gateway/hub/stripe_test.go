package hub

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// Everybody who was there when a record came is visited once more, however cursors come and go during the pass, and
// nobody is visited more often than records came.
func TestPassVisitsEverybody(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := New([]Encode{frameFormat(0)}, Options{Workers: 1})
		h.Close() // the test is the worker
		log := newTruth(1, 1)
		h.Open("a")
		h.Fill("a", log.base, nil)
		var cs []*Cursor
		owed, visits := map[*Cursor]bool{}, map[*Cursor]int{}
		records := map[*Cursor]int{}
		pass := func(t *rapid.T) {
			visited, more := visitSome(h.room("a"), rapid.IntRange(1, 30).Draw(t, "n"))
			for _, c := range visited {
				delete(owed, c)
				if visits[c]++; visits[c] > records[c] {
					t.Fatalf("visited %d times for %d records", visits[c], records[c])
				}
			}
			if !more && len(owed) > 0 {
				t.Fatalf("%d of %d cursors were passed over", len(owed), len(cs))
			}
		}
		attach := func(n int) {
			for range n {
				c, _, _ := h.Attach("a", From{}, 0, 0, nobody{})
				cs = append(cs, c)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"attach": func(t *rapid.T) { attach(rapid.IntRange(1, 40).Draw(t, "n")) },
			"one":    func(*rapid.T) { attach(1) },
			"detach": func(t *rapid.T) {
				for range rapid.IntRange(1, 30).Draw(t, "n") {
					if len(cs) == 0 {
						return
					}
					i := rapid.IntRange(0, len(cs)-1).Draw(t, "who")
					cs[i].Detach()
					delete(owed, cs[i])
					cs = slices.Delete(cs, i, i+1)
				}
			},
			"record": func(*rapid.T) {
				h.Append(log.grow("a", nil, 0, false))
				for _, c := range cs {
					owed[c] = true
					records[c]++
				}
			},
			"pass":  pass,
			"pass2": pass,
		})
	})
}

// visitSome does a part of a pass, up to n cursors of every stripe.
func visitSome(r *room, n int) (cs []*Cursor, more bool) {
	if r.crowd == nil {
		return nil, false
	}
	for _, s := range slices.Clone(r.crowd.stripes) {
		dst := make([]*Cursor, n)
		k, left := s.copyOut(dst)
		cs, more = append(cs, dst[:k]...), more || left
	}
	return cs, more
}
