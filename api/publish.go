package api

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"carillon/channel"
	"carillon/gateway/auth"
	"carillon/wire"
)

// batchIdem is the longest Idempotency-Key of a batch: each item gets it with its number behind it.
const batchIdem = wire.MaxIdem - len("/127")

// publish sends one record on its way.
func (v *server) publish(c *call) error {
	idem, f, err := v.recordForm(c, wire.MaxIdem)
	if err != nil {
		return err
	}
	r, err := v.plainRecord(f, idem)
	if err != nil {
		return err
	}
	return c.acknowledge(r, v.o.Publisher.Publish)
}

// publishToUser sends a record to all connections of a user.
func (v *server) publishToUser(c *call) error {
	if !validUser(c.values[0]) {
		return bad(userRule)
	}
	idem, f, err := v.recordForm(c, wire.MaxIdem)
	if err != nil {
		return err
	}
	r, err := v.record(f, auth.UserChannel(c.values[0]), idem)
	if err != nil {
		return err
	}
	return c.acknowledge(r, v.o.Publisher.Publish)
}

// announce tells every connection.
func (v *server) announce(c *call) error {
	idem, f, err := v.recordForm(c, wire.MaxIdem)
	if err != nil {
		return err
	}
	r, err := v.record(f, channel.All, idem)
	if err != nil {
		return err
	}
	return c.acknowledge(r, v.o.Announcer.Announce)
}

// recordForm reads a request that carries records, and its Idempotency-Key.
func (v *server) recordForm(c *call, most int) (idem string, f *form, err error) {
	if idem, err = c.idempotency(most); err != nil {
		return "", nil, err
	}
	f, err = c.form(v.o.MaxPublish)
	return idem, f, err
}

// idempotency is the Idempotency-Key of a request, bare or as the quoted string that its draft has; "" without one.
func (c *call) idempotency(most int) (string, error) {
	keys := c.r.Header.Values("Idempotency-Key")
	if len(keys) == 0 {
		return "", nil
	}
	key := keys[0]
	if len(key) >= 2 && key[0] == '"' && key[len(key)-1] == '"' && !strings.ContainsAny(key[1:len(key)-1], `"\`) {
		key = key[1 : len(key)-1]
	}
	if len(keys) > 1 || key == "" || len(key) > most || strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r > '~' }) {
		return "", bad("Idempotency-Key must have 1 to %d printable ASCII characters here.", most)
	}
	return key, nil
}

// plainRecord takes a record out of a form that names its channel itself: one that callers may write to.
func (v *server) plainRecord(f *form, idem string) (channel.Record, error) {
	n := f.channel("channel")
	r, err := v.record(f, n, idem)
	if _, part := n.Part(); err == nil && part != "" {
		return r, refuse(wire.CodeForbidden, "Channels with a part, such as %s, are written by the server itself.", n)
	}
	return r, err
}

// record takes a record for a channel out of a form. idem stands in for an id that the form does not have.
func (v *server) record(f *form, n channel.Name, idem string) (channel.Record, error) {
	r := channel.Record{Channel: n, Class: f.class(), Key: f.printable("key", wire.MaxKey), Age: f.duration("age"), From: f.user("user")}
	r.ID = f.printable("id", wire.MaxIdem)
	r.Body, r.Binary = f.body()
	switch {
	case r.ID == "":
		r.ID = idem
	case idem != "" && idem != r.ID && f.err == nil:
		f.refuse(wire.CodeBadRequest, "id and Idempotency-Key differ; send one.")
	}
	if r.Key != "" && r.Class == channel.Logged {
		f.refuse(wire.CodeBadRequest, `key goes with class "latest" or "fleeting" only.`)
	}
	if r.Key == "" && r.Class == channel.Latest {
		f.refuse(wire.CodeBadRequest, `class "latest" needs a key.`)
	}
	if len(r.Body) == 0 && r.Class == channel.Logged {
		f.refuse(wire.CodeBadRequest, "data is missing or empty; what is kept must have a body.")
	}
	if err := f.finish(); err != nil {
		return r, err
	}
	if bound := v.o.Publisher.Policy(n).MaxBody; bound > 0 && len(r.Body) > bound {
		return r, refuse(wire.CodeTooLarge, "The body has %d bytes; channel %s takes %d.", len(r.Body), n, bound)
	}
	return r, nil
}

// outcome is what became of one record.
type outcome struct {
	ack Ack
	err error
}

// acknowledge sends a record on its way and answers with what became of it.
func (c *call) acknowledge(r channel.Record, send func(channel.Record, func(Ack, error))) error {
	done := make(chan outcome, 1)
	send(r, func(ack Ack, err error) { done <- outcome{ack, err} })
	select {
	case o := <-done:
		if o.err != nil {
			return o.err
		}
		c.answer(appendAck(nil, o.ack))
		return nil
	case <-c.ctx().Done():
		return &wire.Error{Code: wire.CodeUnconfirmed, Text: "No answer came in time; the record may have been taken."}
	}
}

// batch sends records on their way in their order, and answers for each.
func (v *server) batch(c *call) error {
	idem, f, err := v.recordForm(c, batchIdem)
	if err != nil {
		return err
	}
	items := f.list("items", wire.MaxBatch)
	if e := f.finish(); e != nil {
		return e
	}
	if len(items) == 0 {
		return bad("items must hold 1 to %d records.", wire.MaxBatch)
	}
	results := newGathering(len(items))
	for i, item := range items {
		f := newForm(item, fmt.Sprintf("items[%d].", i))
		each := ""
		if idem != "" && !f.has("id") {
			each = idem + "/" + strconv.Itoa(i)
		}
		r, err := v.plainRecord(f, each)
		if err != nil {
			results.put(i, outcome{err: err})
			continue
		}
		v.o.Publisher.Publish(r, func(ack Ack, err error) { results.put(i, outcome{ack, err}) })
	}
	c.answer(c.appendResults(nil, results.wait(c.ctx())))
	return nil
}

// gathering waits for the outcomes of a batch.
type gathering struct {
	mu      sync.Mutex
	all     []outcome
	missing int
	done    chan struct{}
}

// newGathering expects n outcomes; one that never comes is not known.
func newGathering(n int) *gathering {
	g := &gathering{all: make([]outcome, n), missing: n, done: make(chan struct{})}
	for i := range g.all {
		g.all[i].err = &wire.Error{Code: wire.CodeUnconfirmed, Text: "No answer came in time; the record may have been taken."}
	}
	return g
}

func (g *gathering) put(i int, o outcome) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.all[i] = o
	if g.missing--; g.missing == 0 {
		close(g.done)
	}
}

// wait returns what is there when all is, or when the time is up.
func (g *gathering) wait(ctx context.Context) []outcome {
	select {
	case <-g.done:
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]outcome(nil), g.all...)
}

func (c *call) appendResults(dst []byte, all []outcome) []byte {
	dst = append(dst, `{"results":[`...)
	for i, o := range all {
		if i > 0 {
			dst = append(dst, ',')
		}
		if o.err == nil {
			dst = appendAck(dst, o.ack)
			continue
		}
		e := wire.AsError(o.err)
		if e.Code == wire.CodeInternal {
			c.s.Log.Error("record of a batch failed", "error", o.err)
		}
		dst = append(dst, `{"error":`...)
		dst = append(problemOf(e).append(dst), '}')
	}
	return append(dst, `]}`...)
}

const replyHead = `{"type":"reply",`

// appendAck writes the reply to a publish as the socket does, but for its type and id.
func appendAck(dst []byte, a Ack) []byte {
	start := len(dst)
	dst = wire.JSON.AppendMessage(dst, &wire.Message{Type: wire.MsgReply, Ack: a.Level, At: a.At})
	n := copy(dst[start+1:], dst[start+len(replyHead):])
	return dst[:start+1+n]
}
