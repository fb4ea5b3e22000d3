package plan

import (
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"carillon/backbone"
)

// Command is `carillon plan`.
type Command struct {
	Connections float64 `default:"1000000" help:"Connections at a time."`
	Published   float64 `default:"100000" help:"Records published a second."`
	Audience    float64 `default:"10" help:"Subscribers of a record, on average."`
	Payload     float64 `default:"200" help:"Bytes of a record's body."`
	Lifetime    float64 `default:"1800" help:"Seconds that a connection lives."`
	TLS         bool    `name:"tls" help:"Gateways encrypt by themselves."`
	Cores       float64 `default:"16" help:"Cores of a gateway."`
	Memory      float64 `default:"64" help:"Gigabytes of a gateway."`
	Network     float64 `default:"10" help:"Gigabits a second of a gateway."`
	Most        float64 `default:"250000" help:"Connections that one gateway shall have at most: so many come back at once when it is lost."`
	Price       float64 `default:"0.6" help:"What a machine costs an hour."`

	Out io.Writer `kong:"-"` // os.Stdout where nil
}

// Help is shown by --help.
func (*Command) Help() string {
	return `Reckons gateways, Redis masters, bandwidth and price from what docs/benchmarks.md has and some assumptions, and draws lots for what chance decides:
how many gateways a record reaches, and how unevenly channels fall on Redis masters. docs/scaling.md explains the model.

  carillon plan --connections 10e6 --published 10e6 --audience 1`
}

// Run prints the plan.
func (c *Command) Run() error {
	if c.Out == nil {
		c.Out = os.Stdout
	}
	l := Load{Connections: c.Connections, Published: c.Published, Audience: c.Audience, Payload: c.Payload, Lifetime: c.Lifetime, TLS: c.TLS}
	m := Machine{Cores: c.Cores, Memory: c.Memory * (1 << 30), Network: c.Network * 1e9, Connections: c.Most, Price: c.Price}
	a, err := Reckon(l, m, Known())
	if err != nil {
		return err
	}
	t := tabwriter.NewWriter(c.Out, 0, 0, 2, ' ', 0)
	row := func(what, format string, values ...any) {
		_, _ = fmt.Fprintf(t, "%s\t%s\n", what, fmt.Sprintf(format, values...))
	}
	row("gateways", "%d  (by CPU %.1f, memory %.1f, network %.1f, what may be lost at once %.1f)", a.Gateways, a.ByCPU, a.ByMemory, a.ByNetwork, a.ByLoss)
	row("Redis masters", "%d", a.Redis)
	row("deliveries", "%s a second", short(a.Deliveries))
	row("to clients", "%sbit/s", short(a.Egress))
	row("Redis to gateways", "%sbit/s", short(a.Backbone))
	row("price", "%.2f an hour", a.Price)
	row("a record reaches", "%.2f gateways (drawn: %.2f)", a.Copies, Reached(a.Gateways, max(int(c.Audience), 1), 2000, 1))
	for _, skew := range []float64{0, 0.8, 1.1} {
		s := Channels(200_000, a.Redis, skew, 1)
		row(fmt.Sprintf("200,000 channels, skew %.1f", skew), "the busiest Redis has %.2f × the mean; the hottest channel is %.1f %% of all", s.Peak, 100*s.Hottest)
	}
	anywhere, hashed := Devices(a.Gateways, 3, 0, 5000, 1)
	row("a user with 3 devices", "is on %.2f gateways, on %.2f where the proxy hashes by user", anywhere, hashed)
	switch {
	case a.Redis > backbone.Partitions:
		row("mind", "channels fall into %d partitions: more masters than that have nothing to do; split the namespaces over several clusters", backbone.Partitions)
	case a.Redis > backbone.Partitions/4:
		row("mind", "channels fall into %d partitions, and more than %d masters share them unevenly", backbone.Partitions, backbone.Partitions/4)
	}
	return t.Flush()
}

// short writes a number with three digits and a letter.
func short(v float64) string {
	for _, unit := range []struct {
		size float64
		name string
	}{{1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if v >= unit.size {
			return fmt.Sprintf("%.3g %s", v/unit.size, unit.name)
		}
	}
	return fmt.Sprintf("%.3g ", v)
}
