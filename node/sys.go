package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"carillon/api"
	"carillon/channel"
	"carillon/gateway/auth"
	"carillon/journal"
	"carillon/wire"
)

// sys is what nodes tell each other through the channel of that name: revocations. It is read whole before the node
// listens, and followed from then on; what is revoked while the node is down is in force when it comes back.
type sys struct {
	node        *Node
	revocations *auth.Revocations
}

// start reads what was said before. The bus delivers already, so nothing falls in between; to apply twice is to apply once.
func (s *sys) start(ctx context.Context) error {
	var after channel.Position
	for {
		p, err := s.node.journal(channel.Sys).Read(ctx, channel.Sys, journal.Query{After: after})
		if err != nil {
			return fmt.Errorf("reading revocations: %w", err)
		}
		if err := s.apply(p.Records); err != nil {
			return err
		}
		if !p.More || len(p.Records) == 0 {
			return nil
		}
		after = p.Records[len(p.Records)-1].At
	}
}

// records takes what the bus delivers.
func (s *sys) records(rs []channel.Record) {
	for i := range rs {
		if rs[i].Channel == channel.Sys {
			if err := s.apply(rs[i : i+1]); err != nil {
				s.node.log.Error("a revocation is not in force on this node", "error", err)
			}
		}
	}
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
