package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/coder/websocket"
)

// follower is a subscriber written from the protocol's documentation alone: it resumes over lost connections from the
// last position it holds and fills gaps from history.
type follower struct {
	dialect
	url     string
	channel string
	want    int
	rnd     *rand.Rand
	ready   func()

	got     []string
	at      string
	missing float64          // offset of the last record of the gap that is being filled
	filling bool             // history is being read
	held    []map[string]any // live records that came meanwhile
	lines   int
	gaps    int
}

var errFollowed = errors.New("all records are here")

// run follows until all wanted records are here.
func (f *follower) run(ctx context.Context) error {
	for {
		err := f.line(ctx)
		f.lines++
		var final *finalError
		switch {
		case errors.Is(err, errFollowed):
			return nil
		case errors.As(err, &final):
			return err
		}
		t := time.NewTimer(time.Duration(20+f.rnd.IntN(180)) * time.Millisecond)
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %d of %d records after %d lines, the last ended with: %w", f.protocol, len(f.got), f.want, f.lines, err)
		case <-t.C:
		}
	}
}

// finalError is what no reconnect mends.
type finalError struct{ text string }

func (e *finalError) Error() string { return e.text }

func final(format string, args ...any) error { return &finalError{fmt.Sprintf(format, args...)} }

// line is one connection.
func (f *follower) line(ctx context.Context) error {
	conn, _, err := websocket.Dial(ctx, f.url, &websocket.DialOptions{Subprotocols: []string{f.protocol}})
	if err != nil {
		return err
	}
	defer func() { _ = conn.CloseNow() }()
	conn.SetReadLimit(16 << 20)
	f.filling, f.held = false, nil
	id := 0
	say := func(m map[string]any) error {
		if m["type"] != "pong" {
			id++
			m["id"] = id
		}
		return conn.Write(ctx, f.frame, f.encode(m))
	}
	if err := say(map[string]any{"type": "connect", "name": "follower"}); err != nil {
		return err
	}
	for {
		_, b, err := conn.Read(ctx)
		if err != nil {
			return err
		}
		v, err := f.decode(b)
		if err != nil {
			return final("cannot read %x: %v", b, err)
		}
		many, ok := v.([]any)
		if !ok {
			many = []any{v}
		}
		for _, m := range many {
			if err := f.receive(m.(map[string]any), say); err != nil {
				return err
			}
		}
	}
}

func (f *follower) receive(m map[string]any, say func(map[string]any) error) error {
	switch m["type"] {
	case "connected":
		r := map[string]any{"type": "subscribe", "channel": f.channel}
		if f.at != "" {
			r["at"] = f.at
		}
		return say(r)
	case "reply":
		if records, ok := m["records"].([]any); ok {
			return f.page(records, say)
		}
		if f.at == "" {
			f.at = m["at"].(string)
			f.ready()
		}
		if gap, ok := m["gap"].(map[string]any); ok {
			return f.gap(gap, say)
		}
	case "gap":
		return f.gap(m, say)
	case "record":
		if f.filling {
			f.held = append(f.held, m)
			return nil
		}
		return f.take(m)
	case "ping":
		return say(map[string]any{"type": "pong"})
	case "error":
		return fmt.Errorf("refused: %v", m)
	}
	return nil
}

func (f *follower) gap(m map[string]any, say func(map[string]any) error) error {
	if m["reason"] != "too_many" && m["reason"] != "slow" {
		return final("records are lost: %v", m)
	}
	f.gaps++
	f.missing = m["to"].(float64)
	f.held = nil // what waited before this gap is in history too
	if f.filling {
		return nil
	}
	f.filling = true
	return f.ask(say)
}

func (f *follower) ask(say func(map[string]any) error) error {
	return say(map[string]any{"type": "history", "channel": f.channel, "at": f.at, "limit": 1000})
}

// page takes what the gap lacks; the rest of the page comes again as live records.
func (f *follower) page(records []any, say func(map[string]any) error) error {
	if len(records) == 0 {
		return final("history ends before offset %v", f.missing)
	}
	last := 0.0
	for _, r := range records {
		m := r.(map[string]any)
		if last = m["offset"].(float64); last <= f.missing {
			if err := f.take(m); err != nil {
				return err
			}
		}
	}
	if last < f.missing {
		return f.ask(say)
	}
	waiting := f.held
	f.filling, f.held = false, nil
	for _, m := range waiting {
		if err := f.take(m); err != nil {
			return err
		}
	}
	return nil
}

func (f *follower) take(m map[string]any) error {
	text, err := f.text(m["data"])
	if err != nil {
		return final("record %v: %v", m["offset"], err)
	}
	f.at = m["at"].(string)
	f.got = append(f.got, text)
	if len(f.got) >= f.want {
		return errFollowed
	}
	return nil
}
