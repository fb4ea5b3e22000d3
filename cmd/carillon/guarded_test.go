package main

import (
	"bytes"
	"strings"
	"sync"
	"time"
)

// guarded gathers output that a test reads while it grows.
type guarded struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{} // closed at the next write; nil if nobody waits
}

func (g *guarded) Write(b []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.changed != nil {
		close(g.changed)
		g.changed = nil
	}
	return g.text.Write(b)
}

func (g *guarded) String() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.text.String()
}

// await waits until the text holds part.
func (g *guarded) await(part string, within time.Duration) bool { return g.awaitTimes(part, 1, within) }

// awaitTimes waits until the text holds part so many times.
func (g *guarded) awaitTimes(part string, n int, within time.Duration) bool {
	deadline := time.After(within)
	for {
		g.mu.Lock()
		found := strings.Count(g.text.String(), part) >= n
		if g.changed == nil {
			g.changed = make(chan struct{})
		}
		changed := g.changed
		g.mu.Unlock()
		if found {
			return true
		}
		select {
		case <-changed:
		case <-deadline:
			return false
		}
	}
}
