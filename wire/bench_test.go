package wire

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"carillon/channel"
)

var benchRecord = channel.Record{
	Channel: "chat:lobby", At: channel.Position{Epoch: 0x9f3ac1d2e4b5a697, Offset: 48213, Tag: 0x1122334455667788},
	Time: time.UnixMilli(1790000000000).UTC(), From: "ann", Body: []byte(`{"text":"` + strings.Repeat("x", 88) + `"}`),
}

func publish100() Request {
	return Request{
		Type: ReqPublish, ID: 42, Channel: "chat:lobby", Idem: "0d9f6a1c-6a52-4a3e-9f0b-2f3a4b5c6d7e",
		Body: []byte(`{"text":"` + strings.Repeat("x", 88) + `"}`),
	}
}

func BenchmarkAppendRecord(b *testing.B) {
	for _, p := range Protocols() {
		b.Run(p.Name, func(b *testing.B) {
			dst := make([]byte, 0, 4096)
			b.ReportAllocs()
			for b.Loop() {
				dst = p.Codec.AppendRecord(dst[:0], &benchRecord)
			}
		})
	}
}

func BenchmarkDecodePublish(b *testing.B) {
	for _, p := range Protocols() {
		b.Run(p.Name, func(b *testing.B) {
			q := publish100()
			frame := p.Codec.AppendRequest(nil, &q)
			into := make([]Request, 0, MaxBatch)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.Codec.DecodeRequests(frame, into); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkYardstick is the standard library's check of the same publish, which only says if it is JSON.
func BenchmarkYardstick(b *testing.B) {
	q := publish100()
	frame := JSON.AppendRequest(nil, &q)
	for b.Loop() {
		if !json.Valid(frame) {
			b.Fatal("no JSON")
		}
	}
}

func BenchmarkDecodeRecord(b *testing.B) {
	for _, p := range Protocols() {
		b.Run(p.Name, func(b *testing.B) {
			frame := p.Codec.AppendRecord(nil, &benchRecord)
			into := make([]Message, 0, 1)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.Codec.DecodeMessages(frame, into); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkManyKeys shows that an object of 10,000 keys costs n log n.
func BenchmarkManyKeys(b *testing.B) {
	for _, n := range []int{10, 100, 1000, 10000} {
		var body strings.Builder
		for i := range n {
			fmt.Fprintf(&body, `,"k%d":1`, i)
		}
		text := []byte("{" + body.String()[1:] + "}")
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := CheckBody(text); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/key")
		})
	}
}
