package node_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"carillon/channel"
	"carillon/client"
	"carillon/gateway/session"
	"carillon/internal/servertest"
	"carillon/node"
	"carillon/observe"
)

// TestF11SilentClients: clients from whom nothing comes any more, and to whom nothing gets, while nobody says so. Both ends
// notice by themselves; who has another way comes back over it, lacks nothing and was never gone for the others; who has none
// is gone once the debounce is over.
func TestF11SilentClients(t *testing.T) {
	if testing.Short() {
		t.Skip("silence takes seconds")
	}
	mostlyWaits(t)
	s := session.DefaultSettings()
	if !long() {
		s.Heartbeat, s.Timeout = 2*time.Second, 2*time.Second
	}
	s.MaxPerUser = 0
	const every = 20 * time.Millisecond
	f := &silence{t: t, bound: s.Heartbeat + s.Timeout + 5*time.Second} // the last for the machine
	x := experiment{seed: rand.Uint64() >> 20, publishers: 2, channels: 2, subscribers: 6, every: every, refusals: true}
	x.records = int((s.Heartbeat + s.Timeout + 4*time.Second) / every)
	w := &world{redis: servertest.StartRedis(t, servertest.RedisNone...), prefix: "silence"}
	settings := func(o *node.Options) {
		o.Settings = s
		plain := o.Policies
		o.Policies = func(n channel.Name) channel.Policy {
			p := plain(n)
			p.Presence = true
			return p
		}
	}
	f.near, f.other = w.node(t, "near", whole, settings), w.node(t, "other", whole, settings)
	f.way = servertest.NewWay(t, f.near.Address())
	defer f.way.Heal() // before the nodes are closed
	f.watcher = meet(t, f.other, "watcher")
	for range x.subscribers {
		f.lives = append(f.lives, &life{})
	}
	lost := client.New(f.near.URL(), client.Options{Token: client.StaticToken(f.user(-1)), NetDial: f.roam("")})
	defer lost.Close()
	if _, err := lost.Subscribe(t.Context(), x.channel(0), client.SubscribeOptions{}); err != nil {
		t.Fatal(err)
	}
	o := x.play(t, []string{f.near.URL()}, client.Options{}, func(<-chan struct{}) {
		<-time.After(time.Second) // under load
		f.hush(x)
	}, func(i int, o *client.Options) {
		o.Token, o.OnState, o.NetDial = client.StaticToken(f.user(i)), f.lives[i].hear, f.roam(f.other.Address())
	})
	x.settle(t, o, f.other.URL())
	o.judge(t)
	for i, l := range f.lives {
		if n := l.count(client.Reconnecting); n != 1 {
			t.Errorf("subscriber %d lost his line %d times: %v", i, n, l.phases)
		}
	}
}

// silence is the experiment: a way to one of two nodes, which is cut.
type silence struct {
	t           *testing.T
	way         *servertest.Way
	near, other *node.Node
	lives       []*life // of the subscribers
	watcher     *person // asks the other node who is there
	bound       time.Duration
}

// user is the name of a subscriber; -1: of the one who is lost.
func (f *silence) user(i int) string {
	if i < 0 {
		return "guest-lost"
	}
	return fmt.Sprint("guest-sub", i)
}

// roam dials over the way that will be cut, and later another address; "": there is no other.
func (f *silence) roam(another string) func(ctx context.Context, network, address string) (net.Conn, error) {
	var dialled atomic.Bool
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		switch {
		case !dialled.Swap(true):
			return f.way.Dial(ctx, network, address)
		case another == "":
			return nil, errors.New("there is no other way")
		}
		var d net.Dialer
		return d.DialContext(ctx, network, another)
	}
}

// hush cuts the way and waits until everybody has noticed.
func (f *silence) hush(x experiment) {
	f.t.Helper()
	before, open := f.sockets(), scrape(f.t, f.near).of(observe.Connections)
	if before != x.subscribers+1 {
		f.t.Errorf("%d connections over the way, want %d", before, x.subscribers+1)
	}
	f.t.Logf("%s, %s between pings and for their answer", f.way.Kind(), f.bound-5*time.Second)
	f.way.Cut(servertest.Requests | servertest.Replies)
	began := time.Now()
	f.until("the server frees the sockets", began, f.bound, func() bool {
		f.checkThere(x)
		return f.sockets() == 0
	})
	if now := scrape(f.t, f.near).of(observe.Connections); now != open-float64(before) {
		f.t.Errorf("%v connections are counted, %v before", now, open)
	}
	f.until("the clients are back over another way", began, f.bound, func() bool {
		f.checkThere(x)
		return !slices.ContainsFunc(f.lives, func(l *life) bool { return l.count(client.Connected) < 2 })
	})
	if !slices.Contains(f.there(x), f.user(-1)) {
		f.t.Errorf("who is lost is gone %s after he was heard last, before the debounce is over", time.Since(began))
	}
	if !long() { // the debounce takes half a minute
		return
	}
	f.until("who is lost is gone", began, f.bound+30*time.Second, func() bool {
		f.checkThere(x)
		return !slices.Contains(f.there(x), f.user(-1))
	})
}

// until waits for something that must come about within a bound.
func (f *silence) until(what string, began time.Time, bound time.Duration, holds func() bool) {
	f.t.Helper()
	for !holds() {
		if time.Since(began) > bound+soon {
			f.t.Fatalf("it did not come about: %s", what)
		}
		<-time.After(50 * time.Millisecond)
	}
	within(f.t, what, began, bound)
}

// there are those whom the other node takes to be in the first channel.
func (f *silence) there(x experiment) (users []string) {
	f.t.Helper()
	m := f.watcher.request(`"type":"presence","channel":%q`, x.channel(0))
	p, ok := m["presence"].(map[string]any)
	if !ok {
		f.t.Fatalf("asked who is there, the node says %v", m)
	}
	members, _ := p["members"].([]any)
	for _, who := range members {
		users = append(users, who.(map[string]any)["user"].(string))
	}
	return users
}

// checkThere wants those who come back never to have been gone.
func (f *silence) checkThere(x experiment) {
	f.t.Helper()
	there := f.there(x)
	for i := 0; i < x.subscribers; i += x.channels {
		if !slices.Contains(there, f.user(i)) {
			f.t.Errorf("%s is gone, and %v are there", f.user(i), there)
		}
	}
}

// sockets counts what the node holds open to clients that came over the way. One that the kernel still has, since its end
// was not confirmed, belongs to nobody.
func (f *silence) sockets() (n int) {
	f.t.Helper()
	file, err := os.Open("/proc/net/tcp")
	if err != nil {
		f.t.Skipf("this system does not tell of its sockets: %v", err)
	}
	defer file.Close()
	port := fmt.Sprintf(":%04X", f.port())
	ip := net.ParseIP(servertest.WayHost).To4()
	host := fmt.Sprintf("%02X%02X%02X%02X:", ip[3], ip[2], ip[1], ip[0])
	for lines := bufio.NewScanner(file); lines.Scan(); {
		fields := strings.Fields(lines.Text()) // number, here, there, state, queues, timer, retries, user, time-out, inode
		if len(fields) > 9 && strings.HasSuffix(fields[1], port) && strings.HasPrefix(fields[2], host) && fields[9] != "0" {
			n++
		}
	}
	return n
}

// port is where the node listens.
func (f *silence) port() (port int) {
	_, text, err := net.SplitHostPort(f.near.Address())
	if err == nil {
		_, err = fmt.Sscan(text, &port)
	}
	if err != nil {
		f.t.Fatal(err)
	}
	return port
}
