package journaltest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"carillon/channel"
	"carillon/journal"

	"pgregory.net/rapid"
)

func checkRetentionRecords(t *testing.T, open Open) {
	w := enter(t, open, t.TempDir())
	const n = "records10:x"
	at := w.fill(t, n, bodies(25)...)
	p := w.read(t, n, journal.Query{})
	if p.Oldest != at[15] || p.Head != at[25] || len(p.Records) != 10 || p.Base != at[15] || p.More {
		t.Fatalf("%d records, oldest %+v, base %+v, more %v", len(p.Records), p.Oldest, p.Base, p.More)
	}
	if p = w.read(t, n, journal.Query{After: at[5]}); p.Gap != channel.GapTrimmed || len(p.Records) != 10 || p.Base != at[15] {
		t.Fatalf("from a trimmed position: gap %v, %d records", p.Gap, len(p.Records))
	}
	if p = w.read(t, n, journal.Query{After: at[5], Back: true}); p.Gap != channel.GapTrimmed || len(p.Records) != 0 {
		t.Fatalf("back from a trimmed position: gap %v, %d records", p.Gap, len(p.Records))
	}
}

func checkRetentionBytes(t *testing.T, open Open) {
	w := enter(t, open, t.TempDir())
	const n = "bytes500:x"
	for range 20 {
		w.append(channel.Record{Channel: n, Body: bytes.Repeat([]byte("7"), 100)})
	}
	if p := w.read(t, n, journal.Query{}); len(p.Records) != 5 || p.Head.Offset != 20 || p.Oldest.Offset != 15 {
		t.Fatalf("%d records of 100 bytes kept within 500, oldest %d", len(p.Records), p.Oldest.Offset)
	}
	// The newest record is kept even if it is larger than the bound.
	w.append(channel.Record{Channel: n, Body: bytes.Repeat([]byte("8"), 1000)})
	if p := w.read(t, n, journal.Query{}); len(p.Records) != 1 || p.Head.Offset != 21 {
		t.Fatalf("%d records kept after one above the bound", len(p.Records))
	}
}

func checkRetentionAge(t *testing.T, open Open) {
	w := enter(t, open, t.TempDir())
	const n = "age60:x"
	old := w.fill(t, n, bodies(5)...)
	w.clock.add(40 * time.Second)
	young := w.fill(t, n, bodies(5)...)
	if p := w.read(t, n, journal.Query{}); len(p.Records) != 10 {
		t.Fatalf("%d records of 10 after 40 s", len(p.Records))
	}
	w.clock.add(20 * time.Second)
	for _, c := range []struct {
		q       journal.Query
		gap     channel.Gap
		records int
	}{
		{journal.Query{}, channel.GapNone, 5},
		{journal.Query{After: old[2]}, channel.GapTrimmed, 5},
		{journal.Query{After: old[5]}, channel.GapNone, 5},
		{journal.Query{After: young[3]}, channel.GapNone, 2},
		{journal.Query{Back: true}, channel.GapNone, 5},
		{journal.Query{Back: true, After: young[3]}, channel.GapNone, 3},
		{journal.Query{Back: true, After: old[2]}, channel.GapTrimmed, 0},
	} {
		if p := w.read(t, n, c.q); p.Gap != c.gap || len(p.Records) != c.records || p.Oldest != old[5] || p.More {
			t.Fatalf("%+v: gap %v, %d records, oldest %+v, more %v", c.q, p.Gap, len(p.Records), p.Oldest, p.More)
		}
	}
	w.clock.add(time.Hour)
	p := w.read(t, n, journal.Query{})
	if len(p.Records) != 0 || p.Head != young[5] || p.Oldest != young[5] {
		t.Fatalf("after all are too old: %+v", p)
	}
	// The log goes on where it was.
	if at := w.append(channel.Record{Channel: n, Body: []byte("1")}); at != young[5].Next([]byte("1")) {
		t.Fatalf("goes on at %+v after %+v", at, young[5])
	}
}

func checkGaps(t *testing.T, open Open) {
	w := enter(t, open, t.TempDir())
	const n = "records10:gaps"
	at := w.fill(t, n, bodies(20)...)
	epoch := func(p channel.Position) channel.Position { p.Epoch++; return p }
	tag := func(p channel.Position) channel.Position { p.Tag ^= 1; return p }
	ahead := at[20]
	ahead.Offset += 5
	far := at[20]
	far.Offset = 1<<64 - 1
	for _, c := range []struct {
		name    string
		after   channel.Position
		gap     channel.Gap
		records int // forwards; backwards a gap's page is empty
	}{
		{"none", at[15], channel.GapNone, 5},
		{"head", at[20], channel.GapNone, 0},
		{"oldest", at[10], channel.GapNone, 10},
		{"trimmed", at[9], channel.GapTrimmed, 10},
		{"trimmed whatever the tag", tag(at[9]), channel.GapTrimmed, 10},
		{"epoch", epoch(at[15]), channel.GapEpoch, 10},
		{"epoch at the head", epoch(at[20]), channel.GapEpoch, 10},
		{"epoch ahead", epoch(ahead), channel.GapEpoch, 10},
		{"diverged", tag(at[15]), channel.GapDiverged, 0},
		{"diverged at the head", tag(at[20]), channel.GapDiverged, 0},
		{"diverged at the oldest", tag(at[10]), channel.GapDiverged, 0},
		{"ahead", ahead, channel.GapAhead, 0},
		{"far ahead", far, channel.GapAhead, 0},
	} {
		p := w.read(t, n, journal.Query{After: c.after})
		if p.Gap != c.gap || len(p.Records) != c.records || p.Head != at[20] || p.Oldest != at[10] {
			t.Errorf("%s: gap %q, %d records, head %+v", c.name, p.Gap, len(p.Records), p.Head)
		}
		back := w.read(t, n, journal.Query{After: c.after, Back: true})
		if want := 10 - c.records; back.Gap != c.gap || c.gap == channel.GapNone && len(back.Records) != want || c.gap != channel.GapNone && len(back.Records) != 0 {
			t.Errorf("%s, back: gap %q, %d records", c.name, back.Gap, len(back.Records))
		}
	}
}

// checkWindowEdges: away for one less than what is kept, exactly as much, one more.
func checkWindowEdges(t *testing.T, open Open) {
	w := enter(t, open, t.TempDir())
	for away, want := range map[int]channel.Gap{9: channel.GapNone, 10: channel.GapNone, 11: channel.GapTrimmed} {
		n := channel.Name(fmt.Sprintf("records10:edge%d", away))
		left := w.fill(t, n, bodies(15)...)[15]
		at := w.fill(t, n, bodies(away)...)
		p := w.read(t, n, journal.Query{After: left})
		if p.Gap != want || len(p.Records) != min(away, 10) || p.Records[len(p.Records)-1].At != at[away] {
			t.Errorf("away for %d of 10: gap %q, %d records", away, p.Gap, len(p.Records))
		}
	}
}

// checkPages compares pages with those of a slice.
func checkPages(t *testing.T, open Open) {
	w := enter(t, open, t.TempDir())
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		keep := rapid.SampledFrom([]int{0, 1, 3, 10}).Draw(rt, "keep")
		n := channel.Name(fmt.Sprintf("records%d:m%d", keep, run))
		if keep == 0 {
			n = channel.Name(fmt.Sprintf("all:m%d", run))
		}
		bs := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 1, 20), 0, 25).Draw(rt, "bodies")
		m := model{at: w.fill(rt, n, bs...), bodies: bs}
		if keep > 0 {
			m.oldest = max(0, len(bs)-keep)
		}
		for range 8 {
			q := journal.Query{Back: rapid.Bool().Draw(rt, "back"), Limit: rapid.IntRange(-1, 30).Draw(rt, "limit")}
			after := rapid.IntRange(-1, len(bs)).Draw(rt, "after")
			if after >= 0 {
				q.After = m.at[after]
			}
			m.compare(rt, w.read(rt, n, q), q, after)
		}
	})
}

type model struct {
	at     []channel.Position // at[i] is the position after i records
	bodies [][]byte
	oldest int
}

func (m model) compare(t tb, p journal.Page, q journal.Query, after int) {
	t.Helper()
	end := len(m.bodies)
	from, to, gap := m.oldest, end, channel.GapNone
	if after >= 0 && after < m.oldest && after < end {
		gap = channel.GapTrimmed
	}
	switch {
	case q.Back && gap != channel.GapNone:
		to = from
	case q.Back && after >= 0:
		to = after
	case !q.Back && after >= 0 && gap == channel.GapNone:
		from = after
	}
	more := false
	if limit := q.Limit; limit > 0 && to-from > limit {
		more = true
		if q.Back {
			from = to - limit
		} else {
			to = from + limit
		}
	}
	base := m.at[from]
	if from == to {
		base = m.at[end]
	}
	if p.Gap != gap || p.More != more || p.Base != base || p.Head != m.at[end] || p.Oldest != m.at[m.oldest] || len(p.Records) != to-from {
		t.Fatalf("%+v (after record %d of %d, oldest %d): want records %d to %d, more %v, gap %q; got %d, base %d, oldest %d, more %v, gap %q",
			q, after, end, m.oldest, from, to, more, gap, len(p.Records), p.Base.Offset, p.Oldest.Offset, p.More, p.Gap)
	}
	for i, r := range p.Records {
		if !bytes.Equal(r.Body, m.bodies[from+i]) {
			t.Fatalf("record %d has body %q, want %q", from+i, r.Body, m.bodies[from+i])
		}
	}
}

func checkPageBounds(t *testing.T, open Open) {
	w := enter(t, open, t.TempDir())
	w.fill(t, "a:many", bodies(journal.MaxPage+100)...)
	for _, limit := range []int{0, -1, journal.MaxPage + 1, 1 << 40} {
		for _, back := range []bool{false, true} {
			if p := w.read(t, "a:many", journal.Query{Limit: limit, Back: back}); len(p.Records) != journal.MaxPage || !p.More {
				t.Fatalf("limit %d: %d records, more %v", limit, len(p.Records), p.More)
			}
		}
	}
	var big [][]byte
	for i := range 5 {
		big = append(big, bytes.Repeat([]byte{byte('a' + i)}, 300<<10))
	}
	big = append(big, bytes.Repeat([]byte{'z'}, journal.MaxPageBytes+1))
	at := w.fill(t, "a:big", big...)
	for _, c := range []struct {
		q       journal.Query
		records int
		more    bool
	}{
		{journal.Query{}, 3, true},
		{journal.Query{After: at[3]}, 2, true},
		{journal.Query{After: at[5]}, 1, false},
		{journal.Query{Back: true}, 1, true},
		{journal.Query{Back: true, After: at[5]}, 3, true},
		{journal.Query{Back: true, After: at[2]}, 2, false},
	} {
		if p := w.read(t, "a:big", c.q); len(p.Records) != c.records || p.More != c.more {
			t.Fatalf("%+v: %d records, more %v", c.q, len(p.Records), p.More)
		}
	}
}

// checkHeadSnapshot reads while others append: a page that has no more ends at the head it names.
func checkHeadSnapshot(t *testing.T, open Open) {
	w := enter(t, open, t.TempDir())
	const n = channel.Name("a:busy")
	stop := make(chan struct{})
	var writing sync.WaitGroup
	writing.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				w.append(channel.Record{Channel: n, Body: []byte("1")})
			}
		}
	})
	var after channel.Position
	for range 300 {
		p := w.read(t, n, journal.Query{After: after, Limit: 50})
		if p.Gap != channel.GapNone {
			t.Errorf("gap %q", p.Gap)
			break
		}
		if len(p.Records) > 0 {
			after = p.Records[len(p.Records)-1].At
		}
		if !p.More && len(p.Records) > 0 && after != p.Head {
			t.Errorf("page ends at %d, head is %d, and there is no more", after.Offset, p.Head.Offset)
			break
		}
		if back := w.read(t, n, journal.Query{Back: true, Limit: 3}); len(back.Records) > 0 && back.Records[len(back.Records)-1].At != back.Head {
			t.Errorf("page from the head ends elsewhere")
			break
		}
	}
	close(stop)
	writing.Wait()
}

func checkCanceled(t *testing.T, open Open) {
	w := enter(t, open, t.TempDir())
	w.fill(t, "a:c", bodies(3)...)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := w.j.Read(ctx, "a:c", journal.Query{}); !errors.Is(err, context.Canceled) {
		t.Fatalf("read: %v", err)
	}
	if _, err := w.j.Heads(ctx, []channel.Name{"a:c"}); !errors.Is(err, context.Canceled) {
		t.Fatalf("heads: %v", err)
	}
	w.read(t, "a:c", journal.Query{})
}
