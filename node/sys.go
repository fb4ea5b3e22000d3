package node

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"carillon/api"
	"carillon/channel"
	"carillon/gateway/auth"
	"carillon/journal"
	"carillon/wire"
)

// sys is what nodes tell each other through the channel of that name: revocations, which are records that last, and what
// to do at once, which are fleeting ones. It is read whole before the node listens, and followed from then on: what is
// revoked while the node is down, or cut off, is in force when it comes back.
type sys struct {
	node        *Node
	revocations *auth.Revocations
	look        chan struct{} // something may have passed by

	mu sync.Mutex
	at channel.Position // everything up to here is in force
}

func newSys(n *Node) *sys {
	s := &sys{node: n, look: make(chan struct{}, 1)}
	s.revocations = auth.NewRevocations(time.Now, s.revoked)
	return s
}

// start reads what was said before. The bus delivers already, so nothing falls in between; to apply twice is to apply once.
func (s *sys) start(ctx context.Context) error {
	s.mu.Lock()
	after := s.at
	s.mu.Unlock()
	for {
		p, err := s.node.journal(channel.Sys).Read(ctx, channel.Sys, journal.Query{After: after})
		if err != nil {
			return fmt.Errorf("reading revocations: %w", err)
		}
		if p.Gap == channel.GapAhead || p.Gap == channel.GapDiverged { // the log went back: what it has, it has from its beginning
			after = channel.Position{}
			continue
		}
		if err := s.apply(p.Records); err != nil {
			return err
		}
		after = p.Head
		if last := len(p.Records) - 1; last >= 0 {
			after = p.Records[last].At
		}
		s.mu.Lock()
		s.at = after
		s.mu.Unlock()
		if !p.More || len(p.Records) == 0 {
			return nil
		}
	}
}

// records takes what the bus delivers.
func (s *sys) records(rs []channel.Record) {
	for i := range rs {
		r := &rs[i]
		switch {
		case r.Channel != channel.Sys:
		case r.Class == channel.Fleeting:
			s.obey(r.Body)
		default:
			if err := s.apply(rs[i : i+1]); err != nil {
				s.node.log.Error("a revocation is not in force on this node", "error", err)
			} else if !s.follows(r) {
				s.hint()
			}
		}
	}
}

// follows moves on to a record that comes right after what is in force; false if something is missing before it.
func (s *sys) follows(r *channel.Record) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.at == r.At:
		return true
	case s.at.Epoch != r.At.Epoch || s.at.Offset+1 != r.At.Offset || s.at.Tag != r.Prev:
		return false
	}
	s.at = r.At
	return true
}

// trouble hears of the line between the nodes.
func (s *sys) trouble(down bool) {
	if !down {
		s.hint()
	}
}

func (s *sys) hint() {
	select {
	case s.look <- struct{}{}:
	default:
	}
}

// How often the head of @sys is compared, and how long that may take. A hint comes sooner.
const (
	sysEvery = 5 * time.Second
	sysRead  = 4 * time.Second
)

// follow reads what the bus lost, until stop. A node that is alone has nobody to lose anything.
func (s *sys) follow(stop <-chan struct{}) {
	if !s.node.hints.shared {
		return
	}
	ticker := time.NewTicker(sysEvery)
	defer ticker.Stop()
	failing := false
	for {
		select {
		case <-stop:
			return
		case <-ticker.C:
		case <-s.look:
		}
		err := s.catchUp()
		if err != nil && !failing {
			s.node.log.Error("revocations of other nodes may be missing on this one until their journal is back", "error", err)
		}
		failing = err != nil
	}
}

// catchUp compares the head, and reads if there is more.
func (s *sys) catchUp() error {
	ctx, cancel := context.WithTimeout(context.Background(), sysRead)
	defer cancel()
	heads, err := s.node.journal(channel.Sys).Heads(ctx, []channel.Name{channel.Sys})
	if err != nil {
		return err
	}
	s.mu.Lock()
	same := heads[0] == s.at
	s.mu.Unlock()
	if same {
		return nil
	}
	return s.start(ctx)
}

func (s *sys) apply(rs []channel.Record) error {
	for _, r := range rs {
		revocation, err := auth.ParseRevocation(r.Body)
		if errors.Is(err, auth.ErrNotRevocation) {
			continue
		}
		if err == nil {
			_, err = s.revocations.Apply(revocation)
		}
		if err != nil {
			return fmt.Errorf("record %d of %s: %w", r.At.Offset, channel.Sys, err)
		}
	}
	return nil
}

// revoked ends the connections that a revocation covers; it is called when that is in force.
func (s *sys) revoked(r auth.Revocation) {
	if s.node.sessions == nil {
		return // still starting: nobody is connected
	}
	n := s.node.sessions.End(wire.CodeRevoked, r.Covers)
	s.node.log.Info("revoked", "connections", n)
}

// order is what all nodes are told to do at once: to end connections, of a user or one.
type order struct {
	Do   string    `json:"do"` // orderEnd
	Node string    `json:"node"`
	User string    `json:"user,omitempty"`
	Conn string    `json:"conn,omitempty"`
	Code wire.Code `json:"code"`
}

const orderEnd = "end"

// end ends connections on this node and has all others do so. sent tells that there are others.
func (s *sys) end(o order) (here int, sent bool, err error) {
	here = s.execute(&o)
	if !s.node.hints.shared {
		return here, false, nil
	}
	if s.node.hints.down.Load() {
		return here, false, &wire.Error{
			Code: wire.CodeUnavailable, Text: fmt.Sprintf("This node ended %d connections of its own, and cannot reach the others now; send it again.", here),
		}
	}
	o.Do, o.Node = orderEnd, s.node.hints.id
	body, err := json.Marshal(o)
	if err != nil {
		return here, false, err
	}
	s.node.hints.feed.Carry([]channel.Record{{Channel: channel.Sys, Class: channel.Fleeting, Time: time.Now().Truncate(time.Millisecond), Body: body}})
	return here, true, nil
}

// obey does what another node said. What this build does not know is meant for a later one.
func (s *sys) obey(body []byte) {
	var o order
	if json.Unmarshal(body, &o) != nil || o.Do != orderEnd || o.Node == s.node.hints.id || s.node.sessions == nil {
		return
	}
	if n := s.execute(&o); n > 0 {
		s.node.log.Info("ended at the word of another node", "connections", n, "code", string(o.Code))
	}
}

func (s *sys) execute(o *order) int {
	return s.node.sessions.End(o.Code, func(who *auth.Identity, conn string) bool {
		return o.Conn != "" && conn == o.Conn || o.User != "" && who.User == o.User
	})
}

// Revoke implements api.Revoker: what is decided is a record, and holds once that is true.
func (s *sys) Revoke(ctx context.Context, r api.Revocation) (time.Time, error) {
	keep := auth.DefaultSession
	if s.node.keys != nil {
		keep = s.node.keys.Longest()
	}
	if !r.Until.IsZero() {
		keep = min(keep, max(time.Until(r.Until), time.Second))
	}
	decided, err := s.decide(r, keep)
	if err != nil {
		return time.Time{}, &wire.Error{Code: wire.CodeBadRequest, Text: err.Error()}
	}
	body, err := decided.Encode()
	if err != nil {
		return time.Time{}, &wire.Error{Code: wire.CodeBadRequest, Text: err.Error()}
	}
	done := make(chan error, 1)
	s.node.roles.publish(channel.Record{Channel: channel.Sys, Body: body}, func(_ api.Ack, err error) { done <- err })
	select {
	case err := <-done:
		return decided.Until, err
	case <-ctx.Done():
		return time.Time{}, &wire.Error{Code: wire.CodeUnconfirmed}
	}
}

func (s *sys) decide(r api.Revocation, keep time.Duration) (auth.Revocation, error) {
	switch {
	case r.User != "":
		return s.revocations.OfUser(r.User, keep)
	case r.Token != "":
		return s.revocations.OfToken(s.minter(), r.Token, keep)
	}
	return s.revocations.OfConn(r.Connection, keep)
}

// minter is the issuer whose tokens are meant where one is named by its id alone.
func (s *sys) minter() string {
	if s.node.keys == nil {
		return auth.LocalIssuer
	}
	return cmp.Or(s.node.keys.Minter(), auth.LocalIssuer)
}

// sweepEvery is how often what is over is forgotten.
const sweepEvery = time.Minute

// tidy forgets revocations that are over, until stop.
func (s *sys) tidy(stop <-chan struct{}) {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		select {
		case <-stop:
			return
		case <-ticker.C:
			s.revocations.Forget()
		}
	}
}
