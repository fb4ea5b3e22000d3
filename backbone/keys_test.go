package backbone

import (
	"fmt"
	"strings"
	"testing"

	"carillon/channel"
)

// TestSlots compares with the example of the Redis Cluster specification and checks that each tag lies in its part.
func TestSlots(t *testing.T) {
	if got := slot("123456789"); got != 0x31c3 {
		t.Fatalf("slot of 123456789 is %#x", got)
	}
	for p, tag := range tags {
		if got := slot(tag); got < p*slots/Partitions || got >= (p+1)*slots/Partitions {
			t.Errorf("tag %q of partition %d has slot %d", tag, p, got)
		}
	}
}

// TestKeysStay: names of keys outlive every build.
func TestKeysStay(t *testing.T) {
	b := &Backbone{prefix: DefaultPrefix}
	for got, want := range map[string]string{
		b.Key("log", "chat:lobby"):           "carillon:{29}:log:chat:lobby",
		b.Subject("chat:lobby"):              "carillon:{29}:on:chat:lobby",
		b.ShardKey("ask", "chess", 3):        "carillon:{1u}:ask/chess/3",
		b.ShardKey("ask", "a/b {c}", 3):      "carillon:{6g}:ask/a%2Fb%20%7Bc%7D/3",
		b.PartitionKey("log", 17):            "carillon:{1t}:log/17",
		b.NodeKey("inbox", "0123456789abcd"): "carillon:{q}:inbox//0123456789abcd",
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// TestSpread: channels fall evenly into partitions.
func TestSpread(t *testing.T) {
	const each = 200
	var counts [Partitions]int
	for i := range each * Partitions {
		counts[Partition(channel.Name(fmt.Sprintf("room:%d", i)))]++
	}
	for p, n := range counts {
		if n < each*2/3 || n > each*3/2 {
			t.Errorf("partition %d has %d of %d on average", p, n, each)
		}
	}
}

// TestKeysApart: no two things have one key.
func TestKeysApart(t *testing.T) {
	b := &Backbone{prefix: DefaultPrefix}
	seen := map[string]bool{}
	for _, key := range []string{
		b.Key("k", "a:1"), b.Key("k", "a"), b.Key("k", "1"), b.ShardKey("k", "a", 1), b.ShardKey("k", "a/1", 1), b.ShardKey("k", "", 1),
		b.PartitionKey("k", 1), b.NodeKey("k", "1"), b.NodeKey("k", "a/1"), b.Subject("a:1"),
	} {
		if seen[key] || strings.Count(key, "{") != 1 || strings.Count(key, "}") != 1 {
			t.Errorf("%s", key)
		}
		seen[key] = true
	}
}
