package redis_test

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"carillon/backbone"
	"carillon/bus/redis"
	"carillon/internal/servertest"
)

func TestTerms(t *testing.T) {
	r := servertest.StartRedis(t, servertest.RedisNone...)
	for name, test := range map[string]func(*testing.T, *redis.Terms){"enter": termsEnter, "at-once": termsAtOnce, "lapse": termsLapse} {
		t.Run(name, func(t *testing.T) {
			b, err := backbone.Open(t.Context(), backbone.Options{URL: r.URL(), Prefix: name})
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			test(t, redis.NewTerms(b))
		})
	}
}

// Who comes learns of other terms that are in force, and is noted only if it knows of them; what nobody says
// any more is forgotten, and so is what is too much.
func termsEnter(t *testing.T, terms *redis.Terms) {
	enter := func(node, text string, known ...string) (bool, []redis.Term) {
		t.Helper()
		entered, others, err := terms.Enter(t.Context(), node, text, known)
		if err != nil {
			t.Fatal(err)
		}
		return entered, others
	}
	if entered, others := enter("a", "one"); !entered || len(others) != 0 {
		t.Fatal(entered, others)
	}
	if entered, others := enter("b", "one"); !entered || len(others) != 0 {
		t.Fatal(entered, others)
	}
	entered, others := enter("c", "two")
	if entered || len(others) != 1 || others[0].Text != "one" || others[0].Node != "b" || others[0].Said == 0 {
		t.Fatal(entered, others)
	}
	if entered, others := enter("d", "one"); !entered || len(others) != 0 {
		t.Fatalf("what was turned away was noted: %v, %v", entered, others)
	}
	if entered, _ := enter("c", "two", "one"); !entered {
		t.Fatal("turned away though it knows of the others")
	}
	if others, err := terms.Say(t.Context(), "a", "one"); err != nil || len(others) != 1 || others[0].Text != "two" {
		t.Fatal(others, err)
	}
	for i := range 2 * redis.MaxTerms {
		if _, err := terms.Say(t.Context(), "a", fmt.Sprint("more ", i)); err != nil {
			t.Fatal(err)
		}
	}
	if others, err := terms.Say(t.Context(), "a", "last"); err != nil || len(others) != redis.MaxTerms {
		t.Fatalf("%d are remembered, want %d: %v", len(others), redis.MaxTerms, err)
	}
}

// Of nodes that come at once on different terms, those of one text get in and the others do not.
func termsAtOnce(t *testing.T, terms *redis.Terms) {
	var coming sync.WaitGroup
	var in [4]atomic.Int32
	for i := range 32 {
		coming.Go(func() {
			entered, _, err := terms.Enter(t.Context(), fmt.Sprint("n", i), fmt.Sprint("text ", i%len(in)), nil)
			if err != nil {
				t.Error(err)
			}
			if entered {
				in[i%len(in)].Add(1)
			}
		})
	}
	coming.Wait()
	var got []int32
	for i := range in {
		if n := in[i].Load(); n > 0 {
			got = append(got, n)
		}
	}
	if !slices.Equal(got, []int32{8}) {
		t.Errorf("%v nodes of each text got in, want all 8 of one", got)
	}
}

// Terms that nobody says any more are in nobody's way.
func termsLapse(t *testing.T, terms *redis.Terms) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	if _, err := terms.Say(t.Context(), "gone", "old"); err != nil {
		t.Fatal(err)
	}
	for until := time.Now().Add(10 * redis.TermsFor); ; <-time.After(50 * time.Millisecond) {
		entered, others, err := terms.Enter(t.Context(), "new", "new", nil)
		if err != nil {
			t.Fatal(err)
		}
		if entered {
			return
		}
		if time.Now().After(until) {
			t.Fatalf("still in force: %v", others)
		}
	}
}
