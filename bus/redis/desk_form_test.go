package redis

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"carillon/channel"

	"pgregory.net/rapid"
)

func FuzzAsk(f *testing.F) {
	for _, a := range []asked{
		{inbox: "0123456789abcdef", ask: 7, command: channel.Command{ID: "x", Channel: "chat:a", User: "o'neill", Origin: 1 << 63, Age: time.Second, Waited: 5, Binary: true, Body: []byte{0, 255}}},
		{inbox: "i", command: channel.Command{Channel: "a", Body: []byte{}}},
		{inbox: strings.Repeat("i", maxShort), ask: 1<<64 - 1, command: channel.Command{ID: strings.Repeat("x", 1000), Channel: "a", User: strings.Repeat("u", 1000), Body: []byte(`{}`)}},
	} {
		f.Add(string(appendAsk(nil, &a)))
	}
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		a, err := parseAsk(s)
		if err != nil {
			return
		}
		if again := string(appendAsk(nil, &a)); again != s {
			t.Fatalf("%q is read as %+v, which is %q", s, a, again)
		}
	})
}

func FuzzAnswers(f *testing.F) {
	one := appendAnswer(nil, &answer{ask: 9, fault: "busy", reply: channel.Reply{ID: "x", At: channel.Position{Epoch: 1<<64 - 1, Offset: 2, Tag: 3}, Code: -1, Body: []byte("1")}})
	f.Add(string(one))
	f.Add(string(appendAnswer(one, &answer{})))
	f.Add("\x00\x00\x00\xff")
	f.Fuzz(func(t *testing.T, s string) {
		var again []byte
		if err := parseAnswers(s, func(a answer) { again = appendAnswer(again, &a) }); err == nil && string(again) != s {
			t.Fatalf("%q became %q", s, again)
		} else if !strings.HasPrefix(s, string(again)) {
			t.Fatalf("%q begins with %q", s, again)
		}
	})
}

func FuzzMember(f *testing.F) {
	for _, held := range [][]bool{{true}, {false, true, false, false, true, true, false, true, true}, make([]bool, MaxShards)} {
		m := member{id: "w", inbox: "i", shards: len(held), held: held}
		f.Add(m.says())
	}
	f.Add("1 i ")
	f.Add("99999999999999999999 i 00")
	f.Fuzz(func(t *testing.T, s string) {
		m, ok := parseMember("w", s)
		if !ok {
			return
		}
		again, ok := parseMember("w", m.says())
		if !ok || !reflect.DeepEqual(again, m) {
			t.Fatalf("%q is read as %+v, which is read as %+v", s, m, again)
		}
	})
}

func FuzzStreamID(f *testing.F) {
	f.Add("1732259999999-0")
	f.Add("-")
	f.Fuzz(func(t *testing.T, s string) {
		if id, ok := parseStreamID(s); ok && (id.less(id) || id.ms >= 1<<62) {
			t.Fatalf("%q is %+v", s, id)
		}
	})
}

// TestDivide: whoever comes and goes, in any order, shards are divided evenly and no more of them move than have to.
func TestDivide(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		shards := rapid.IntRange(1, 70).Draw(t, "shards")
		var ms []member
		serial := 0
		var owner []string // by shard, as settled last
		for range rapid.IntRange(1, 20).Draw(t, "events") {
			left := ""
			if len(ms) > 1 && rapid.Bool().Draw(t, "leaves") {
				i := rapid.IntRange(0, len(ms)-1).Draw(t, "who")
				left = ms[i].id
				ms = slices.Delete(ms, i, i+1)
			} else {
				serial++
				ms = append(ms, member{id: fmt.Sprintf("w%d", serial), held: make([]bool, shards)})
			}
			plan := divide(shards, ms)
			checkEven(t, plan, ms, shards)
			moved := 0
			now := make([]string, shards)
			for s, i := range plan {
				now[s] = ms[i].id
				if owner != nil && now[s] != owner[s] && owner[s] != left {
					moved++
				}
			}
			switch {
			case owner == nil:
			case left != "" && moved > 0:
				t.Fatalf("%s left, and %d shards of others moved", left, moved)
			case left == "" && moved > shards/len(ms):
				t.Fatalf("one came and gets at most %d shards, and %d moved", shards/len(ms), moved)
			}
			owner = now
			for i := range ms {
				for s := range owner {
					ms[i].held[s] = owner[s] == ms[i].id
				}
			}
			if again := divide(shards, ms); !slices.Equal(again, plan) {
				t.Fatalf("settled as %v, and then %v is wanted", plan, again)
			}
		}
	})
	if divide(3, nil) != nil {
		t.Error("nobody is there, and somebody gets a shard")
	}
}

func checkEven(t *rapid.T, plan []int, ms []member, shards int) {
	has := make([]int, len(ms))
	for _, i := range plan {
		has[i]++
	}
	for _, n := range has {
		if n < shards/len(ms) || n > (shards+len(ms)-1)/len(ms) {
			t.Fatalf("%d shards are divided as %v", shards, has)
		}
	}
}

// TestDivideContested: claims that contradict one another are settled, by all in the same way.
func TestDivideContested(t *testing.T) {
	ms := []member{{id: "a", held: []bool{true, true, true, true}}, {id: "b", held: []bool{true, true, true, true}}}
	plan := divide(4, ms)
	ms[0], ms[1] = ms[1], ms[0]
	for s, i := range divide(4, ms) {
		if i == plan[s] {
			t.Errorf("shard %d goes to another, by the order in which workers are listed", s)
		}
	}
}
