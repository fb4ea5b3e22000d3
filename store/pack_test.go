package store

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"testing"
	"time"

	"carillon/channel"
	"carillon/journal"

	"pgregory.net/rapid"
)

const packEpoch = 7

func drawCommand(t *rapid.T) channel.Command {
	c := channel.Command{
		ID: rapid.String().Draw(t, "id"), Channel: "svc:x", User: rapid.String().Draw(t, "user"), Origin: rapid.Uint64().Draw(t, "origin"),
		Time: time.UnixMilli(rapid.Int64Range(-1, 1<<45).Draw(t, "time")).UTC(), Head: rapid.Uint64().Draw(t, "head"),
		Lost:   time.Duration(rapid.Int64Range(0, 1<<40).Draw(t, "lost")) * time.Millisecond,
		Waited: rapid.SampledFrom([]time.Duration{0, channel.LeastWait, time.Second}).Draw(t, "waited"),
		Trip:   time.Duration(rapid.Int64Range(0, 2).Draw(t, "trip")) * time.Millisecond,
		Binary: rapid.Bool().Draw(t, "binary"), Body: rapid.SliceOf(rapid.Byte()).Draw(t, "body"),
	}
	copy(c.Seed[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "seed"))
	return c
}

// What is packed comes back, and a row that was cut short is no row.
func TestCommandPack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var p CommandPack
		base := channel.Position{Epoch: packEpoch, Offset: rapid.Uint64().Draw(t, "offset"), Tag: rapid.Uint64().Draw(t, "tag")}
		at, first := base, rapid.Uint64Range(1, 1<<60).Draw(t, "version")
		var want []journal.Kept
		for i := range rapid.IntRange(1, 5).Draw(t, "commands") {
			c, next := drawCommand(t), at.Next([]byte{byte(i)})
			p.Add(first+uint64(i), at, next, &c)
			want = append(want, journal.Kept{Version: journal.Version(first + uint64(i)), Command: c, Head: next})
			at = next
		}
		row := CommandRow{First: p.First, Last: p.Last, Body: p.Body}
		from, got, err := unpack("svc:x", packEpoch, &row)
		if err != nil || from != base || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("%+v from %+v, %v; want %+v", got, from, err, want)
		}
		row.Body = row.Body[:rapid.IntRange(0, len(row.Body)-1).Draw(t, "cut")]
		if _, _, err := unpack("svc:x", packEpoch, &row); !errors.Is(err, errPack) {
			t.Fatalf("of a row that was cut: %v", err)
		}
	})
}

// Rows that were written before commands kept Lost, Waited and Trip are read as they were, and a command without them is
// written like them.
func TestOlderPack(t *testing.T) {
	const older = "050000000000000009" + "026964" + "03616e6e" + "07" + "80809ffae064" + "05" +
		"0102000000000000000000000000000000000000000000000000000000000000" + "01" + "020a0b" + "060000000000000008"
	c := channel.Command{ID: "id", Channel: "svc:x", User: "ann", Origin: 7, Time: time.UnixMilli(1_731_000_000_512).UTC(), Head: 5,
		Seed: [32]byte{1, 2}, Binary: true, Body: []byte{10, 11}}
	base, at := channel.Position{Epoch: packEpoch, Offset: 5, Tag: 9}, channel.Position{Epoch: packEpoch, Offset: 6, Tag: 8}
	var p CommandPack
	p.Add(3, base, at, &c)
	body, err := hex.DecodeString(older)
	if err != nil {
		t.Fatal(err)
	}
	from, got, err := unpack("svc:x", packEpoch, &CommandRow{First: 3, Last: 3, Body: body})
	if err != nil || from != base || len(got) != 1 || fmt.Sprint(got[0].Command) != fmt.Sprint(c) || got[0].Head != at {
		t.Fatalf("%+v from %+v, %v", got, from, err)
	}
	if !bytes.Equal(p.Body, body) {
		t.Fatalf("written as %x, before as %x", p.Body, body)
	}
}

// FuzzUnpack: whatever stands in a row, it is read or refused.
func FuzzUnpack(f *testing.F) {
	var p CommandPack
	var s StepPack
	at := channel.Position{Epoch: packEpoch, Offset: 1, Tag: 2}
	p.Add(1, at, at, &channel.Command{ID: "1", User: "ann", Lost: time.Second, Waited: time.Minute, Trip: time.Millisecond, Body: []byte("1")})
	s.Add("svc:x", 1, at, []uint64{4}, []channel.Access{{User: "ann", Rights: channel.Read}})
	f.Add(p.Body, uint64(1))
	f.Add(s.Body, uint64(1))
	f.Add(PackTerms([]string{"player:ann", ""}), uint64(1<<63))
	f.Fuzz(func(t *testing.T, b []byte, last uint64) {
		if _, got, err := unpack("svc:x", packEpoch, &CommandRow{First: 1, Last: last, Body: b}); err == nil && uint64(len(got)) != last {
			t.Fatalf("%d commands to version %d", len(got), last)
		}
		trail := ShardTrail{End: journal.Mark{Seq: last}}
		if got, err := trail.Steps(packEpoch, []StepRow{{First: 1, Last: last, Body: b}}, 0, 1000); err == nil && len(got) > 1000 {
			t.Fatalf("%d steps", len(got))
		}
		if terms, err := UnpackTerms(b); err == nil {
			if again, err := UnpackTerms(PackTerms(terms)); err != nil || fmt.Sprint(again) != fmt.Sprint(terms) {
				t.Fatalf("%q became %q, %v", terms, again, err)
			}
		}
	})
}
