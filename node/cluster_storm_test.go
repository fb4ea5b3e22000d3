package node_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"carillon/internal/servertest"
	"carillon/node"
)

// TestF27AcrossNodes is TestF27PresenceStorm over three nodes and by the clock on the wall: members come back elsewhere than
// where they left, in time, and nobody is told anything; they go for good, and who watches gets a frame a second at most.
func TestF27AcrossNodes(t *testing.T) {
	if !long() {
		t.Skip("waits for minutes; with CARILLON_LONG=1")
	}
	defer calm()
	const members, nodes, crew, debounce = 5000, 3, 50, 30 * time.Second
	w := (&servers{redis: servertest.StartRedis(t, servertest.RedisNone...)}).world()
	var ns []*node.Node
	for i := range nodes {
		ns = append(ns, w.node(t, fmt.Sprint("n", i), func(o *node.Options) { o.Settings = patient().Settings }))
	}
	lines := make([]*line, members)
	all := func(act func(i int)) time.Duration {
		began := time.Now()
		var doing sync.WaitGroup
		for c := range crew {
			doing.Go(func() {
				for i := c; i < members; i += crew {
					act(i)
				}
			})
		}
		doing.Wait()
		return time.Since(began)
	}
	come := func(round int) time.Duration {
		return all(func(i int) { lines[i] = attend(t, ns[(i+round)%nodes], fmt.Sprint("u", i), "chat:storm") })
	}
	leave := func() { all(func(i int) { _ = lines[i].Close() }) }

	t.Logf("%d came within %v", members, come(0))
	var ws []*watcher
	for i := range 3 * nodes {
		ws = append(ws, watch(t, ns[i%nodes], fmt.Sprint("w", i), "chat:storm"))
	}
	quiet := func() { <-time.After(3 * time.Second) }
	for i, w := range ws {
		eventually(t, fmt.Sprintf("watcher %d is told of everybody", i), func() bool {
			told := w.taken()
			return len(told) > 0 && told[len(told)-1] == fmt.Sprint(members)
		})
	}
	quiet()
	for round := 1; round <= 3; round++ {
		gone := time.Now()
		leave()
		<-time.After(time.Duration(2*round) * time.Second)
		come(round)
		if away := time.Since(gone); away > debounce {
			t.Fatalf("this machine takes %v for a flap: longer than presence waits", away)
		}
		quiet()
	}
	for i, w := range ws {
		if told := w.taken(); len(told) != 0 {
			t.Errorf("watcher %d is told of those who are back in time: %q", i, told)
		}
	}
	<-time.After(debounce) // whatever was to come of it
	for i, w := range ws {
		if told := w.taken(); len(told) != 0 {
			t.Errorf("watcher %d is told later of those who are back in time: %q", i, told)
		}
	}

	began := time.Now()
	for i, l := range lines { // in the course of 10 s
		_ = l.Close()
		if i%(members/10) == 0 {
			<-time.After(time.Second)
		}
	}
	told := make([][]string, len(ws))
	for i, w := range ws {
		for waits := time.Now(); len(told[i]) == 0 || told[i][len(told[i])-1] != "0"; <-time.After(50 * time.Millisecond) {
			if told[i] = append(told[i], w.taken()...); time.Since(waits) > 3*debounce {
				t.Fatalf("watcher %d is not told that all are gone, but %q", i, told[i])
			}
		}
		if most := int((time.Since(began)-debounce)/time.Second) + 1; len(told[i]) < 5 || len(told[i]) > most {
			t.Errorf("watcher %d was told %d values: 5 to %d were to come: %q", i, len(told[i]), most, told[i])
		}
	}
	t.Logf("told %d times that they go, the last time %v after the first one left", len(told[0]), time.Since(began).Round(time.Second))
}

// taken is what was told since the last call.
func (w *watcher) taken() (values []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	values, w.values = w.values, nil
	return values
}
