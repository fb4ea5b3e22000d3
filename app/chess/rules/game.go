package rules

import (
	"errors"
	"fmt"
	"slices"
)

// End is why a game is over by the rules alone. Resigning, agreeing on a draw and time are not known here.
type End uint8

// The ends. A move that brings several about is told by the first of them.
const (
	Ongoing              End = iota // moves are taken
	Checkmate                       // the side to move has lost
	Stalemate                       // draw
	InsufficientMaterial            // draw
	SeventyFiveMoves                // draw without a claim, FIDE 9.6.2
	FivefoldRepetition              // draw without a claim, FIDE 9.6.1
)

func (e End) String() string {
	return [...]string{"ongoing", "checkmate", "stalemate", "insufficient material", "75 moves", "fivefold repetition"}[min(e, FivefoldRepetition)]
}

// Claim is a set of reasons for which the side to move may claim a draw.
type Claim uint8

// The claims.
const (
	ThreefoldRepetition Claim = 1 << iota // FIDE 9.2
	FiftyMoves                            // FIDE 9.3
)

// ErrOver refuses moves after the end.
var ErrOver = errors.New("the game is over")

// Game is a game that is played: it knows what repetition needs. Taking a move costs the same at any ply and allocates
// nothing but room for the moves, two bytes each. It is used by one goroutine at a time. Make one with NewGame.
type Game struct {
	start, now Position
	moves      []Move
	legal      list // the moves of now
	reps       int  // how often the position has been there, now included
	end        End
	past       [keyRing]uint64 // keys of the last positions, by ply; more than maxHalf, beyond which nothing repeats
}

// keyRing is a power of two, so that a ply wraps by itself.
const keyRing = 256

// roomAtFirst is in plies; more than most games need.
const roomAtFirst = 160

// NewGame begins at a position, which may be over already.
func NewGame(start Position) *Game {
	g := &Game{moves: make([]Move, 0, roomAtFirst)}
	g.begin(start)
	return g
}

func (g *Game) begin(start Position) {
	g.start, g.now, g.reps, g.moves = start, start, 1, g.moves[:0]
	g.past[0] = start.key
	g.judge()
}

// Position is the position now.
func (g *Game) Position() Position { return g.now }

// Start is the position before the first move.
func (g *Game) Start() Position { return g.start }

// Ply is the number of moves played, each side's counted.
func (g *Game) Ply() int { return len(g.moves) }

// Moves are those played. The caller must not change them, nor keep them over Apply and Undo.
func (g *Game) Moves() []Move { return slices.Clip(g.moves) }

// End tells whether the rules have ended the game, and why.
func (g *Game) End() End { return g.end }

// Repetitions is how often the position now has been on the board, this time included.
func (g *Game) Repetitions() int { return g.reps }

// Claims are the draws that the side to move may claim now; none when the game is over.
func (g *Game) Claims() (c Claim) {
	if g.end != Ongoing {
		return 0
	}
	if g.reps >= 3 {
		c |= ThreefoldRepetition
	}
	if g.now.half >= 100 {
		c |= FiftyMoves
	}
	return c
}

// ParseUCI reads a move that may be played now, as Position.ParseUCI does.
func (g *Game) ParseUCI(text string) (Move, error) { return g.now.parseUCI(text, g.legal.moves()) }

// Apply plays a move and appends it to san as AppendSAN would. A move that is not legal changes nothing and is refused
// with ErrIllegal, whatever its bits; after the end every move is, with ErrOver.
func (g *Game) Apply(san []byte, m Move) ([]byte, error) {
	if g.end != Ongoing {
		return san, fmt.Errorf("%w by %s", ErrOver, g.end)
	}
	if !slices.Contains(g.legal.moves(), m) {
		return san, ErrIllegal
	}
	san = g.now.appendSAN(san, m, g.legal.moves())
	g.now.make(m)
	g.moves = append(g.moves, m)
	g.remember()
	check := g.judge()
	return appendCheck(san, check, g.legal.n > 0), nil
}

// remember counts how often the position was there since the last move that cannot be taken back: at most maxHalf plies
// are looked at, half of them, however long the game is.
func (g *Game) remember() {
	ply := len(g.moves)
	key := g.now.key
	g.reps = 1
	for back := 4; back <= min(int(g.now.half), ply); back += 2 {
		if g.past[uint8(ply-back)] == key {
			g.reps++
		}
	}
	g.past[uint8(ply)] = key
}

// judge finds the moves there are now, and whether the game is over.
func (g *Game) judge() (check bool) {
	g.legal.n = 0
	g.now.generate(&g.legal)
	check = g.now.InCheck()
	switch {
	case g.legal.n == 0 && check:
		g.end = Checkmate
	case g.legal.n == 0:
		g.end = Stalemate
	case g.now.InsufficientMaterial():
		g.end = InsufficientMaterial
	case g.now.half >= maxHalf:
		g.end = SeventyFiveMoves
	case g.reps >= 5:
		g.end = FivefoldRepetition
	default:
		g.end = Ongoing
	}
	return check
}

// Undo takes back the last n plies, or all if there are fewer. It plays the others again, which costs as they did.
func (g *Game) Undo(n int) {
	keep := g.moves[:max(0, len(g.moves)-max(0, n))]
	g.begin(g.start)
	for _, m := range keep { // their places are written again with what stands there
		g.now.make(m)
		g.moves = append(g.moves, m)
		g.remember()
	}
	g.judge()
}
