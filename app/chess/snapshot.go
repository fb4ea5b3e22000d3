package chess

import (
	"encoding/binary"

	"carillon/app"
	"carillon/app/chess/rules"
	"carillon/channel"
)

// version is the first byte of every snapshot.
const version = 1

// A snapshot is a version, then numbers as varints and texts with their length, in the order of the fields. Nothing that
// follows from other fields is in it, so that equal states give equal bytes.

func number(dst []byte, n int64) []byte { return binary.AppendVarint(dst, n) }

// reader takes one apart.
type reader struct{ app.SnapshotReader }

func bit(b byte, i int) bool { return b&(1<<i) != 0 }

// What several machines keep.

func (s *standing) snapshot(dst []byte) []byte {
	return number(number(number(number(dst, s.Rating), s.Deviation), s.Elo), s.FIDE)
}

func (r *reader) standing() standing {
	return standing{Rating: r.Int(), Deviation: r.Int(), Elo: r.Int(), FIDE: r.Int()}
}

func (f *offer) snapshot(dst []byte) []byte {
	dst = app.AppendFlags(number(number(dst, f.Base), f.Inc), f.Rated)
	dst = number(number(number(app.AppendText(dst, f.Color), f.Min), f.Max), f.Delay)
	return app.AppendText(dst, f.FEN)
}

func (r *reader) offer() offer {
	f := offer{Base: r.Int(), Inc: r.Int(), Rated: bit(r.Byte(), 0)}
	f.Color, f.Min, f.Max, f.Delay = r.Text(), r.Int(), r.Int(), r.Int()
	f.FEN = r.Text()
	r.Must(f.control().valid())
	return f
}

// Snapshot appends the state of the game.
func (g *game) Snapshot(dst []byte) []byte {
	dst = append(dst, version, byte(g.phase))
	if g.phase == unborn {
		return dst
	}
	dst = g.agreed.snapshot(dst)
	moves := g.moves
	if g.play != nil {
		moves = g.play.Moves()
	}
	dst = binary.AppendUvarint(dst, uint64(len(moves)))
	for i, m := range moves {
		dst = binary.LittleEndian.AppendUint16(dst, uint16(m))
		dst = binary.AppendUvarint(dst, uint64(g.left[i]))
	}
	dst = app.AppendFlags(dst, g.clock.running, g.changes[0].told, g.changes[1].told)
	dst = number(number(number(number(dst, g.clock.since), int64(g.made)), g.seen), g.moved)
	for c := range g.agreed.players {
		dst = number(number(number(dst, g.clock.left[c]), g.clock.quota[c]), g.absent[c])
		l := g.limits[c]
		dst = number(number(number(dst, int64(l.drawAt)), int64(l.offers)), int64(l.moreTime))
		if g.changes[c].told {
			dst = g.changes[c].after.snapshot(g.changes[c].before.snapshot(dst))
		}
	}
	for _, f := range g.offers {
		dst = append(dst, byte(f))
	}
	return app.AppendText(number(append(dst, byte(g.result), byte(g.reason)), g.ended), g.again)
}

func (a *agreed) snapshot(dst []byte) []byte {
	for c := range a.players {
		dst = a.players[c].Standing.snapshot(app.AppendText(dst, a.players[c].User))
	}
	dst = app.AppendFlags(number(number(dst, a.control.base), a.control.inc), a.rated)
	return number(app.AppendText(app.AppendText(number(dst, a.delay), a.fen), a.of), a.created)
}

func (r *reader) agreed() (a agreed) {
	for c := range a.players {
		a.players[c] = party{User: r.Text(), Standing: r.standing()}
	}
	a.control = control{r.Int(), r.Int()}
	a.rated = bit(r.Byte(), 0)
	a.delay, a.fen, a.of, a.created = r.Int(), r.Text(), r.Text(), r.Int()
	if r.Must(a.control.valid()) && a.fen != "" {
		_, err := rules.ParseFEN(a.fen)
		r.Must(err == nil)
	}
	return a
}

func readGame(n channel.Name, r *reader) *game {
	g := newGame(n)
	if g.phase = phase(r.Below(int(aborted) + 1)); g.phase == unborn || r.Failed() {
		return g
	}
	if g.agreed = r.agreed(); r.Failed() {
		return g
	}
	g.play = rules.NewGame(g.start())
	for range r.Count() {
		low, high, left := r.Byte(), r.Byte(), r.Uint()
		if r.Failed() {
			return g
		}
		_, err := g.play.Apply(nil, rules.Move(uint16(low)|uint16(high)<<8))
		if !r.Must(err == nil) {
			return g
		}
		g.left = append(g.left, uint32(left))
	}
	g.findLast(g.play)
	told := r.Byte()
	g.clock = clock{control: g.agreed.control, running: bit(told, 0)}
	g.clock.since, g.made, g.seen, g.moved = r.Int(), int(r.Int()), r.Int(), r.Int()
	for c := range g.agreed.players {
		g.clock.left[c], g.clock.quota[c], g.absent[c] = r.Int(), r.Int(), r.Int()
		g.limits[c] = limits{int(r.Int()), int(r.Int()), int(r.Int())}
		if bit(told, c+1) {
			g.changes[c] = change{told: true, before: r.standing(), after: r.standing()}
		}
	}
	for i := range g.offers {
		g.offers[i] = offerer(r.Below(3))
	}
	g.result, g.reason, g.ended, g.again = rules.Result(r.Below(4)), reason(r.Below(int(firstMove)+1)), r.Int(), r.Text()
	if g.phase != playing {
		g.moves, g.play = append([]rules.Move(nil), g.play.Moves()...), nil
	} else {
		r.Must(g.play.End() == rules.Ongoing)
	}
	return g
}
