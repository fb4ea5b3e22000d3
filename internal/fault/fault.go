// Package fault makes the faults that tests and experiments need. Proxy is a TCP line that breaks as told: torn, ended or
// silent, at moments drawn from a seed. Point is a place at which a process dies as by kill -9 when a test asks for it, and
// nothing otherwise; it is all that the product uses of this. Start with NewProxy, or Point.
package fault

import (
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// Cut is a way for a line to end.
type Cut uint8

// The ways, as a peer sees them.
const (
	Reset Cut = iota // RST: what is on its way is lost
	End              // FIN in both directions
	Hush             // nothing arrives any more, and nobody says so
	cuts
)

// Plan says what becomes of the lines of a Proxy. It is asked with the Proxy's lock held, so it needs none.
type Plan struct {
	// Life is how long a line lives before it is cut; zero: for ever.
	Life func(*rand.Rand) time.Duration
	// Eat tells whether a line is cut in the place of handing n bytes down to the client; nil: never.
	Eat func(r *rand.Rand, n int) bool
}

// Proxy carries TCP lines to an address until Close. Heal ends the faults for lines that come later.
type Proxy struct {
	to     string
	plan   Plan
	listen net.Listener
	done   sync.WaitGroup

	mu     sync.Mutex
	rnd    *rand.Rand
	healed bool
	closed bool
	lines  map[*line]struct{}
	cut    int
}

type line struct {
	near, far *net.TCPConn
	timer     *time.Timer
	hushed    chan struct{}
	once      sync.Once
}

// NewProxy listens on a free loopback port.
func NewProxy(to string, seed uint64, plan Plan) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{to: to, plan: plan, listen: l, rnd: rand.New(rand.NewPCG(seed, 0)), lines: make(map[*line]struct{})}
	p.done.Go(p.accept)
	return p, nil
}

// Address is where the Proxy listens.
func (p *Proxy) Address() string { return p.listen.Addr().String() }

// Cuts is how many lines were cut.
func (p *Proxy) Cuts() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cut
}

// Heal ends the faults: lines under a plan are torn, those that come now are left alone.
func (p *Proxy) Heal() {
	p.mu.Lock()
	p.healed = true
	p.mu.Unlock()
	p.CutAll(Reset)
}

// CutAll cuts every line there is.
func (p *Proxy) CutAll(how Cut) {
	p.mu.Lock()
	var all []*line
	for l := range p.lines {
		all = append(all, l)
	}
	p.mu.Unlock()
	for _, l := range all {
		l.end(how)
	}
}

// Close ends everything and waits for it.
func (p *Proxy) Close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	_ = p.listen.Close()
	p.CutAll(Reset)
	p.done.Wait()
}

func (p *Proxy) accept() {
	for {
		near, err := p.listen.Accept()
		if err != nil {
			return
		}
		p.done.Go(func() { p.carry(near.(*net.TCPConn)) })
	}
}

func (p *Proxy) carry(near *net.TCPConn) {
	far, err := net.Dial("tcp", p.to)
	if err != nil {
		_ = near.Close()
		return
	}
	l := &line{near: near, far: far.(*net.TCPConn), hushed: make(chan struct{})}
	if !p.add(l) {
		l.end(Reset)
	}
	defer p.remove(l)
	var up sync.WaitGroup
	up.Go(func() {
		p.pass(l, l.far, l.near, false)
		l.end(End)
	})
	p.pass(l, l.near, l.far, true)
	if !l.isHushed() { // a hushed line ends when the client has noticed
		l.end(End)
	}
	up.Wait()
	l.end(Reset)
}

// pass carries one direction, as far as the plan lets it. What comes on a hushed line is swallowed.
func (p *Proxy) pass(l *line, dst, src *net.TCPConn, down bool) {
	buf := make([]byte, 16<<10)
	for {
		n, err := src.Read(buf)
		if err != nil || down && p.eats(n) {
			return
		}
		if l.isHushed() {
			continue
		}
		if _, err := dst.Write(buf[:n]); err != nil {
			return
		}
	}
}

func (l *line) isHushed() bool {
	select {
	case <-l.hushed:
		return true
	default:
		return false
	}
}

func (p *Proxy) add(l *line) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.lines[l] = struct{}{}
	if p.plan.Life != nil && !p.healed {
		how := Cut(p.rnd.IntN(int(cuts)))
		l.timer = time.AfterFunc(p.plan.Life(p.rnd), func() {
			p.mu.Lock()
			p.cut++
			p.mu.Unlock()
			l.end(how)
		})
	}
	return true
}

func (p *Proxy) remove(l *line) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l.timer != nil {
		l.timer.Stop()
	}
	delete(p.lines, l)
}

func (p *Proxy) eats(n int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.plan.Eat == nil || p.healed || !p.plan.Eat(p.rnd, n) {
		return false
	}
	p.cut++
	return true
}

// end cuts a line. A hushed line keeps its near end open, so that the client must notice by itself.
func (l *line) end(how Cut) {
	switch how {
	case Hush:
		l.once.Do(func() { close(l.hushed) })
		return
	case Reset:
		_ = l.near.SetLinger(0)
		_ = l.far.SetLinger(0)
	}
	_ = l.near.Close()
	_ = l.far.Close()
}
