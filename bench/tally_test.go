package bench

import (
	"slices"
	"testing"

	"carillon/channel"

	"pgregory.net/rapid"
)

// receive gives a ledger of two publishers these sequence numbers of the first and returns what it thinks.
func receive(l *ledger, seqs ...uint32) (c Count) {
	for _, n := range seqs {
		l.receipt(&stamp{Seq: n}, &c)
	}
	return c
}

func TestTally(t *testing.T) {
	for _, x := range []struct {
		name string
		seqs []uint32
		want Count
	}{
		{"in order", []uint32{0, 1, 2, 3}, Count{Delivered: 4}},
		{"one lost", []uint32{0, 1, 3}, Count{Delivered: 3, Lost: 1}},
		{"first lost", []uint32{2, 3}, Count{Delivered: 2, Lost: 2}},
		{"one twice", []uint32{0, 1, 1, 2}, Count{Delivered: 3, Twice: 1}},
		{"two exchanged", []uint32{0, 2, 1, 3}, Count{Delivered: 3, Lost: 1, Twice: 1}},
		{"an old one", []uint32{0, 1, 2, 0}, Count{Delivered: 3, Twice: 1}},
	} {
		t.Run(x.name, func(t *testing.T) {
			got := receive(&ledger{next: make([]uint32, 2)}, x.seqs...)
			if got != x.want {
				t.Errorf("%v: got %+v, want %+v", x.seqs, got, x.want)
			}
			if bad := x.want.Lost+x.want.Twice > 0; bad != (got.Err() != nil) {
				t.Errorf("the verdict on %+v is %v", got, got.Err())
			}
		})
	}
}

func TestTallyForeign(t *testing.T) {
	l := &ledger{group: 1, channel: 4, next: make([]uint32, 2)}
	for _, s := range []stamp{{Group: 0, Channel: 4}, {Group: 1, Channel: 5}, {Group: 1, Channel: 4, Publisher: 2}} {
		var c Count
		if l.receipt(&s, &c); c.Foreign != 1 || c.Err() == nil {
			t.Errorf("%+v counted as %+v", s, c)
		}
	}
}

func TestTallyGap(t *testing.T) {
	l := &ledger{next: make([]uint32, 2)}
	l.gap(3, false)
	if c := receive(l, 0, 4, 6); c != (Count{Delivered: 3, Told: 3, Lost: 1}) {
		t.Errorf("got %+v: the word of the server covers three records, not four", c)
	}
	l.gap(0, true)
	if c := receive(l, 100); c != (Count{Delivered: 1, Told: 93}) {
		t.Errorf("got %+v after a gap of unknown size", c)
	}
}

func TestTallyOwed(t *testing.T) {
	l := &ledger{next: make([]uint32, 2)}
	receive(l, 0, 1, 2)
	if n := l.owed([]uint32{5, 1}); n != 3 {
		t.Errorf("%d owed, want 3", n)
	}
	l.gap(2, false)
	if n := l.owed([]uint32{5, 1}); n != 1 {
		t.Errorf("%d owed after the server excused two, want 1", n)
	}
}

// Whatever is done to an orderly stream, the verdict is bad, and exactly then.
func TestTallyFindsEveryFault(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sent := rapid.Uint32Range(3, 50).Draw(t, "sent")
		var seqs []uint32
		for n := range sent {
			seqs = append(seqs, n)
		}
		at := rapid.IntRange(0, int(sent)-2).Draw(t, "at")
		fault := rapid.SampledFrom([]string{"none", "lost", "twice", "exchanged"}).Draw(t, "fault")
		switch fault {
		case "lost":
			seqs = slices.Delete(seqs, at, at+1)
		case "twice":
			seqs = slices.Insert(seqs, at+1, seqs[at])
		case "exchanged":
			seqs[at], seqs[at+1] = seqs[at+1], seqs[at]
		}
		l := &ledger{next: make([]uint32, 1)}
		c := receive(l, seqs...)
		c.Missing = l.owed([]uint32{sent})
		if good := c.Err() == nil; good != (fault == "none") {
			t.Fatalf("%s at %d of %d: %+v, %v", fault, at, sent, c, c.Err())
		}
	})
}

func TestStamp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := stamp{
			Group: rapid.IntRange(0, 255).Draw(t, "group"), Channel: rapid.IntRange(0, 1<<24-1).Draw(t, "channel"),
			Publisher: rapid.IntRange(0, 1<<24-1).Draw(t, "publisher"), Seq: rapid.Uint32().Draw(t, "seq"),
			Due: rapid.Int64Min(0).Draw(t, "due"), Class: rapid.SampledFrom([]channel.Class{channel.Logged, channel.Fleeting}).Draw(t, "class"),
		}
		size := rapid.IntRange(minPayload, 500).Draw(t, "size")
		b := want.append(nil, size)
		if got, err := readStamp(b); len(b) != size || err != nil || got != want {
			t.Fatalf("%s (%d bytes, want %d): %+v, %v, want %+v", b, len(b), size, got, err, want)
		}
		b[rapid.IntRange(stampHead, minPayload-3).Draw(t, "damaged")] = '!'
		if got, err := readStamp(b); err == nil {
			t.Fatalf("%s is read as %+v", b, got)
		}
	})
}

func FuzzReadStamp(f *testing.F) {
	s := stamp{Group: 1, Channel: 2, Publisher: 3, Seq: 4, Due: 5}
	f.Add(s.append(nil, 100))
	f.Add([]byte(`"~~"`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := readStamp(b); err == nil {
			if again, err := readStamp(s.append(nil, len(b))); err != nil || again != s {
				t.Errorf("%q: %+v, then %+v, %v", b, s, again, err)
			}
		}
	})
}

func FuzzNextFrame(f *testing.F) {
	f.Add([]byte("\x81\x02ok"), 1)
	f.Add([]byte("\x82\x7e\x00\x03abc\x88\x00"), 4)
	f.Fuzz(func(t *testing.T, b []byte, cut int) {
		op, payload, size, err := nextFrame(b)
		if err != nil || size == 0 {
			return
		}
		if size > len(b) || len(payload) > size || op > 15 {
			t.Fatalf("frame of %d bytes, payload %d, in %d", size, len(payload), len(b))
		}
		if cut >= 0 && cut < size {
			if _, _, n, err := nextFrame(b[:cut]); n != 0 || err != nil {
				t.Fatalf("the first %d of %d bytes are taken for a frame of %d, %v", cut, size, n, err)
			}
		}
	})
}

// What is passed over in a room may come late only where it was sent again.
func TestTallyRetried(t *testing.T) {
	again := sequel{publisher: 0, seq: 1}
	for _, x := range []struct {
		name    string
		retried map[sequel]bool
		seqs    []uint32
		want    Count
		owed    uint64
	}{
		{"late", map[sequel]bool{again: true}, []uint32{0, 2, 1, 3}, Count{Delivered: 4}, 0},
		{"never", map[sequel]bool{again: true}, []uint32{0, 2, 3}, Count{Delivered: 3}, 1},
		{"late and twice", map[sequel]bool{again: true}, []uint32{0, 2, 1, 1, 3}, Count{Delivered: 4, Twice: 1}, 0},
		{"late without a reason", map[sequel]bool{}, []uint32{0, 2, 1, 3}, Count{Delivered: 3, Twice: 1}, 1},
	} {
		t.Run(x.name, func(t *testing.T) {
			l := &ledger{next: make([]uint32, 2), retried: x.retried}
			if got := receive(l, x.seqs...); got != x.want {
				t.Errorf("%v: got %+v, want %+v", x.seqs, got, x.want)
			}
			if n := l.owed([]uint32{4, 0}); n != x.owed {
				t.Errorf("%d owed, want %d", n, x.owed)
			}
		})
	}
}

// Of Latest records some may be left out, but the newest must come and none after a newer one.
func TestTallyLatest(t *testing.T) {
	l := &ledger{newest: make([]uint32, 2)}
	var c Count
	for _, n := range []uint32{0, 3, 4, 4, 2} {
		l.replace(&stamp{Seq: n, Class: channel.Latest}, &c)
	}
	if c != (Count{Latest: 3, Twice: 2}) {
		t.Errorf("got %+v", c)
	}
	if n := l.stale([]uint32{5, 0}); n != 0 {
		t.Errorf("%d values are stale, want none", n)
	}
	if n := l.stale([]uint32{6, 1}); n != 2 {
		t.Errorf("%d values are stale, want 2", n)
	}
}
