// Package plan reckons how many machines a load takes, from figures that were measured, and checks the part of it that is
// about chance by drawing lots: where channels fall, and how many gateways one message reaches. It runs no server and knows
// no network. Start with Reckon; place.go is the simulation.
package plan

import (
	"fmt"
	"math"
)

// Load is what a cluster has to carry. Rates are per second.
type Load struct {
	Connections float64 // open at a time
	Published   float64 // records
	Audience    float64 // subscribers of a record, on average
	Payload     float64 // bytes of a record's body
	Lifetime    float64 // seconds that a connection lives
	TLS         bool
}

// Machine is what one gateway may use.
type Machine struct {
	Cores       float64
	Memory      float64 // bytes
	Network     float64 // bits a second, each way
	Connections float64 // most that one gateway shall have: what must come back at once when it is lost
	Price       float64 // an hour
}

// Costs are what things cost one core, in microseconds, and memory, in bytes. Known gives those that docs/benchmarks.md has, and
// assumptions for the others.
type Costs struct {
	Delivery   float64 // one record to one subscriber, alone in its write
	Publish    float64 // taking a record in hand at a gateway
	Receive    float64 // a record that another node published
	Open       float64 // handshake, token, subscribe
	Idle       float64 // of a connection, a second
	Connection float64 // bytes, the kernel's half included
	TLS        float64 // bytes more
	Append     float64 // one record in one Redis, its announcement to nobody included
	Copy       float64 // the announcement of a record to one node, in Redis
	Spare      float64 // part of everything that is kept free
}

// Known are the costs on the machine of docs/benchmarks.md. Publish, Receive, TLS, Append and Copy are assumed: of the order that was
// seen, but on a busy machine, or of neighbours of what they stand for.
func Known() Costs {
	return Costs{
		Delivery: 7.4, Publish: 35, Receive: 4, Open: 95, Idle: 0.3,
		Connection: 6.6*1024 + 4.7*1024, TLS: 12 * 1024,
		Append: 16, Copy: 1.6, Spare: 0.4,
	}
}

// Answer is what a load takes. Of Gateways the largest of the four bounds counts.
type Answer struct {
	ByCPU, ByMemory, ByNetwork, ByLoss float64
	Gateways                           int
	Copies                             float64 // gateways that one record reaches
	Redis                              int     // masters
	Deliveries                         float64 // a second, in all
	Egress                             float64 // bits a second to clients, in all
	Backbone                           float64 // bits a second from Redis to gateways, in all
	Price                              float64 // an hour; a Redis costs as much as a gateway
}

// Bytes around a body: the record and its WebSocket frame, and the headers of TCP and below; in Redis those of a message.
const (
	framing   = 110
	packet    = 66
	announced = 120
)

// Copies is how many of g gateways have at least one of a audience, where each subscriber is anywhere with equal chance.
func Copies(g, audience float64) float64 {
	if g <= 1 {
		return math.Min(1, audience)
	}
	return g * (1 - math.Pow(1-1/g, audience))
}

// Reckon says what a load takes. The number of gateways decides how many of them a record reaches, and that costs them work
// again: it is found by going round until nothing changes.
func Reckon(l Load, m Machine, c Costs) (Answer, error) {
	if l.Connections <= 0 || m.Cores <= 0 || m.Memory <= 0 || m.Network <= 0 || m.Connections <= 0 || l.Lifetime <= 0 || c.Spare < 0 || c.Spare >= 1 {
		return Answer{}, fmt.Errorf("connections, their lifetime and what a machine has must be more than 0")
	}
	free := 1 - c.Spare
	a := Answer{Deliveries: l.Published * l.Audience, ByLoss: l.Connections / m.Connections}
	perConn := c.Connection
	if l.TLS {
		perConn += c.TLS
	}
	a.ByMemory = l.Connections * perConn / (m.Memory * free)
	a.Egress = a.Deliveries * (l.Payload + framing + packet) * 8
	g := 1.0
	for range 100 {
		a.Copies = Copies(g, l.Audience)
		a.Backbone = l.Published * a.Copies * (l.Payload + announced) * 8
		work := a.Deliveries*c.Delivery + l.Published*(c.Publish+a.Copies*c.Receive) +
			l.Connections*(c.Idle+c.Open/l.Lifetime)
		a.ByCPU = work / 1e6 / (m.Cores * free)
		a.ByNetwork = math.Max(a.Egress, a.Backbone) / (m.Network * free)
		next := math.Ceil(max(a.ByCPU, a.ByMemory, a.ByNetwork, a.ByLoss, 1))
		if next <= g {
			break
		}
		g = next
	}
	a.Gateways = int(g)
	a.Redis = max(int(math.Ceil(l.Published*(c.Append+a.Copies*c.Copy)/1e6/free)), 1)
	a.Price = float64(a.Gateways+a.Redis) * m.Price
	return a, nil
}
