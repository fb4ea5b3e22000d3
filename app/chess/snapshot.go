package chess

import (
	"encoding/binary"
	"errors"
	"fmt"

	"carillon/app/chess/rules"
	"carillon/channel"
)

// version is the first byte of every snapshot.
const version = 1

// A snapshot is a version, then numbers as varints and texts with their length, in the order of the fields. Nothing that
// follows from other fields is in it, so that equal states give equal bytes.

func number(dst []byte, n int64) []byte { return binary.AppendVarint(dst, n) }

func text[T ~string | ~[]byte](dst []byte, s T) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func flags(dst []byte, bits ...bool) []byte {
	b := byte(0)
	for i, on := range bits {
		if on {
			b |= 1 << i
		}
	}
	return append(dst, b)
}

// reader takes a snapshot apart. After its first error everything reads as zero.
type reader struct {
	rest []byte
	err  error
}

var (
	errVersion = errors.New("it was written by a newer version: run that one")
	errDamaged = errors.New("it is damaged: take the one before it, or a backup")
)

// end is the error of the whole, if any.
func (r *reader) end(n channel.Name) error {
	if r.err == nil && len(r.rest) > 0 {
		r.err = errDamaged
	}
	if r.err != nil {
		return fmt.Errorf("chess: the snapshot of %s cannot be read: %w", n, r.err)
	}
	return nil
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.rest = nil
}

// must fails where a state is none that steps lead to.
func (r *reader) must(ok bool) bool {
	if !ok {
		r.fail(errDamaged)
	}
	return r.err == nil
}

func (r *reader) byte() byte {
	if len(r.rest) == 0 {
		r.fail(errDamaged)
		return 0
	}
	b := r.rest[0]
	r.rest = r.rest[1:]
	return b
}

// below is a byte that stands for one of so many things.
func (r *reader) below(n int) byte {
	b := r.byte()
	if int(b) >= n {
		r.fail(errDamaged)
		return 0
	}
	return b
}

func (r *reader) version() {
	if v := r.byte(); r.err == nil && v != version {
		r.fail(errVersion)
	}
}

func (r *reader) number() int64 {
	v, n := binary.Varint(r.rest)
	if n <= 0 {
		r.fail(errDamaged)
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

// count is a number of things of which each takes at least one byte.
func (r *reader) count() int {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 || v > uint64(len(r.rest)-n) {
		r.fail(errDamaged)
		return 0
	}
	r.rest = r.rest[n:]
	return int(v)
}

func (r *reader) bytes() []byte {
	n := r.count()
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) text() string { return string(r.bytes()) }

func bit(b byte, i int) bool { return b&(1<<i) != 0 }

// What several machines keep.

func (s *standing) snapshot(dst []byte) []byte {
	return number(number(number(number(dst, s.Rating), s.Deviation), s.Elo), s.FIDE)
}

func (r *reader) standing() standing {
	return standing{Rating: r.number(), Deviation: r.number(), Elo: r.number(), FIDE: r.number()}
}

func (f *offer) snapshot(dst []byte) []byte {
	dst = flags(number(number(dst, f.Base), f.Inc), f.Rated)
	dst = number(number(number(text(dst, f.Color), f.Min), f.Max), f.Delay)
	return text(dst, f.FEN)
}

func (r *reader) offer() offer {
	f := offer{Base: r.number(), Inc: r.number(), Rated: bit(r.byte(), 0)}
	f.Color, f.Min, f.Max, f.Delay = r.text(), r.number(), r.number(), r.number()
	f.FEN = r.text()
	r.must(f.control().valid())
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
	dst = flags(dst, g.clock.running, g.changes[0].told, g.changes[1].told)
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
	return text(number(append(dst, byte(g.result), byte(g.reason)), g.ended), g.again)
}

func (a *agreed) snapshot(dst []byte) []byte {
	for c := range a.players {
		dst = a.players[c].Standing.snapshot(text(dst, a.players[c].User))
	}
	dst = flags(number(number(dst, a.control.base), a.control.inc), a.rated)
	return number(text(text(number(dst, a.delay), a.fen), a.of), a.created)
}

func (r *reader) agreed() (a agreed) {
	for c := range a.players {
		a.players[c] = party{User: r.text(), Standing: r.standing()}
	}
	a.control = control{r.number(), r.number()}
	a.rated = bit(r.byte(), 0)
	a.delay, a.fen, a.of, a.created = r.number(), r.text(), r.text(), r.number()
	if r.must(a.control.valid()) && a.fen != "" {
		_, err := rules.ParseFEN(a.fen)
		r.must(err == nil)
	}
	return a
}

func readGame(n channel.Name, r *reader) *game {
	g := newGame(n)
	if g.phase = phase(r.below(int(aborted) + 1)); g.phase == unborn || r.err != nil {
		return g
	}
	if g.agreed = r.agreed(); r.err != nil {
		return g
	}
	g.play = rules.NewGame(g.start())
	for range r.count() {
		if len(r.rest) < 2 {
			r.fail(errDamaged)
			return g
		}
		m := rules.Move(binary.LittleEndian.Uint16(r.rest))
		r.rest = r.rest[2:]
		left, used := binary.Uvarint(r.rest)
		_, err := g.play.Apply(nil, m)
		if !r.must(used > 0 && err == nil) {
			return g
		}
		r.rest = r.rest[used:]
		g.left = append(g.left, uint32(left))
	}
	g.findLast(g.play)
	told := r.byte()
	g.clock = clock{control: g.agreed.control, running: bit(told, 0)}
	g.clock.since, g.made, g.seen, g.moved = r.number(), int(r.number()), r.number(), r.number()
	for c := range g.agreed.players {
		g.clock.left[c], g.clock.quota[c], g.absent[c] = r.number(), r.number(), r.number()
		g.limits[c] = limits{int(r.number()), int(r.number()), int(r.number())}
		if bit(told, c+1) {
			g.changes[c] = change{told: true, before: r.standing(), after: r.standing()}
		}
	}
	for i := range g.offers {
		g.offers[i] = offerer(r.below(3))
	}
	g.result, g.reason, g.ended, g.again = rules.Result(r.below(4)), reason(r.below(int(firstMove)+1)), r.number(), r.text()
	if g.phase != playing {
		g.moves, g.play = append([]rules.Move(nil), g.play.Moves()...), nil
	} else {
		r.must(g.play.End() == rules.Ongoing)
	}
	return g
}
