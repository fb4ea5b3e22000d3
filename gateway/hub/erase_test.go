package hub

import (
	"slices"
	"strings"
	"testing"
)

// TestErase: nobody is handed an erased body any more, neither from the ring nor from what was encoded of it; nobody loses
// a record, and a write that had begun goes on.
func TestErase(t *testing.T) {
	h := newHub(t, Options{})
	log := newTruth(1, 1)
	h.Open("a")
	h.Fill("a", log.base, nil)
	caught, lags, mid := mustAttach(t, h, "a", From{}), mustAttach(t, h, "a", From{}), mustAttach(t, h, "a", From{})
	for i := range 5 {
		h.Append(log.grow("a", []byte(strings.Repeat("s", 10+i)), 0, false))
	}
	if fs, _ := drain(t, caught); len(fs) != 5 {
		t.Fatalf("%d records", len(fs))
	}
	begun, _, _ := mid.Ready(nil, 64<<10)
	h.Erase("a", []uint64{2, 4, 99})
	before := h.Stats().Bytes

	n := 0
	for _, b := range begun {
		n += len(b)
	}
	if cut := mid.Wrote(n / 2); len(cut) == 0 {
		t.Error("half a write ends between records by chance: choose other lengths")
	}
	fresh := mustAttach(t, h, "a", From{After: log.base})
	for name, c := range map[string]*Cursor{"lags": lags, "fresh": fresh} {
		fs, losses := drain(t, c)
		var lengths []int
		for _, f := range fs {
			lengths = append(lengths, len(f.body))
		}
		if len(losses) > 0 || !slices.Equal(lengths, []int{10, 0, 12, 0, 14}) || fs[4].tag != log.head().Tag {
			t.Errorf("%s: bodies of %v bytes, losses %v", name, lengths, losses)
		}
	}
	h.Append(log.grow("a", []byte("next"), 0, false))
	if fs, losses := drain(t, caught); len(fs) != 1 || len(losses) > 0 {
		t.Errorf("who was at the head: %d records, losses %v", len(fs), losses)
	}
	if fs, losses := drain(t, mid); len(losses) > 0 || len(fs) == 0 || fs[len(fs)-1].body != "next" {
		t.Errorf("whose write had begun: %v, losses %v", fs, losses)
	}
	for _, c := range []*Cursor{caught, lags, mid, fresh} {
		c.Detach()
	}
	if h.Drop("a"); h.Stats().Bytes != 0 || before <= 0 {
		t.Errorf("%d bytes are still counted", h.Stats().Bytes)
	}
	h.Erase("a", []uint64{1}) // nobody has it
}
