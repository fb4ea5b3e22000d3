package worker_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"carillon/app/chess"
	"carillon/bus/local"
	"carillon/channel"
	"carillon/worker"
)

// benchGames are the games that the load generator plays.
func benchGames(b *testing.B) (all [][]string) {
	text, err := os.ReadFile("../bench/games.txt")
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		all = append(all, strings.Fields(line))
	}
	return all
}

// board is a game that is played by the desk alone: each answer asks the next move.
type board struct {
	white, black string
	moves        []string
	game         channel.Name
	ply          int
}

// hall is many of them.
type hall struct {
	*testing.B
	desk *local.Desk
	left atomic.Int64 // moves still to be asked
	open sync.WaitGroup
	ids  atomic.Int64
}

func (h *hall) ask(user string, n channel.Name, body string, then func(channel.Reply)) {
	c := channel.Command{ID: fmt.Sprint(h.ids.Add(1)), Channel: n, User: user, Body: []byte(body)}
	var done func(channel.Reply, error)
	done = func(r channel.Reply, err error) {
		if err != nil {
			h.desk.Ask(c, done)
			return
		}
		then(r)
	}
	h.desk.Ask(c, done)
}

// move asks the next move.
func (h *hall) move(x *board) {
	if h.left.Add(-1) < 0 || x.ply == len(x.moves) {
		h.open.Done()
		return
	}
	user := []string{x.white, x.black}[x.ply%2]
	h.ask(user, x.game, fmt.Sprintf(`{"type":"move","ply":%d,"uci":"%s"}`, x.ply, x.moves[x.ply]), func(r channel.Reply) {
		if r.Code != 0 {
			h.Errorf("ply %d: %s", x.ply, r.Body)
			h.open.Done()
			return
		}
		x.ply++
		h.move(x)
	})
}

// pair brings a game about, by a challenge.
func (h *hall) pair(x *board) {
	home := func(user string) channel.Name { return chess.Player(user) }
	var find, accept func(string)
	find = func(string) {
		h.ask(x.black, home(x.black), `{"type":"profile"}`, func(r channel.Reply) {
			var v struct{ Games []struct{ Game channel.Name } }
			_ = json.Unmarshal(r.Body, &v)
			if len(v.Games) == 0 {
				find("")
				return
			}
			x.game = v.Games[0].Game
			h.open.Done()
		})
	}
	accept = func(id string) {
		h.ask(x.black, home(x.black), fmt.Sprintf(`{"type":"accept","challenge":%q}`, id), func(r channel.Reply) {
			if r.Code != 0 {
				accept(id)
				return
			}
			find("")
		})
	}
	h.ask(x.white, home(x.white), fmt.Sprintf(`{"type":"challenge","user":%q,"color":"white","base":10800,"inc":60}`, x.black), func(r channel.Reply) {
		var v struct{ Challenge string }
		if err := json.Unmarshal(r.Body, &v); err != nil || r.Code != 0 {
			h.Errorf("challenge: %s", r.Body)
		}
		accept(v.Challenge)
	})
}

// BenchmarkChess plays 1,000 games at once through desk, worker and a SQLite file: each move is asked when the one before it
// is true. Garbage is collected as seldom as in a server at work (cmd/carillon/memory.go).
func BenchmarkChess(b *testing.B) {
	const games, garbage = 1000, 400
	defer debug.SetGCPercent(debug.SetGCPercent(garbage))
	all := benchGames(b)
	store, desk := benchStore(b), local.NewDesk()
	w, err := worker.New(worker.Options{Service: chess.Service(), Stage: store, Agenda: store, Pulse: store, Desk: desk, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		b.Fatal(err)
	}
	var ran sync.WaitGroup
	ran.Go(func() { _ = w.Run(context.Background()) })
	h := &hall{B: b, desk: desk}
	boards := make([]*board, games)
	h.open.Add(games)
	for i := range boards {
		boards[i] = &board{white: fmt.Sprint("w", i), black: fmt.Sprint("b", i), moves: all[i%len(all)]}
		h.pair(boards[i])
	}
	h.open.Wait()
	if b.N > games*len(all[0]) {
		b.Skip("there are no more moves than that: choose a shorter -benchtime")
	}
	before := w.Stats()
	h.left.Store(int64(b.N))
	h.open.Add(games)
	b.ReportAllocs()
	b.ResetTimer()
	for _, x := range boards {
		h.move(x)
	}
	h.open.Wait()
	b.StopTimer()
	st := w.Stats()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "moves/s")
	b.ReportMetric(float64(st.Commands-before.Commands)/float64(st.Commits-before.Commits), "moves/commit")
	w.Close()
	ran.Wait()
	desk.Close()
	_ = store.Close()
}
