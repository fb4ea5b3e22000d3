package api

import (
	"context"
	"strconv"

	"carillon/channel"
	"carillon/gateway/auth"
	"carillon/journal"
	"carillon/wire"
)

// Tables reads the Latest records of channels.
type Tables interface {
	// Latest is journal.Tables'. A journal without tables is refused with wire.CodeUnsupported.
	Latest(ctx context.Context, n channel.Name) (journal.Table, error)
}

// latest answers with the table of a channel.
func (c *call) latest(from Tables, n channel.Name) error {
	t, err := from.Latest(c.ctx(), n)
	if err != nil {
		return err
	}
	dst := append([]byte(`{"channel":"`), n...)
	dst = append(dst, `","epoch":`...)
	dst = strconv.AppendQuote(dst, wire.EpochText(t.Epoch))
	dst = append(dst, `,"records":[`...)
	for i := range t.Records {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendRecord(dst, &t.Records[i])
	}
	c.answer(append(dst, `]}`...))
	return nil
}

// latest is the table of a channel that the token may read.
func (p *public) latest(c *call) error {
	n, err := p.admitted(c)
	if err != nil {
		return err
	}
	return c.latest(p.o.Tables, n)
}

// latest is the table of any channel.
func (v *server) latest(c *call) error {
	n, err := c.channel(0)
	if err != nil {
		return err
	}
	return c.latest(v.o.Tables, n)
}

// admitted is the channel of the path, if the token and its service let this user read it.
func (p *public) admitted(c *call) (channel.Name, error) {
	n, err := c.channel(0)
	if err != nil {
		return n, err
	}
	if auth.Decide(c.who, auth.History, n) != nil {
		return n, refuse(wire.CodeForbidden, "The token does not allow history in channel %s.", n)
	}
	if p.o.Gate != nil {
		if err := p.o.Gate.Admit(c.ctx(), n, c.who.User); err != nil {
			return n, err
		}
	}
	return n, nil
}
