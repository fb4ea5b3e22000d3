package plan

import (
	"math"
	"strings"
	"testing"
)

var machine = Machine{Cores: 16, Memory: 64 << 30, Network: 10e9, Connections: 250_000, Price: 1}

// TestCopies compares what is reckoned with what is drawn.
func TestCopies(t *testing.T) {
	for _, c := range []struct{ gateways, audience int }{{1, 5}, {2, 2}, {10, 3}, {40, 10}, {40, 200}, {200, 1}} {
		want, got := Copies(float64(c.gateways), float64(c.audience)), Reached(c.gateways, c.audience, 20_000, 7)
		if math.Abs(got-want) > 0.02*want {
			t.Errorf("%d gateways, %d subscribers: reckoned %.3f, drawn %.3f", c.gateways, c.audience, want, got)
		}
	}
}

// TestReckon: twice the load never takes less, and each bound is the one that counts where it should be.
func TestReckon(t *testing.T) {
	base := Load{Connections: 1e6, Published: 1e4, Audience: 10, Payload: 200, Lifetime: 1800}
	for name, c := range map[string]struct {
		change func(*Load, *Machine)
		bound  func(Answer) float64
	}{
		"loss":    {func(*Load, *Machine) {}, func(a Answer) float64 { return a.ByLoss }},
		"CPU":     {func(l *Load, _ *Machine) { l.Published = 1e7 }, func(a Answer) float64 { return a.ByCPU }},
		"memory":  {func(_ *Load, m *Machine) { m.Memory = 1 << 30 }, func(a Answer) float64 { return a.ByMemory }},
		"network": {func(l *Load, m *Machine) { l.Payload, m.Network = 60_000, 1e9 }, func(a Answer) float64 { return a.ByNetwork }},
	} {
		l, m := base, machine
		c.change(&l, &m)
		a, err := Reckon(l, m, Known())
		if err != nil {
			t.Fatal(err)
		}
		if got := max(int(math.Ceil(c.bound(a))), 1); got != a.Gateways {
			t.Errorf("%s: %d gateways, though it takes %d", name, a.Gateways, got)
		}
		l.Connections, l.Published = 2*l.Connections, 2*l.Published
		if b, _ := Reckon(l, m, Known()); b.Gateways < a.Gateways || b.Redis < a.Redis || b.Egress < a.Egress {
			t.Errorf("%s: twice the load takes less: %+v, then %+v", name, a, b)
		}
	}
	if _, err := Reckon(base, Machine{}, Known()); err == nil {
		t.Error("a machine of nothing is planned with")
	}
}

// TestChannels: what is alike falls evenly, a hot channel cannot be shared out, and both are the same for the same lots.
func TestChannels(t *testing.T) {
	even, skewed := Channels(200_000, 8, 0, 3), Channels(200_000, 8, 1.1, 3)
	if even.Peak > 1.05 || even != Channels(200_000, 8, 0, 3) {
		t.Errorf("even: %+v", even)
	}
	if skewed.Hottest < 0.05 || skewed.Peak < 1+skewed.Hottest {
		t.Errorf("skewed: %+v", skewed)
	}
	anywhere, hashed := Devices(20, 3, 0, 5000, 1)
	if hashed != 1 || math.Abs(anywhere-Copies(20, 3)) > 0.05 {
		t.Errorf("a record for a user reaches %.2f gateways, hashed %.2f", anywhere, hashed)
	}
	if _, hashed = Devices(20, 3, 20, 5000, 1); hashed <= 1 || hashed > 1.1 {
		t.Errorf("with one of 20 away: %.3f", hashed)
	}
}

func TestCommand(t *testing.T) {
	var out strings.Builder
	c := Command{Connections: 1e7, Published: 1e7, Audience: 1, Payload: 100, Lifetime: 600, Cores: 32, Memory: 128, Network: 25, Most: 500_000, Price: 1.5, Out: &out}
	if err := c.Run(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"gateways", "Redis masters", "10 M a second", "mind"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, out.String())
		}
	}
}
