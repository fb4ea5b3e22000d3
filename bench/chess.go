package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"carillon/channel"
	"carillon/wire"
)

// chessService is the namespace of chess.
const chessService = "chess"

// pairWait is how long two players wait before they look again for what the server is about to send them.
const pairWait = 20 * time.Millisecond

// match is a game between two lines, white and black.
type match struct {
	lines [2]*line // nil where another worker has it
	moves []string
	begun bool
	sent  int      // plies
	due   []int64  // when the next moves are due that wait for the one before them
	was   []int64  // by ply: when it was due
	got   []uint16 // by ply: how many players have it
	until int64    // a closed loop goes on until then; 0: there is none
}

// seat has a line take its place; when both are there they begin.
func (e *engine) seat(l *line) {
	l.state = entering
	m := l.crowd.matches[l.channel]
	m.lines[l.place] = l
	if m.begun {
		e.subscribe(l)
		return
	}
	if white, black := m.lines[0], m.lines[1]; white != nil && black != nil && white.state == entering && black.state == entering {
		e.challenge(m)
	}
}

// enterBy asks something that is on the way into a game. then hears the answer, a refusal too; its errors end the line.
func (e *engine) enterBy(l *line, to channel.Name, body string, after time.Duration, then func(*wire.Message) error) {
	now := e.now()
	q := &question{line: l, to: to, body: []byte(body), purpose: toEnter, due: now, then: then}
	if after == 0 {
		e.ask(q)
		return
	}
	q.at, q.fresh = now+int64(after), true
	e.asks.later = append(e.asks.later, q)
}

func playerOf(l *line) channel.Name { return channel.Name("chess:player:" + l.user) }

// challenge has white ask black for a game.
func (e *engine) challenge(m *match) {
	white, black := m.lines[0], m.lines[1]
	body := fmt.Sprintf(`{"type":"challenge","user":%q,"color":"white","base":10800,"inc":60,"rated":true}`, black.user)
	e.enterBy(white, playerOf(white), body, 0, func(a *wire.Message) error {
		var r struct{ Challenge string }
		if err := json.Unmarshal(a.Body, &r); err != nil || a.Refused != 0 {
			return fmt.Errorf("a challenge is refused: %s", a.Body)
		}
		e.accept(m, r.Challenge, 0)
		return nil
	})
}

// accept has black say yes, once the challenge has reached him.
func (e *engine) accept(m *match, challenge string, after time.Duration) {
	black := m.lines[1]
	e.enterBy(black, playerOf(black), fmt.Sprintf(`{"type":"accept","challenge":%q}`, challenge), after, func(a *wire.Message) error {
		if a.Refused != 0 {
			e.accept(m, challenge, pairWait)
			return nil
		}
		e.find(m, 0)
		return nil
	})
}

// find learns the channel of the game.
func (e *engine) find(m *match, after time.Duration) {
	black := m.lines[1]
	e.enterBy(black, playerOf(black), `{"type":"profile"}`, after, func(a *wire.Message) error {
		var r struct{ Games []struct{ Game channel.Name } }
		if err := json.Unmarshal(a.Body, &r); err != nil || a.Refused != 0 {
			return fmt.Errorf("a profile is refused: %s", a.Body)
		}
		if len(r.Games) == 0 {
			e.find(m, pairWait)
			return nil
		}
		black.crowd.names[black.channel] = r.Games[0].Game
		e.look(m, 0)
		return nil
	})
}

// look waits until the game is there, and has both players follow it.
func (e *engine) look(m *match, after time.Duration) {
	black := m.lines[1]
	e.enterBy(black, black.crowd.names[black.channel], `{"type":"state"}`, after, func(a *wire.Message) error {
		if a.Refused != 0 {
			e.look(m, pairWait)
			return nil
		}
		m.begun = true
		for _, l := range m.lines {
			if l.state == entering {
				e.subscribe(l)
			}
		}
		return nil
	})
}

// move makes the next move of a game, or the one after those that wait.
func (e *engine) move(m *match, due int64) {
	m.due = append(m.due, due)
	e.play(m)
}

// play sends the move that is next, if who makes it has seen the one before. Its time counts from when it was due.
func (e *engine) play(m *match) {
	if len(m.due) == 0 || m.lines[0] == nil || m.lines[1] == nil {
		return
	}
	l := m.lines[m.sent%2]
	if m.sent == len(m.moves) || l.state != open {
		e.mark.Unsent += uint64(len(m.due))
		m.due = nil
		return
	}
	if l.newest != uint64(m.sent) {
		return
	}
	due := m.due[0]
	m.due = m.due[1:]
	body := fmt.Appendf(nil, `{"type":"move","ply":%d,"uci":"%s"}`, m.sent, m.moves[m.sent])
	m.sent++
	m.was, m.got = append(m.was, due), append(m.got, 0)
	e.mark.Published++
	e.ask(&question{line: l, to: l.crowd.names[l.channel], body: body, purpose: toMove, due: due})
}

// Beginning of the records that are judged.
var (
	chessMove = []byte(`{"type":"move","ply":`)
	chessUCI  = []byte(`,"uci":"`)
)

// moved judges a record of a game: each ply once, in order, and the move that was made.
func (e *engine) moved(l *line, body []byte, c *Count, now int64) {
	n, rest, ok := numberAfter(body, chessMove)
	if !ok {
		e.mark.Others++
		return
	}
	m := l.crowd.matches[l.channel]
	if rest, ok = bytes.CutPrefix(rest, chessUCI); !ok || n == 0 || n > uint64(m.sent) || !bytes.HasPrefix(rest, []byte(m.moves[n-1]+`"`)) {
		c.Foreign++
		return
	}
	switch {
	case n <= l.newest:
		c.Twice++
		return
	case n > l.newest+1:
		c.Lost += n - l.newest - 1
	}
	c.Delivered++
	l.newest = n
	took := now - m.was[n-1]
	record(e.hist, took)
	if m.got[n-1]++; int(m.got[n-1]) == len(m.lines) {
		record(e.asks.whole, took)
	}
	if m.until > now && int(n)%2 == l.place && len(m.due) == 0 {
		m.due = append(m.due, now)
	}
	e.play(m)
}

// race has all games of a group go on as fast as moves come, until a time.
func (e *engine) race(p *pump, now int64) {
	for _, m := range p.g.matches {
		m.until = p.until
		e.move(m, now)
	}
}
