package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
)

const muchStolen = 0.02 // cores, from which on a reader is told

// publish writes the figures where the caller wants them.
func (c *Command) publish(r *Result) error {
	if c.Output.HTML != "" {
		f, err := os.Create(c.Output.HTML)
		if err != nil {
			return fmt.Errorf("writing the report: %w", err)
		}
		err = r.WriteHTML(f)
		if e := f.Close(); err == nil {
			err = e
		}
		if err != nil {
			return fmt.Errorf("writing the report: %w", err)
		}
	}
	if c.Output.JSON {
		e := json.NewEncoder(c.Out)
		e.SetIndent("", "  ")
		return e.Encode(r)
	}
	return r.WriteText(c.Out)
}

// WriteText writes the figures as a table.
func (r *Result) WriteText(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintf(t, "%s, %s, %s, %d B\tconns\tsent/s\tdelivered/s\tp50 ms\tp95\tp99\tp99.9\tmax\tµs/delivery\tcores\tclient\tMB\tTCP MB\t\n", r.Scenario, r.Server, r.Protocol, r.Payload)
	for _, p := range r.Phases {
		l := p.Latency
		_, _ = fmt.Fprintf(t, "%s\t%d\t%.0f\t%.0f\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%.1f\t%.1f\t\n",
			p.Name, p.Connections, p.Published, p.Delivered, l.P50, l.P95, l.P99, l.P999, l.Max, p.PerDelivery, p.ServerCPU, p.ClientCPU, mega(p.Resident), mega(p.Sockets))
		if s := p.Beside; s.N > 0 {
			_, _ = fmt.Fprintf(t, "measured apart\t\t\t\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t\t\t\t\t\t\n", s.P50, s.P95, s.P99, s.P999, s.Max)
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	r.writeCommands(w)
	for _, p := range r.Phases {
		if p.Stolen > muchStolen {
			_, _ = fmt.Fprintf(w, "%s: %.2f cores of this machine were taken by others on the same hardware (steal), so its times are longer than the server makes them\n", p.Name, p.Stolen)
		}
	}
	for _, n := range r.Notes {
		if _, err := fmt.Fprintln(w, n); err != nil {
			return err
		}
	}
	if n := len(r.Phases); n > 0 {
		p := r.Phases[n-1]
		all := p.Count
		all.Add(p.Side)
		if _, err := fmt.Fprintf(w, "receipts: %d once and in order, %d lost, %d twice, %d foreign, %d told as gaps, %d still owed, %d fleeting, %d latest; publishes refused: %d %s; the generator sent p99 %.2f ms late\n",
			all.Delivered, all.Lost, all.Twice, all.Foreign, all.Told, all.Missing, all.Fleeting, all.Latest, p.Refused, p.Refusal, p.Lateness.P99); err != nil {
			return err
		}
	}
	return nil
}

// writeCommands writes how services answered, where any was asked.
func (r *Result) writeCommands(w io.Writer) {
	for _, p := range r.Phases {
		if p.Replies.N == 0 {
			continue
		}
		l, a := p.Replies, p.Whole
		_, _ = fmt.Fprintf(w, "%s: %.0f commands a second answered, p50 %.2f ms, p99 %.2f, p99.9 %.2f, max %.2f", p.Name, p.Answered, l.P50, l.P99, l.P999, l.Max)
		if a.N > 0 {
			_, _ = fmt.Fprintf(w, "; %d messages seen by the last member of their room: p50 %.2f ms, p95 %.2f, p99 %.2f, p99.9 %.2f, max %.2f", a.N, a.P50, a.P95, a.P99, a.P999, a.Max)
		}
		_, _ = fmt.Fprintln(w)
	}
	if n := len(r.Phases); n > 0 {
		if c := r.Phases[n-1].Commands; c.Asked > 0 {
			_, _ = fmt.Fprintf(w, "commands: %d asked, %d answered, %d sent twice on purpose (%d answered alike, %d differently), %d again because the server asked for it, %d refused %s, %d open\n",
				c.Asked, c.Answered, c.Resent, c.Identical, c.Differing, c.Retried, c.Refused, c.Refusal, c.Open)
		}
	}
}
