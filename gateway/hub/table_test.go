package hub

import (
	"fmt"
	"testing"

	"carillon/channel"
)

func goneNo(rev uint64, key string) channel.Record {
	r := entryNo(rev, key)
	r.Body = nil
	return r
}

// drain reads to the end, which must come.
func (h *holder) drain(t fataler) {
	for turns := 0; h.take(t, 1<<20, 1<<30); turns++ {
		if turns > 500 {
			t.Fatalf("there is no end")
		}
	}
}

// TestForgottenDeletions: who lacks more deletions than are remembered gets the table whole, and so does who comes when a
// table that was encoded before is at hand.
func TestForgottenDeletions(t *testing.T) {
	encodes, wholes := 0, 0
	h := tables(t, &encodes, &wholes, 1)
	const entries = 40 * maxDead
	rev := uint64(0)
	for i := range entries {
		rev++
		h.Append(entryNo(rev, fmt.Sprint("k", i)))
	}
	slow := newHolder(map[identity]told{})
	slow.c = mustAttach(t, h, tableName, From{})
	slow.drain(t)
	for i := range 3 * maxDead / 2 {
		rev++
		h.Append(goneNo(rev, fmt.Sprint("k", i)))
	}
	late := newHolder(map[identity]told{})
	late.c = mustAttach(t, h, tableName, From{})
	for who, s := range map[string]*holder{"slow": slow, "late": late} {
		if s.drain(t); len(s.held) != entries-3*maxDead/2 {
			t.Errorf("%s holds %d entries of %d", who, len(s.held), entries-3*maxDead/2)
		}
	}
	if slow.wholes != 2 {
		t.Errorf("the slow one was given %d whole tables", slow.wholes)
	}
}

// TestDeletionOvertakesFill: what is deleted while the journal is read does not come back with what was read.
func TestDeletionOvertakesFill(t *testing.T) {
	encodes, wholes := 0, 0
	h := tables(t, &encodes, &wholes, 1)
	s := newHolder(map[identity]told{})
	s.c = mustAttach(t, h, tableName, From{})
	read := Table{Epoch: 1, Rev: 1, Records: []channel.Record{entryNo(1, "k")}}
	h.Append(goneNo(2, "k"))
	h.FillTable(tableName, read, false)
	if s.drain(t); len(s.held) != 0 || s.wholes != 0 && s.rev > 2 {
		t.Errorf("it holds %v", s.held)
	}
	h.Append(entryNo(4, "a"))
	if need := h.Append(goneNo(3, "b")); need != NeedHole {
		t.Errorf("a deletion that comes late: need %d", need)
	}
}

// TestTableAfterLoss: who fell off the ring is given the table whole.
func TestTableAfterLoss(t *testing.T) {
	h := newHub(t, Options{Workers: 1, Policy: ringPolicy(2, 1000), Tables: []EncodeTable{tellTable}}, tellRecord)
	h.Open(tableName)
	log := &truth{base: channel.Position{Epoch: 1, Tag: 7}}
	h.Fill(tableName, log.base, nil)
	h.Append(entryNo(1, "k"))
	s := newHolder(map[identity]told{})
	s.c = mustAttach(t, h, tableName, From{})
	s.drain(t)
	for range 5 {
		h.Append(log.grow(tableName, []byte("x"), 0, false))
	}
	if s.drain(t); s.wholes != 2 || s.logged != 0 {
		t.Errorf("%d whole tables, %d records", s.wholes, s.logged)
	}
}

// TestTableOfOthersCostsNothing: a room without Latest records keeps none of this, and its cursors neither.
func TestTableOfOthersCostsNothing(t *testing.T) {
	encodes, wholes := 0, 0
	h := tables(t, &encodes, &wholes, 1)
	c := mustAttach(t, h, tableName, From{})
	log := &truth{base: channel.Position{Epoch: 1, Tag: 7}}
	dst := make([][]byte, 0, 4)
	turn := func() {
		bufs, _, _ := c.Ready(dst, 1<<20)
		n := 0
		for _, b := range bufs {
			n += len(b)
		}
		c.Wrote(n)
	}
	h.FillTable(tableName, Table{Epoch: 1}, false)
	h.Append(log.grow(tableName, []byte("x"), 0, false))
	turn()
	if h.room(tableName).latest != nil || c.table != nil {
		t.Error("there is a table of nothing")
	}
	if allocs := testing.AllocsPerRun(100, turn); allocs != 0 {
		t.Errorf("a turn allocates %v times", allocs)
	}
}
