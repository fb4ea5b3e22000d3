package servertest

import (
	"context"
	"net"
	"testing"
)

// WayHost is the address of the loopback that ways lead over. A server that is to be reached through Way.Address must
// listen there too, at the same port.
const WayHost = "127.0.0.9"

// Direction is what is cut of a way; both may be.
type Direction uint8

// The directions, as the server sees them.
const (
	Requests Direction = 1 << iota
	Replies
)

// Way is a way through the loopback to a server that can be cut without a word: nothing is closed or refused, what is sent
// does not arrive, and whoever dials gets no answer. After Heal lines that both ends still have go on where they were, as
// TCP sees to it. A way is whole when it is made, and healed with the end of the test.
type Way struct {
	t    testing.TB
	kind string
	barrier
}

// barrier is how a way is cut.
type barrier interface {
	address() string
	dial(ctx context.Context) (net.Conn, error)
	cut(d Direction) error
	heal() error
	close()
}

// NewWay makes a way to a server, given as host:port of the loopback: with packets that nft drops in the kernel, or where
// that does not work, as without root, through a proxy.
func NewWay(t testing.TB, server string) *Way {
	t.Helper()
	if b, err := newDropper(server); err == nil {
		return newWay(t, "nft", b)
	}
	return NewProxyWay(t, server)
}

// NewProxyWay makes a way through a proxy. Who dials while it is cut is taken in, and waits.
func NewProxyWay(t testing.TB, server string) *Way {
	t.Helper()
	b, err := newHolder(server)
	if err != nil {
		t.Fatal(err)
	}
	return newWay(t, "proxy", b)
}

func newWay(t testing.TB, kind string, b barrier) *Way {
	t.Cleanup(b.close)
	return &Way{t: t, kind: kind, barrier: b}
}

// Kind is "nft" or "proxy".
func (w *Way) Kind() string { return w.kind }

// Address is where the server is reached by whoever can be told no more than that.
func (w *Way) Address() string { return w.address() }

// Dial reaches the server, which sees a client at WayHost. It may stand in the place of a net.Dialer; network and address
// do not count.
func (w *Way) Dial(ctx context.Context, _, _ string) (net.Conn, error) { return w.dial(ctx) }

// Cut stops what goes in these directions. A way is cut once before it is healed.
func (w *Way) Cut(d Direction) {
	w.t.Helper()
	if err := w.cut(d); err != nil {
		w.t.Fatalf("cutting the way to %s: %v", w.address(), err)
	}
}

// Heal lets everything through again. To heal what is whole does nothing.
func (w *Way) Heal() {
	w.t.Helper()
	if err := w.heal(); err != nil {
		w.t.Fatalf("healing the way to %s: %v", w.address(), err)
	}
}

// fromHost dials from WayHost.
func fromHost() *net.Dialer {
	return &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(WayHost)}}
}
