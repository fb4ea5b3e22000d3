package node

import (
	"cmp"
	"net/http"
	"net/netip"
	"runtime/metrics"
	"strconv"
	"sync/atomic"
	"time"

	"carillon/gateway/hub"
	"carillon/gateway/limit"
	"carillon/gateway/session"
	"carillon/gateway/transport"
)

// maxAddresses bounds the addresses that are counted at a time.
const maxAddresses = 1 << 16

// gates stand before the handshake: how many connections there are, how many come from one address and how often, how
// many handshakes run at once, how many strangers are connected. What they refuse is told when to come again.
type gates struct {
	node      *Node
	proxies   atomic.Pointer[[]netip.Prefix]
	all       *limit.Share
	addresses *limit.Gate[netip.Addr]
	connects  *limit.Meter[netip.Addr]
	wrong     *limit.Meter[netip.Addr] // bad credentials
	admission *limit.Admission
	strangers *limit.Share
	traffic   *limit.Rates // of each connection
}

func newGates(n *Node) *gates {
	l := n.o.Limits
	bound := cmp.Or(l.Addresses, maxAddresses)
	g := &gates{
		node:      n,
		all:       limit.NewShare(unbounded(l.Connections)),
		addresses: limit.NewAddrGate(l.PerAddress, bound),
		connects:  limit.NewAddrMeter(l.Connects, bound),
		wrong:     limit.NewAddrMeter(l.Wrong, bound),
		admission: limit.NewAdmission(l.Admission, n.meters.waits),
		strangers: limit.NewShare(unbounded(l.Strangers)),
		traffic:   limit.NewRates(l.Requests, l.Bytes),
	}
	g.proxies.Store(&n.o.Proxies)
	return g
}

// configure changes the bounds; who is inside stays.
func (g *gates) configure(o Options) {
	l := o.Limits
	g.proxies.Store(&o.Proxies)
	g.all.SetBound(unbounded(l.Connections))
	g.addresses.SetBound(l.PerAddress)
	g.connects.SetPace(l.Connects)
	g.admission.SetBounds(l.Admission)
	g.strangers.SetBound(unbounded(l.Strangers))
	g.traffic.Requests.Set(l.Requests)
	g.traffic.Bytes.Set(l.Bytes)
	g.wrong.SetPace(l.Wrong)
	bound := cmp.Or(l.Addresses, maxAddresses)
	g.addresses.SetMaxKeys(bound)
	g.connects.SetMaxKeys(bound)
	g.wrong.SetMaxKeys(bound)
}

// unbounded turns "no bound" into the largest one.
func unbounded(n int) int {
	if n <= 0 {
		return 1 << 40
	}
	return n
}

// address is the client's own, behind trusted proxies.
func (g *gates) address(r *http.Request) netip.Addr {
	return limit.ClientIP(r.RemoteAddr, r.Header, *g.proxies.Load())
}

// ServeHTTP lets a WebSocket handshake through, or refuses it.
func (g *gates) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v := &visit{gates: g, from: g.address(r)}
	if status, wait := v.enter(r); status != 0 {
		w.Header().Set("Retry-After", strconv.Itoa(limit.Seconds(wait)))
		http.Error(w, http.StatusText(status)+": come back after the time in Retry-After.", status)
		return
	}
	taken := false
	g.node.sockets.Upgrade(w, seen(r, v.from), func(c transport.Conn) transport.Inbox {
		in := g.node.sessions.Accept(c, v)
		taken = in != nil
		return in
	})
	if !taken {
		v.Left()
	}
}

// seen is a request as from its client, where a proxy passed it on: whoever asks whose line it is means the client.
func seen(r *http.Request, from netip.Addr) *http.Request {
	if at, err := netip.ParseAddrPort(r.RemoteAddr); !from.IsValid() || err == nil && at.Addr().Unmap().WithZone("") == from {
		return r
	}
	r = r.WithContext(r.Context())
	r.RemoteAddr = from.String()
	return r
}

// visit is one who came through the gates. It implements session.Door.
type visit struct {
	gates *gates
	from  netip.Addr
	known atomic.Bool
}

var _ session.Door = (*visit)(nil)

// enter passes all gates, or none: then it says with which status and for how long to stay away.
func (v *visit) enter(r *http.Request) (status int, wait time.Duration) {
	g := v.gates
	if ok, wait := g.connects.Take(v.from, time.Now(), 1); !ok {
		return http.StatusTooManyRequests, wait
	}
	if wait := g.blocked(v.from); wait > 0 {
		return http.StatusTooManyRequests, wait
	}
	if !g.all.Enter() {
		return http.StatusServiceUnavailable, retryFull
	}
	if !g.addresses.Enter(v.from) {
		g.all.Leave()
		return http.StatusTooManyRequests, retryFull
	}
	if !g.strangers.Enter() {
		g.addresses.Leave(v.from)
		g.all.Leave()
		return http.StatusServiceUnavailable, retryFull
	}
	if err := g.admission.Enter(r.Context()); err != nil {
		v.Left()
		return http.StatusServiceUnavailable, retryAfter(err)
	}
	return 0, 0
}

// retryFull is when somebody may have left.
const retryFull = 5 * time.Second

func retryAfter(err error) time.Duration {
	if busy, ok := err.(*limit.Busy); ok {
		return busy.RetryAfter
	}
	return retryFull
}

// Known implements session.Door.
func (v *visit) Known() {
	if v.known.CompareAndSwap(false, true) {
		v.gates.strangers.Leave()
	}
}

// Guess implements session.Door.
func (v *visit) Guess() time.Duration { return v.gates.guess(v.from) }

// Forgive implements session.Door.
func (v *visit) Forgive() { v.gates.wrong.GiveBack(v.from, 1) }

// Left implements session.Door.
func (v *visit) Left() {
	v.Known()
	v.gates.addresses.Leave(v.from)
	v.gates.all.Leave()
}

// gateless accepts a line that did not come through the gates.
func (n *Node) gateless(c transport.Conn) transport.Inbox { return n.sessions.Accept(c, nil) }

// Guess implements api.Guard.
func (g *gates) Guess(remote string) time.Duration {
	addr, err := netip.ParseAddr(remote)
	if err != nil {
		return 0
	}
	return g.guess(addr)
}

// Forgive implements api.Guard.
func (g *gates) Forgive(remote string) {
	if addr, err := netip.ParseAddr(remote); err == nil {
		g.wrong.GiveBack(addr, 1)
	}
}

// guess pays for one guess of an address, or says for how long it has to stay away.
func (g *gates) guess(from netip.Addr) time.Duration {
	ok, wait := g.wrong.Take(from, time.Now(), 1)
	if ok {
		return 0
	}
	return max(wait, 1)
}

// blocked says for how long an address that showed too many bad credentials has to stay away.
func (g *gates) blocked(from netip.Addr) time.Duration {
	wait := g.guess(from)
	if wait == 0 {
		g.wrong.GiveBack(from, 1)
	}
	return wait
}

// breathEvery is how often the node looks at itself.
const breathEvery = 100 * time.Millisecond

// breathe feeds the pressure gauge: how long the fan-out lets a newcomer wait, and how full the memory is.
func (n *Node) breathe(stop <-chan struct{}) {
	ticker := time.NewTicker(breathEvery)
	defer ticker.Stop()
	p := &probe{}
	heap := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/gc/gomemlimit:bytes"}}
	for {
		select {
		case <-stop:
			return
		case <-ticker.C:
		}
		metrics.Read(heap)
		s := limit.Sample{FanoutLag: p.lag(n.hub)}
		if bound := heap[1].Value.Uint64(); bound < 1<<62 {
			s.Heap = float64(heap[0].Value.Uint64()) / float64(bound)
		}
		n.pressure.Observe(s)
	}
}

// probe measures how long the fan-out queue is: it stands in it.
type probe struct {
	asked atomic.Int64 // Unix nanoseconds; 0: it does not stand there
	last  atomic.Int64 // nanoseconds
}

// lag is how long the probe stood, or how long it has been standing.
func (p *probe) lag(h *hub.Hub) time.Duration {
	now := time.Now().UnixNano()
	if p.asked.CompareAndSwap(0, now) {
		h.Again(p)
		return time.Duration(p.last.Load())
	}
	return time.Duration(now - p.asked.Load())
}

// Wake implements hub.Waker.
func (p *probe) Wake(*hub.Cursor) {}

// Resume implements hub.Waker.
func (p *probe) Resume() {
	p.last.Store(time.Now().UnixNano() - p.asked.Load())
	p.asked.Store(0)
}
