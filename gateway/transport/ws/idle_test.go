//go:build !race

package ws

import (
	"crypto/tls"
	"net"
	"runtime"
	"strings"
	"testing"
	"unsafe"
)

// The race detector's code has deeper stacks and pools that forget, so that memory is counted without it.

// TestIdleConnectionIsCheap counts what idle lines leave in the process: one goroutine each, a shallow stack, no buffer.
func TestIdleConnectionIsCheap(t *testing.T) {
	const lines = 400
	h, addr := serveEcho(t, Options{})
	healthy(t, addr)
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	routines := runtime.NumGoroutine()
	peers := make([]net.Conn, lines)
	for i := range peers {
		p := dial(t, addr)
		for range shedFirst + 1 { // as a client does that connects, then subscribes
			p.send(fin(opText, "hello"))
			p.want("text:hello")
		}
		peers[i] = p.nc
		p.br = nil
	}
	for range 6 { // stacks shrink by half in a collection
		runtime.GC()
	}
	runtime.ReadMemStats(&after)
	heap := int(after.HeapAlloc-before.HeapAlloc) / lines
	stack := int(after.StackInuse-before.StackInuse) / lines
	extra := runtime.NumGoroutine() - routines
	t.Logf("%d lines: %d bytes of heap (both ends) and %d of stack each, %d goroutines more", h.Stats().Open, heap, stack, extra)
	if extra > lines+10 {
		t.Errorf("%d goroutines for %d lines", extra, lines)
	}
	if heap > 4096 || stack > 3584 {
		t.Errorf("a line costs %d bytes of heap and %d of stack", heap, stack)
	}
	runtime.KeepAlive(peers)
}

// idleTLS opens lines that exchange one message of size bytes each and fall silent, and returns the heap and stack
// that each leaves behind. The clients' TLS is forgotten, so that nearly all of it is the server's.
func idleTLS(t *testing.T, lines, size int) (heapBytes, stackBytes, goroutines int) {
	t.Helper()
	h := NewEcho(Options{}, 1<<20)
	_, addr := serveTLS(t, h, h, TLSOptions{}, nil)
	config := trusting()
	open := func() net.Conn {
		p := dialTLS(t, addr, config)
		text := strings.Repeat("x", size)
		p.send(fin(opText, text))
		p.want("text:" + text)
		raw := p.nc.(*tls.Conn).NetConn()
		p.nc, p.br = nil, nil
		return raw
	}
	peers := []net.Conn{open()}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&before)
	routines := runtime.NumGoroutine()
	for range lines {
		peers = append(peers, open())
	}
	for range 6 { // stacks shrink by half in a collection
		runtime.GC()
	}
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(peers)
	return int(after.HeapAlloc-before.HeapAlloc) / lines, int(after.StackInuse-before.StackInuse) / lines,
		runtime.NumGoroutine() - routines - lines
}

// TestIdleTLSIsBounded: TLS has a budget of its own, most of which is crypto/tls's state and the buffer it reads into.
func TestIdleTLSIsBounded(t *testing.T) {
	const lines = 300
	t.Logf("a tls.Conn takes %d bytes, a sealer %d, a conn %d", unsafe.Sizeof(tls.Conn{}), unsafe.Sizeof(sealer{}), unsafe.Sizeof(conn{}))
	for _, c := range []struct{ size, heap int }{{100, 12 << 10}, {16000, 48 << 10}} {
		heap, stack, extra := idleTLS(t, lines, c.size)
		t.Logf("messages of %d bytes: %d bytes of heap and %d of stack a line", c.size, heap, stack)
		if heap > c.heap || stack > 5<<10 {
			t.Errorf("an idle TLS line costs %d bytes of heap and %d of stack", heap, stack)
		}
		if extra > 20 {
			t.Errorf("%d goroutines beyond one a line", extra)
		}
	}
}
