package main

import (
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
)

// cutter is a TCP proxy that breaks each connection after a random number of bytes to the client, in the middle of a
// frame as like as not, by a reset.
type cutter struct {
	listener net.Listener
	target   string
	work     sync.WaitGroup

	mu    sync.Mutex
	rnd   *rand.Rand
	least int // bytes to the client before a cut
	most  int
	cuts  int
	open  map[net.Conn]struct{}
	over  bool
}

// startCutter runs a proxy to target until the test ends.
func startCutter(t testing.TB, target string, seed uint64, least, most int) *cutter {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &cutter{listener: l, target: target, rnd: rand.New(rand.NewPCG(seed, 0)), least: least, most: most, open: map[net.Conn]struct{}{}}
	p.work.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

func (p *cutter) url() string { return "ws://" + p.listener.Addr().String() + "/ws" }

func (p *cutter) accept() {
	for {
		conn, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.work.Go(func() { p.carry(conn) })
	}
}

// hold notes a connection that close is to break; false: the proxy is closing.
func (p *cutter) hold(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		_ = c.Close()
		return false
	}
	p.open[c] = struct{}{}
	return true
}

func (p *cutter) release(c net.Conn) {
	_ = c.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, c)
}

// budget is how many bytes a connection may carry to its client.
func (p *cutter) budget() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return int64(p.least + p.rnd.IntN(p.most-p.least))
}

func (p *cutter) carry(client net.Conn) {
	if !p.hold(client) {
		return
	}
	defer p.release(client)
	server, err := net.Dial("tcp", p.target)
	if err != nil || !p.hold(server) {
		return // the server is down: so is the line
	}
	defer p.release(server)
	var up sync.WaitGroup
	defer up.Wait()
	up.Go(func() {
		_, _ = io.Copy(server, client)
		_ = server.Close()
	})
	_, err = io.CopyN(client, server, p.budget())
	if err == nil {
		p.mu.Lock()
		p.cuts++
		p.mu.Unlock()
	}
	_ = client.(*net.TCPConn).SetLinger(0)
	_ = client.Close()
}

func (p *cutter) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cuts
}

func (p *cutter) close() {
	_ = p.listener.Close()
	p.mu.Lock()
	p.over = true
	for c := range p.open {
		_ = c.Close()
	}
	p.mu.Unlock()
	p.work.Wait()
}
