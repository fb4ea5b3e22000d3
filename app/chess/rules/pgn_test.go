package rules

import (
	"errors"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// readDamaged reads all games of a text and all problems.
func readDamaged(t testing.TB, text string) (all []*PGN, problems []Problem) {
	t.Helper()
	for r := ReadPGN(text); ; {
		g, ps, err := r.Next()
		problems = append(problems, ps...)
		if errors.Is(err, io.EOF) {
			return all, problems
		}
		if err != nil || g == nil {
			t.Fatalf("%v, %v", g, err)
		}
		all = append(all, g)
	}
}

func readAll(t testing.TB, text string) []*PGN {
	t.Helper()
	all, problems := readDamaged(t, text)
	for _, p := range problems {
		t.Errorf("unexpected problem: %s", p)
	}
	return all
}

// sameGames ignores the tags that writing fills in, and their order.
func sameGames(t testing.TB, want, got []*PGN) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d games came back, want %d", len(got), len(want))
	}
	for i := range want {
		if got[i].Start != want[i].Start || got[i].Result != want[i].Result || !reflect.DeepEqual(got[i].Main, want[i].Main) {
			t.Fatalf("game %d came back changed:\n%+v\nwant\n%+v", i+1, got[i], want[i])
		}
		for _, tag := range want[i].Tags {
			if back := got[i].Tag(tag.Name); back != tag.Value && tag.Value != "" && !slices.Contains([]string{"FEN", "SetUp", "Result"}, tag.Name) {
				t.Fatalf("game %d: tag %s came back as %q, want %q", i+1, tag.Name, back, tag.Value)
			}
		}
	}
}

// write is the games as text.
func write(t testing.TB, games ...*PGN) string {
	t.Helper()
	var out []byte
	for _, g := range games {
		var err error
		if out, err = g.Append(out); err != nil {
			t.Fatal(err)
		}
	}
	return string(out)
}

const annotated = `% written by hand
[Event "A \"quoted\" \\ event"]
[White "Ann"]
[Annotator "Bo"]
[Result "1-0"]

{At first} 1. e4! {good} $14 (1. d4 d5 (1... Nf6 {Indian}) 2. c4) ({again} 1. c4) 1... e5 ; to the end } of the line
2. Nf3!? Nc6 3.Bb5 a6 4.O-O
1-0
`

func TestPGNWritten(t *testing.T) {
	games := readAll(t, annotated)
	want := `[Event "A \"quoted\" \\ event"]
[Site "?"]
[Date "????.??.??"]
[Round "?"]
[White "Ann"]
[Black "?"]
[Result "1-0"]
[Annotator "Bo"]

{At first} 1. e4 $1 $14 {good} (1. d4 d5 (1... Nf6 {Indian}) 2. c4) ({again} 1.
c4) 1... e5 ;to the end } of the line
2. Nf3 $5 Nc6 3. Bb5 a6 4. O-O 1-0

`
	got := write(t, games...)
	if got != want {
		t.Errorf("written:\n%s\nwant:\n%s", got, want)
	}
	sameGames(t, games, readAll(t, got))
}

// TestPGNDamaged: what can be read is there, and each loss is told with its line.
func TestPGNDamaged(t *testing.T) {
	for _, c := range []struct {
		name, text string
		plies      []int  // of the games
		lines      []int  // of the problems
		says       string // what one of them has in it
	}{
		{"illegal move", "1. e4 e5\n2. Ke3 Nf6 3. d4 {lost} *", []int{2}, []int{2}, "move 2 of white, Ke3: not a legal move here: the rest of this line was dropped, 3 moves"},
		{"illegal move in a variation", "1. e4 (1. e5\ne4) e5 *", []int{2}, []int{1}, "2 moves"},
		{"no move", "1. e4 e5 2. hello 2... Nf6 *", []int{2}, []int{1}, "not a move"},
		{"null move", "1. e4 -- 2. d4 *", []int{1}, []int{1}, "not a move"},
		{"ambiguous", "[FEN \"4k3/8/8/8/8/8/8/R3K2R w - - 0 1\"]\n1. Rf1 Kd8 *\n[FEN \"4k3/8/8/8/8/8/4K3/R6R w - - 0 1\"]\n1. Rf1 *", []int{2, 0}, []int{4}, "file or rank"},
		{"comment not closed", "[Event \"a\"]\n\n1. e4 {oh\n\n[Event \"b\"]\n\n1. d4 *", []int{1, 1}, []int{3, 5}, "no closing brace"},
		{"comment not closed at the end", "1. e4 {oh\nno", []int{1}, []int{1, 2}, "up to line 2"},
		{"variation not closed", "1. e4 (1. d4\n1-0", []int{1}, []int{1}, "no closing )"},
		{"variation closed twice", "1. e4 (1. d4)) e5 1-0", []int{2}, []int{1}, "closes nothing"},
		{"variation before a move", "(1. d4 (1. e4)) 1. e4 e5 1-0", []int{2}, []int{1}, "before any move"},
		{"annotations", "$1 1. e4 $999 $ ! ?!? e5 *", []int{2}, []int{1, 1, 1, 1}, "$999"},
		{"no result", "[Result \"0-1\"]\n1. e4\n", []int{1}, []int{3}, "0-1 is taken"},
		{"two results", "[Result \"0-1\"]\n1. e4\n1-0", []int{1}, []int{3}, "its tag says 0-1"},
		{"wrong result", "[Result \"yes\"]\n1. e4\n1-0", []int{1}, []int{1}, "no result"},
		{"tag without end", "[White \"Ann\n[Black \"Bo\"]\n\n1. e4 *", []int{1}, []int{1}, "White has no end"},
		{"tag without value", "[White]\n[Black \"Bo\"]\n\n1. e4 *", []int{1}, []int{1}, "is no tag"},
		{"tag twice", "[White \"Ann\"]\n[White \"Bo\"]\n\n1. e4 *", []int{1}, []int{2}, "twice"},
		{"bad FEN", "[FEN \"8/8/8/8/8/8/8/8 w - - 0 1\"]\n1. e4 e5 *", []int{0}, []int{1}, "2 moves"},
		{"unknown variant", "[Variant \"Atomic\"]\n1. e4 e5 *", []int{2}, []int{1}, "Atomic"},
		{"odd characters", "1. e4 } e5 ] <x> *", []int{2}, []int{1, 1, 1, 1, 1}, "alone"},
		{"no game", "nonsense", nil, []int{1, 1, 1}, "no game begins here"},
		{"nothing", " \n% only an escape\n", nil, nil, ""},
		{"deep", "1. e4 " + strings.Repeat("(1. d4 ", 40) + strings.Repeat(")", 40) + " *", []int{1}, []int{1}, "more than 32 deep"},
	} {
		t.Run(c.name, func(t *testing.T) {
			games, problems := readDamaged(t, c.text)
			var plies, lines []int
			var told []string
			for _, g := range games {
				plies = append(plies, len(g.Main.Plies))
			}
			for _, p := range problems {
				lines, told = append(lines, p.Line), append(told, p.Text)
			}
			if !slices.Equal(plies, c.plies) || !slices.Equal(lines, c.lines) || !strings.Contains(strings.Join(told, "\n"), c.says) {
				t.Errorf("plies %v, want %v; problems in lines %v, want %v, one with %q:\n%s", plies, c.plies, lines, c.lines, c.says, strings.Join(told, "\n"))
			}
			again, _ := readDamaged(t, write(t, games...)) // of an unknown variant it is told again
			sameGames(t, games, again)
		})
	}
}

// TestPGNTolerant: what others write and the standard does not, read without loss.
func TestPGNTolerant(t *testing.T) {
	for _, text := range []string{
		"\ufeff[Event \"a\"]\r\n\r\n1.e4 e5 2.Nf3\r\n1/2-1/2\r\n",
		"1.e2-e4 e7e5 2.Ng1f3 d7-d6 *",
		"1.e4 d5 2.e5 f5 3.exf6 e.p. *",
		"1 e4 e5 2 Nf3 ... Nc6 *",
		"[Event \"the \"great\" one\"] [Site \"b\"]\n1. e4 *",
		"{first} [Event \"a\"] 1. e4 ; then\n 1... e5 *",
		"[Event \"M\xfcnchen\"]\n1. e4 {sch\xf6n} *",
		"1. e4 1-0 1. d4 d5 0-1",
	} {
		games := readAll(t, text)
		sameGames(t, games, readAll(t, write(t, games...)))
	}
	if g := readAll(t, "[Event \"M\xfcnchen\"]\n*"); g[0].Tag("Event") != "München" {
		t.Errorf("Latin-1 came as %q", g[0].Tag("Event"))
	}
}

func TestPGNManyProblems(t *testing.T) {
	_, problems := readDamaged(t, "1. e4 "+strings.Repeat("} ", 5000)+"*")
	if len(problems) != maxProblems+1 || !strings.Contains(problems[maxProblems].Text, "4900 problems more") {
		t.Errorf("%d problems, the last one %s", len(problems), problems[len(problems)-1])
	}
}

func TestPGNRefusesIllegalMoves(t *testing.T) {
	g := PGN{Start: Start(), Main: Line{Plies: []Ply{{Move: newMove(0, 63, plain)}}}}
	if out, err := g.Append(nil); err == nil {
		t.Errorf("written as %s", out)
	}
}

// drawLine makes a random line with all that can be said about moves.
func drawLine(t *rapid.T, p Position, depth int) (l Line) {
	words := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "{", "}", "%", "[%clk 0:03:00]", "[Event \"x\"]", "(1. e4)", "ü", ";", "$3", `\`, `"`, strings.Repeat("long", 22)}), 0, 20)
	said := rapid.Custom(func(t *rapid.T) string { return strings.Join(words.Draw(t, "words"), " ") })
	comments := rapid.SliceOfN(said, 0, 2)
	if depth > 0 {
		l.Comments = comments.Draw(t, "before")
	}
	for range rapid.IntRange(0, 30).Draw(t, "plies") {
		moves := p.LegalMoves(nil)
		if len(moves) == 0 {
			break
		}
		ply := Ply{Move: rapid.SampledFrom(moves).Draw(t, "move")}
		if rapid.IntRange(0, 3).Draw(t, "annotated") == 0 {
			ply.NAGs = rapid.SliceOfN(rapid.Byte(), 0, 3).Draw(t, "nags")
			ply.Comments = comments.Draw(t, "comments")
			for range rapid.IntRange(0, max(0, 2-depth)).Draw(t, "variations") {
				ply.Variations = append(ply.Variations, drawLine(t, p, depth+1))
			}
		}
		l.Plies = append(l.Plies, ply)
		p = p.Play(ply.Move)
	}
	return l
}

// tidy makes empty slices nil, as the reader leaves them.
func tidy(l *Line) {
	if len(l.Comments) == 0 {
		l.Comments = nil
	}
	for i := range l.Plies {
		p := &l.Plies[i]
		if len(p.NAGs) == 0 {
			p.NAGs = nil
		}
		if len(p.Comments) == 0 {
			p.Comments = nil
		}
		for j := range p.Variations {
			tidy(&p.Variations[j])
		}
	}
}

func TestPGNRoundTripProperty(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		g := &PGN{Start: parse(t, rapid.SampledFrom(positions).Draw(rt, "start")), Result: Result(rapid.IntRange(0, 3).Draw(rt, "result"))}
		g.Tags = []Tag{{"White", rapid.SampledFrom([]string{`A "B" \ C`, "Ü", "]", "[Event \"x\"]"}).Draw(rt, "white")}, {"Own_1", "x"}}
		g.Main = drawLine(rt, g.Start, 0)
		tidy(&g.Main)
		text := write(t, g)
		sameGames(t, []*PGN{g}, readAll(t, text))
		if again := write(t, readAll(t, text)...); again != text {
			rt.Fatalf("written twice:\n%s\n%s", text, again)
		}
	})
}

func FuzzPGN(f *testing.F) {
	f.Add(annotated)
	f.Add("1. e4 (1. d4 {x} (1. c4 $3 \n; }\n e5)) 0-0 1-0 [A \"b\\\"\"] { [Event \"\n[Event \"c\"]")
	f.Add("[FEN \"" + kiwipete + "\"]\n1. 0-0-0 hxg2 2. Kb1 gxh1=Q %\n% hidden\n}]<*")
	f.Fuzz(func(t *testing.T, text string) {
		games, problems := readDamaged(t, text)
		for _, p := range problems {
			if p.Line < 1 || p.Line > strings.Count(text, "\n")+1 || p.Text == "" {
				t.Fatalf("a problem that leads nowhere: %v", p)
			}
		}
		out := write(t, games...)
		sameGames(t, games, readAll(t, out))
	})
}
