package rating

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

// testData reads a file of real input: in CARILLON_TESTDATA, or in a folder beside the repository.
func testData(t testing.TB, name string) []byte {
	t.Helper()
	places := []string{filepath.Join("..", "..", "..", "..", "shared", "data")}
	if dir := os.Getenv("CARILLON_TESTDATA"); dir != "" {
		places = []string{dir}
	}
	for _, dir := range places {
		raw, err := os.ReadFile(filepath.Join(dir, "games", name))
		if err == nil {
			return raw
		}
		if !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	t.Skipf("skipped: games/%s is in none of %v; set CARILLON_TESTDATA to the folder that holds it", name, places)
	return nil
}

// numbers reads a table without its head.
func numbers(t testing.TB, name string) (rows [][]float64) {
	t.Helper()
	all, err := csv.NewReader(bytes.NewReader(testData(t, name))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, words := range all[1:] {
		var row []float64
		for _, w := range words {
			x, err := strconv.ParseFloat(w, 64)
			if err != nil {
				t.Fatal(err)
			}
			row = append(row, x)
		}
		rows = append(rows, row)
	}
	return rows
}

func TestElo(t *testing.T) {
	for _, c := range []struct {
		own, opponent float64
		s             Score
		want          int
	}{
		{1500, 1500, Win, 16}, {1500, 1500, Half, 0}, {1500, 1500, Loss, -16},
		{1900, 1500, Win, 3}, {1900, 1500, Loss, -29}, {1500, 1900, Win, 29}, {1500, 1900, Half, 13},
	} {
		if got := math.Round(Elo(c.own, c.opponent, c.s, EloK)); int(got) != c.want {
			t.Errorf("%v against %v, %d: %v, want %d", c.own, c.opponent, c.s, got, c.want)
		}
	}
}

// TestEloSum: what one gains the other loses, and a winner never loses.
func TestEloSum(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.Float64Range(0, 4000).Draw(t, "a"), rapid.Float64Range(0, 4000).Draw(t, "b")
		s := Score(rapid.IntRange(0, 2).Draw(t, "score"))
		if sum := Elo(a, b, s, EloK) + Elo(b, a, s.Other(), EloK); math.Abs(sum) > 1e-9 {
			t.Fatalf("%v points appeared", sum)
		}
		if Elo(a, b, Win, EloK) < 0 || Elo(a, b, Loss, EloK) > 0 {
			t.Fatal("a winner lost, or a loser won")
		}
		if x, y := int(a), int(b); max(x, y) < uncapped && FIDEChange(x, y, 20, s)+FIDEChange(y, x, 20, s.Other()) != 0 {
			t.Fatal("points appeared by the table")
		}
	})
}

func TestFIDETables(t *testing.T) {
	for _, row := range numbers(t, "fide_table_1.4.9_p_to_dp.csv") {
		if got := FIDEDifference(int(row[0])); got != int(row[1]) {
			t.Errorf("%v %%: %d, want %v", row[0], got, row[1])
		}
	}
	from := 0
	for _, row := range numbers(t, "fide_table_8.1.2_dp_to_pd.csv") {
		for d := from; d <= int(row[0]); d++ {
			want := int(math.Round(100 * row[1]))
			if up, down := FIDEExpected(3000, 3000-d), FIDEExpected(3000-d, 3000); up != want || d <= counted && down != 100-want {
				t.Errorf("difference %d: %d and %d, want %d", d, up, down, want)
			}
		}
		from = int(row[0]) + 1
	}
	if from != 736 || FIDEExpected(3000, 3000-from) != 100 {
		t.Errorf("beyond %d: %d, want 100", from, FIDEExpected(3000, 3000-from))
	}
}

func TestFIDEGames(t *testing.T) {
	for _, row := range numbers(t, "elo_fide_single_game.csv") {
		if got := FIDERound(FIDEChange(int(row[0]), int(row[2]), int(row[1]), Score(2*row[3]))); got != int(row[4]) {
			t.Errorf("%v with K %v against %v, %v: %d, want %v", row[0], row[1], row[2], row[3], got, row[4])
		}
	}
}

func TestFIDEK(t *testing.T) {
	for _, c := range []struct {
		why   string
		p     FIDEPlayer
		games int
		k     int
	}{
		{"a newcomer", FIDEPlayer{Rating: 1600, Games: 29}, 9, 40},
		{"no longer", FIDEPlayer{Rating: 1600, Games: 30}, 9, 20},
		{"young", FIDEPlayer{Rating: 2299, Games: 300, Under18: true}, 9, 40},
		{"young and strong", FIDEPlayer{Rating: 2300, Games: 300, Under18: true}, 9, 20},
		{"below 2400", FIDEPlayer{Rating: 2399, Games: 300}, 9, 20},
		{"at 2400", FIDEPlayer{Rating: 2400, Games: 300}, 9, 10},
		{"once at 2400", FIDEPlayer{Rating: 2250, Games: 300, Was2400: true, Under18: true}, 9, 10},
		{"17 games of a newcomer", FIDEPlayer{Rating: 1600}, 17, 40},
		{"18 games of a newcomer", FIDEPlayer{Rating: 1600}, 18, 38},
		{"50 games", FIDEPlayer{Rating: 1600, Games: 30}, 50, 14},
		{"no game", FIDEPlayer{Rating: 1600, Games: 30}, 0, 20},
	} {
		if got := c.p.K(c.games); got != c.k {
			t.Errorf("%s: K %d, want %d", c.why, got, c.k)
		}
	}
	for hundredths, want := range map[int]int{49: 0, 50: 1, 149: 1, 150: 2, -49: 0, -50: -1, -150: -2} {
		if got := FIDERound(hundredths); got != want {
			t.Errorf("%d hundredths: %d, want %d", hundredths, got, want)
		}
	}
}

func near(a, b, by float64) bool { return math.Abs(a-b) <= by }

// TestGlickoPaper is the worked example of the paper.
func TestGlickoPaper(t *testing.T) {
	games := []Opposed{
		{Glicko{1400, 30, 0.06}, Win},
		{Glicko{1550, 100, 0.06}, Loss},
		{Glicko{1700, 300, 0.06}, Loss},
	}
	got, err := System{Tau: 0.5}.Update(Glicko{1500, 200, 0.06}, games, 1)
	if err != nil || !near(got.Rating, 1464.06, 0.011) || !near(got.Deviation, 151.52, 0.005) || !near(got.Volatility, 0.05999, 1e-5) {
		t.Errorf("%+v, %v", got, err)
	}
	var file struct {
		Exact [3]float64 `json:"exact_float64"`
	}
	if err := json.Unmarshal(testData(t, "glicko2_paper.json"), &file); err != nil {
		t.Fatal(err)
	}
	if !near(got.Rating, file.Exact[0], 1e-6) || !near(got.Deviation, file.Exact[1], 1e-6) || !near(got.Volatility, file.Exact[2], 1e-9) {
		t.Errorf("%+v, want %v", got, file.Exact)
	}
}

// TestGlickoPairs is single games as a large site rates them, as exact as its figures are given: some volatilities have
// only three digits.
func TestGlickoPairs(t *testing.T) {
	var file struct {
		Tau   float64
		Cases [][5]json.RawMessage
	}
	if err := json.Unmarshal(testData(t, "glicko2_lichess_pairs.json"), &file); err != nil {
		t.Fatal(err)
	}
	player := func(raw json.RawMessage) Glicko {
		var x [3]float64
		if err := json.Unmarshal(raw, &x); err != nil {
			t.Fatal(err)
		}
		return Glicko{x[0], x[1], x[2]}
	}
	for _, c := range file.Cases {
		a, b := player(c[0]), player(c[1])
		s := map[string]Score{`"1-0"`: Win, `"0-1"`: Loss, `"1/2-1/2"`: Half}[string(c[2])]
		for _, side := range []struct {
			p, by, want Glicko
			s           Score
		}{{a, b, player(c[3]), s}, {b, a, player(c[4]), s.Other()}} {
			got, err := System{Tau: file.Tau}.Update(side.p, []Opposed{{side.by, side.s}}, 0)
			if w := side.want; err != nil || !near(got.Rating, w.Rating, 0.0051) || !near(got.Deviation, w.Deviation, 5.1e-5) || !near(got.Volatility, w.Volatility, 1e-5) {
				t.Errorf("%+v against %+v, %d: %+v, %v, want %+v", side.p, side.by, side.s, got, err, w)
			}
		}
	}
	if len(file.Cases) != 9 {
		t.Errorf("%d pairs, want 9", len(file.Cases))
	}
}

// TestGlickoBounds: whatever comes in, what goes out is a rating within bounds, or the old one with an error.
func TestGlickoBounds(t *testing.T) {
	system := Standard()
	number := rapid.OneOf(rapid.Float64(), rapid.Float64Range(-100, 5000), rapid.SampledFrom([]float64{math.NaN(), math.Inf(1), math.Inf(-1), 0}))
	player := rapid.Custom(func(t *rapid.T) Glicko {
		return Glicko{number.Draw(t, "rating"), number.Draw(t, "deviation"), rapid.OneOf(number, rapid.Float64Range(0.03, 0.2)).Draw(t, "volatility")}
	})
	rapid.Check(t, func(t *rapid.T) {
		p := player.Draw(t, "player")
		var games []Opposed
		for range rapid.IntRange(0, 3).Draw(t, "games") {
			games = append(games, Opposed{player.Draw(t, "by"), Score(rapid.IntRange(0, 2).Draw(t, "score"))})
		}
		got, err := system.Update(p, games, number.Draw(t, "periods"))
		if err != nil {
			if math.Float64bits(got.Rating) != math.Float64bits(p.Rating) {
				t.Fatalf("an error changed %+v to %+v", p, got)
			}
			return
		}
		if !got.sane() || got.Rating < 400 || got.Rating > 4000 || got.Deviation < 45 || got.Deviation > 500 || got.Volatility > 0.1 {
			t.Fatalf("%+v became %+v", p, got)
		}
	})
}

// TestGlickoWaiting: who does not play becomes less known, and knows no other change.
func TestGlickoWaiting(t *testing.T) {
	p := Glicko{1700, 60, 0.06}
	got, err := Standard().Update(p, nil, 100)
	if err != nil || got.Rating != p.Rating || got.Volatility != p.Volatility || !(got.Deviation > 60 && got.Deviation < 130) {
		t.Errorf("%+v, %v", got, err)
	}
	if !Newcomer().Provisional() || p.Provisional() {
		t.Error("a newcomer alone is provisional")
	}
}
