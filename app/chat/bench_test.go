package chat

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"carillon/channel"
)

// crowd is a public room with so many members.
func crowd(b *testing.B, members int) *room {
	b.Helper()
	r := newRoom(lobby)
	for i := range members {
		do := "join"
		if i == 0 {
			do = "create"
		}
		c := channel.Command{Channel: lobby, User: fmt.Sprintf("user-%06d", i), Time: time.UnixMilli(1), Body: []byte(`{"do":"` + do + `","public":true}`)}
		if o := r.Apply(c); o.Refused != 0 {
			b.Fatalf("%s", o.Reply)
		}
	}
	return r
}

func BenchmarkSend(b *testing.B) {
	for _, members := range []int{10, 10000} {
		b.Run(fmt.Sprintf("members=%d", members), func(b *testing.B) {
			r := crowd(b, members)
			c := channel.Command{Channel: lobby, User: "user-000007", Time: time.UnixMilli(1000), Body: []byte(`{"do":"send","text":"` + strings.Repeat("words ", 16) + `"}`)}
			b.ReportAllocs()
			for b.Loop() {
				if o := r.Apply(c); o.Refused != 0 {
					b.Fatalf("%s", o.Reply)
				}
				c.Head++
			}
		})
	}
}

func BenchmarkReact(b *testing.B) {
	r := crowd(b, 100)
	r.Apply(channel.Command{Channel: lobby, User: "user-000007", Head: 10, Body: []byte(`{"do":"send","text":"x"}`)})
	c := channel.Command{Channel: lobby, User: "user-000008", Head: 11, Body: []byte(`{"do":"react","of":11,"emoji":"👍"}`)}
	b.ReportAllocs()
	for b.Loop() {
		if o := r.Apply(c); o.Refused != 0 {
			b.Fatalf("%s", o.Reply)
		}
	}
}

func BenchmarkRead(b *testing.B) {
	m := newMe(Me("ann"))
	for i := range 100 {
		m.Apply(channel.Command{Channel: m.name, User: fmt.Sprint("@chat:r", i), Body: []byte(`{"do":"joined","user":"ann"}`)})
	}
	c := channel.Command{Channel: m.name, User: "ann"}
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		n++
		c.Body = fmt.Appendf(c.Body[:0], `{"do":"read","room":"chat:r50","n":%d}`, n)
		if o := m.Apply(c); o.Refused != 0 {
			b.Fatalf("%s", o.Reply)
		}
	}
}

// BenchmarkSnapshot is that of a full window and 10,000 members.
func BenchmarkSnapshot(b *testing.B) {
	r := crowd(b, 10000)
	for i := range MaxWindow {
		r.Apply(channel.Command{Channel: lobby, User: fmt.Sprintf("user-%06d", i), Head: uint64(i), Body: []byte(`{"do":"send","text":"x"}`)})
	}
	var s []byte
	b.ReportAllocs()
	for b.Loop() {
		s = r.Snapshot(s[:0])
	}
	b.ReportMetric(float64(len(s)), "bytes")
	b.Run("restore", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := Service().Restore(lobby, s); err != nil {
				b.Fatal(err)
			}
		}
	})
}
