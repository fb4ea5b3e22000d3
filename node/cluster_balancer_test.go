package node_test

import (
	"errors"
	"io"
	"net"
	"sync"
	"testing"
)

// balancer carries TCP lines to whichever of its servers takes them, each time to the next one, as a proxy without any
// knowledge of what it carries does. Parted, it carries nothing.
type balancer struct {
	listen net.Listener
	done   sync.WaitGroup

	mu      sync.Mutex
	servers []string
	next    int
	parted  bool
	lines   map[net.Conn]struct{}
}

func newBalancer(t testing.TB, servers ...string) *balancer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &balancer{listen: l, servers: servers, lines: map[net.Conn]struct{}{}}
	b.done.Go(b.accept)
	t.Cleanup(func() {
		b.part()
		_ = l.Close()
		b.done.Wait()
	})
	return b
}

func (b *balancer) address() string { return b.listen.Addr().String() }

// url is where clients connect.
func (b *balancer) url() string { return "ws://" + b.address() + "/ws" }

// part cuts all lines and lets none through.
func (b *balancer) part() {
	b.mu.Lock()
	b.parted = true
	for c := range b.lines {
		_ = c.Close()
	}
	b.mu.Unlock()
}

// heal lets lines through again.
func (b *balancer) heal() {
	b.mu.Lock()
	b.parted = false
	b.mu.Unlock()
}

func (b *balancer) accept() {
	for {
		near, err := b.listen.Accept()
		if err != nil {
			return
		}
		b.done.Go(func() { b.carry(near) })
	}
}

func (b *balancer) carry(near net.Conn) {
	defer near.Close()
	far, err := b.dial()
	if err != nil {
		return
	}
	defer far.Close()
	if !b.add(near, far) {
		return
	}
	defer b.remove(near, far)
	var both sync.WaitGroup
	pass := func(dst, src net.Conn) {
		_, _ = io.Copy(dst, src)
		_ = dst.(*net.TCPConn).CloseWrite()
	}
	both.Go(func() { pass(far, near) })
	both.Go(func() { pass(near, far) })
	both.Wait()
}

func (b *balancer) add(cs ...net.Conn) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range cs {
		b.lines[c] = struct{}{}
	}
	return !b.parted
}

func (b *balancer) remove(cs ...net.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range cs {
		delete(b.lines, c)
	}
}

// dial takes the next server that answers.
func (b *balancer) dial() (net.Conn, error) {
	b.mu.Lock()
	servers, first, parted := b.servers, b.next, b.parted
	b.next++
	b.mu.Unlock()
	for i := range servers {
		if c, err := net.Dial("tcp", servers[(first+i)%len(servers)]); err == nil && !parted {
			return c, nil
		}
	}
	return nil, errors.New("nobody answers")
}
