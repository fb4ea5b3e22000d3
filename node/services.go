package node

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"carillon/app"
	"carillon/app/chat"
	"carillon/app/chess"
	"carillon/app/counter"
	"carillon/bus"
	"carillon/channel"
	"carillon/observe"
	"carillon/worker"
)

// services are the applications of this program. Each owns the namespace of its name where a node is told to run it.
func services() []app.Service {
	return []app.Service{chat.Service(), chess.Service(), counter.Service()}
}

// Services lists the names of all applications there are.
func Services() (names []string) {
	for _, s := range services() {
		names = append(names, s.Name)
	}
	return names
}

// Service finds an application by name.
func Service(name string) (app.Service, error) {
	all := services()
	i := slices.IndexFunc(all, func(s app.Service) bool { return s.Name == name })
	if i < 0 {
		return app.Service{}, fmt.Errorf("there is no service %q; there are: %v", name, Services())
	}
	return all[i], nil
}

// serviceBody is the largest command of a service, in bytes.
const serviceBody = 32 << 10

// withServices lays down what holds in the namespaces that services own: they write the log and say who reads it, and it
// lasts if anything does. What they keep as Latest is theirs to bound.
func withServices(plain func(channel.Name) channel.Policy, names []string, lasts bool) func(channel.Name) channel.Policy {
	if len(names) == 0 {
		return plain
	}
	return func(n channel.Name) channel.Policy {
		p := plain(n)
		if _, part := n.Part(); part != "" || !slices.Contains(names, n.Namespace()) {
			return p
		}
		p.Service, p.Guarded, p.Presence, p.Durable = true, true, true, lasts
		p.Retention, p.Latest, p.LatestEach = channel.Keep{}, channel.Keep{}, 0
		p.MaxBody = serviceBody
		return p
	}
}

// serving is what runs services: workers that work off what lies on the desk.
type serving struct {
	workers []*worker.Worker
	running sync.WaitGroup // of workers
}

// trips is the desk as clients' commands go to it: their trip is kept only where the service counts on it.
type trips struct {
	bus.Desk
	wanted map[string]bool // by namespace
}

func (n *Node) tripping() bus.Desk {
	t := trips{n.hints.desk, make(map[string]bool)}
	for _, s := range services() {
		t.wanted[s.Name] = s.Trip
	}
	return t
}

// Ask implements bus.Desk.
func (t trips) Ask(c channel.Command, done func(channel.Reply, error)) {
	if !t.wanted[c.Channel.Namespace()] {
		c.Trip = 0
	}
	t.Desk.Ask(c, done)
}

// stepped tells the gateway that a service has committed.
func (n *Node) stepped() {
	if g := n.gateway; g != nil {
		g.Stepped()
	}
}

// work makes the node follow services, and starts the workers where it is a worker. Commands that come before somebody is
// are told to come again.
func (n *Node) work(ctx context.Context) error {
	if len(n.o.Services) == 0 {
		return nil
	}
	if n.o.Roles.Gateway {
		if err := n.gateway.Follow(ctx); err != nil {
			return fmt.Errorf("following services: %w", err)
		}
	}
	if !n.o.Roles.Worker {
		return nil
	}
	desk := bus.Desk(n.hints.desk)
	if n.presence.doubts != nil {
		desk = asking{desk, n.presence.doubts}
	}
	for _, name := range n.o.Services {
		service, err := Service(name)
		if err != nil {
			return err
		}
		w, err := worker.New(worker.Options{
			Service: service, Stage: n.truth.stage, Agenda: n.truth.stage, Pulse: n.truth.stage, Desk: desk, Log: n.log,
			Waits: n.meters.asked, Steps: n.meters.stepped, Stores: n.meters.stored,
		})
		if err != nil {
			return err
		}
		n.serving.workers = append(n.serving.workers, w)
		n.serving.running.Go(func() {
			if err := w.Run(context.Background()); err != nil {
				n.log.Error("a service ended", "service", name, "error", err)
				select {
				case n.failed <- fmt.Errorf("service %s: %w", name, err):
				default: // somebody else has failed before
				}
			}
		})
	}
	return nil
}

// stopServing ends the workers after what they took in hand, and forgets who waits.
func (n *Node) stopServing() {
	for _, w := range n.serving.workers {
		w.Close()
	}
	n.hints.closeDesk()
	n.serving.running.Wait()
}

// services says how all services together do.
func (m *meters) services(n *Node) {
	r := m.registry
	total := func(of func(worker.Stats) uint64) func() uint64 {
		return func() (sum uint64) {
			for _, w := range n.serving.workers {
				sum += of(w.Stats())
			}
			return sum
		}
	}
	for outcome, of := range map[string]func(worker.Stats) uint64{
		"done":      func(s worker.Stats) uint64 { return s.Commands },
		"refused":   func(s worker.Stats) uint64 { return s.Refused },
		"question":  func(s worker.Stats) uint64 { return s.Questions },
		"duplicate": func(s worker.Stats) uint64 { return s.Duplicates },
		"failed":    func(s worker.Stats) uint64 { return s.Failed },
	} {
		r.Count(observe.ServiceCommands, total(of), observe.LabelCommand.Value(outcome))
	}
	r.Count(observe.ServiceLoads, total(func(s worker.Stats) uint64 { return s.Loads }))
	r.Count(observe.ServiceSnapshots, total(func(s worker.Stats) uint64 { return s.Snapshots }))
	r.Count(observe.ServiceFailures, total(func(s worker.Stats) uint64 { return s.Failures }))
	r.Count(observe.ServicePanics, total(func(s worker.Stats) uint64 { return s.Panics + s.Slow }))
	r.Count(observe.ServiceTimers, total(func(s worker.Stats) uint64 { return s.Timers }))
	r.Count(observe.ServiceSends, total(func(s worker.Stats) uint64 { return s.Sends }))
	r.Count(observe.ServiceResends, total(func(s worker.Stats) uint64 { return s.Resends }))
	r.Histogram(observe.ServiceWait, m.asked)
	r.Histogram(observe.ServiceStep, m.stepped)
	r.Histogram(observe.ServiceStore, m.stored)
	r.Gauge(observe.ServiceDown, func() (down float64) {
		for _, w := range n.serving.workers {
			down += float64(w.Down())
		}
		return down
	})
	machines := total(func(s worker.Stats) uint64 { return uint64(s.Machines) })
	r.Gauge(observe.ServiceMachines, func() float64 { return float64(machines()) })
	r.Gauge(observe.ServiceStopped, func() (stopped float64) {
		for _, w := range n.serving.workers {
			stopped += float64(len(w.Stopped()))
		}
		return stopped
	})
}
