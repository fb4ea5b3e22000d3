package bench

import (
	"flag"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"carillon/app/chess/rules"
)

// The games that are played.
const (
	gamesCount = 24
	gamePlies  = 400
)

var update = flag.Bool("update", false, "write games.txt anew")

// randomGame is a game of so many plies that does not end; ok is false where it did.
func randomGame(rnd *rand.Rand, plies int) (uci []string, ok bool) {
	g := rules.NewGame(rules.Start())
	var buf []rules.Move
	for len(uci) < plies {
		p := g.Position()
		buf = p.LegalMoves(buf[:0])
		rnd.Shuffle(len(buf), func(i, j int) { buf[i], buf[j] = buf[j], buf[i] })
		var last string
		for _, m := range buf {
			if _, err := g.Apply(nil, m); err != nil {
				return nil, false
			}
			if g.End() == rules.Ongoing {
				last = m.From().String() + m.To().String()
				if r := m.Promotion(); r != rules.NoRole {
					last += string("nbrq"[r-rules.Knight])
				}
				break
			}
			g.Undo(1)
		}
		if last == "" {
			return nil, false
		}
		uci = append(uci, last)
	}
	return uci, true
}

// TestGamesFile: games.txt is what a seed makes of the rules: legal moves, with castling and promotions among them, in games
// that go on.
func TestGamesFile(t *testing.T) {
	rnd := rand.New(rand.NewPCG(8, 64))
	var text strings.Builder
	for made := 0; made < gamesCount; {
		if uci, ok := randomGame(rnd, gamePlies); ok {
			text.WriteString(strings.Join(uci, " ") + "\n")
			made++
		}
	}
	if *update {
		if err := os.WriteFile("games.txt", []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if text.String() != gamesText {
		t.Error("games.txt is another: make it with go test ./bench -run TestGamesFile -update")
	}
	all := games()
	if len(all) != gamesCount || len(all[0]) != gamePlies {
		t.Fatalf("%d games of %d plies", len(all), len(all[0]))
	}
	for _, sign := range []string{"e1g1", "e8c8", "q ", "n "} {
		if !strings.Contains(gamesText, sign) {
			t.Errorf("no game has a move like %s", sign)
		}
	}
}
