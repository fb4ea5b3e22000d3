package bench

import (
	"context"
	"fmt"
	"time"
)

// Rates of a chat beside its messages.
const (
	perMember  = 0.1 // messages a second of each connection
	signs      = 2   // signs of typing for each message
	marks      = 1   // marks of what was read for each message
	chatGoal   = 20  // ms: p99 until the last member has a message
	halfAsFast = 0.5 // of the commands a second that were reached: the load under which latency is measured
)

// chatter is what a group of chat does: messages at a rate, and beside them typing and marks.
func (b *bench) chatter(group int, rate float64) (s []speech) {
	messages, typing, read := b.steady(group, rate), b.steady(group, signs*rate), b.steady(group, marks*rate)
	messages.act, typing.mix, read.act = actSend, Mix{Fleeting: 100}, actMark
	return []speech{messages, typing, read}
}

// chatScenario is the chat service with people in rooms who send, type and read.
func chatScenario(ctx context.Context, b *bench) error {
	n, members := b.conns(2000), or(b, b.c.Load.Members, 20, 10)
	rooms := max(n/members, 1)
	if err := b.bring(ctx, Group{Name: "chat", Channels: rooms, Members: min(n, members), Talk: true, Service: chatService}); err != nil {
		return err
	}
	if _, err := b.open(ctx); err != nil {
		return err
	}
	talk := b.chatter(0, b.rate(perMember*float64(n)))
	if err := b.warm(ctx, b.chatter(0, talk[0].steps[0].Rate)...); err != nil {
		return err
	}
	p, err := b.talk(ctx, "chat", false, talk...)
	if err != nil {
		return err
	}
	w := p.Whole
	b.note("from due until the last member of the room has it, %d connections in rooms of %d, %.0f messages a second: p50 %.2f ms, p99 %.2f ms, max %.2f ms",
		p.Connections, members, float64(w.N)/p.Seconds, w.P50, w.P99, w.Max)
	b.note("claimed elsewhere for 2,000 connections: below 100 ms, and 200 ms with presence and typing; the goal here is a p99 of %d ms: %s", chatGoal, verdict(w.P99 <= chatGoal))
	return nil
}

// Figures of chess.
const (
	perGame       = 2 // moves a second of each game: 30 times as fast as people play
	chessTypical  = 2 // ms: p50 until both players have a move
	chessWorst    = 5 // ms: p99 of the same
	chessLeast    = 8000
	clusterWorst  = 15 // ms: p99 of the same over Redis and Postgres
	articleMove   = 11 // ms, as claimed elsewhere: typical
	articleWorst  = 50 // and at worst
	chessSpeeches = "from due until both players have it"
)

// chessScenario is the chess service with games that go on at thirty times the pace of people, and then as fast as they can.
func chessScenario(ctx context.Context, b *bench) error {
	games := max(b.conns(2000)/2, 1)
	if err := b.bring(ctx, Group{Name: "chess", Channels: games, Members: 2, Talk: true, Service: chessService}); err != nil {
		return err
	}
	if _, err := b.open(ctx); err != nil {
		return err
	}
	s := b.steady(0, b.rate(perGame*float64(games)))
	s.act = actMove
	if err := b.warm(ctx, s); err != nil {
		return err
	}
	s.steps = b.steady(0, s.steps[0].Rate).steps
	before, err := b.t.steps(ctx)
	if err != nil {
		return err
	}
	cost := b.noteStores()
	p, err := b.talk(ctx, "chess", false, s)
	if err != nil {
		return err
	}
	after, err := b.t.steps(ctx)
	if err != nil {
		return err
	}
	cost(p, float64(p.Whole.N))
	noteMoves(b, games, p)
	b.note("claimed elsewhere: %d ms typically, %d ms at worst", articleMove, articleWorst)
	b.noteSteps(before, after, p.whole.Mean()/1000)
	cost = b.noteStores()
	most, err := b.pump(ctx, "chess, closed loop", 0, 1)
	if err != nil {
		return err
	}
	cost(most, most.Answered*most.Seconds)
	b.note("as fast as each side sees the move of the other: %.0f moves a second, %.1f µs of server CPU each; the goal is %d: %s",
		most.Answered, most.ServerCPU*1e6/max(most.Answered, 1), chessLeast, verdict(most.Answered >= chessLeast))
	return nil
}

// noteMoves says how long moves took. Over a Redis and a Postgres more is allowed.
func noteMoves(b *bench, games int, p *Phase) {
	w, goals := p.Whole, fmt.Sprintf("a p50 of %d ms: %s, and a p99 of %d ms: %s", chessTypical, verdict(p.Whole.P50 <= chessTypical), chessWorst, verdict(p.Whole.P99 <= chessWorst))
	if b.t.postgres != nil {
		goals = fmt.Sprintf("over a Redis and a Postgres a p99 of %d ms: %s", clusterWorst, verdict(w.P99 <= clusterWorst))
	}
	b.note("%d games, %.0f moves a second, %s: p50 %.2f ms, p95 %.2f, p99 %.2f, max %.2f; the goals are %s",
		games, float64(w.N)/p.Seconds, chessSpeeches, w.P50, w.P95, w.P99, w.Max, goals)
}

// noteStores measures from now on what a move costs where several processes have a part in it; what it returns says so of a
// phase with so many moves.
func (b *bench) noteStores() func(p *Phase, moves float64) {
	redis, postgres := b.t.stores()
	return func(p *Phase, moves float64) {
		if b.t.postgres == nil || moves == 0 {
			return
		}
		r, s := b.t.stores()
		each := func(ns float64) float64 { return ns / 1000 / moves }
		b.note("%s: CPU of a move: %.0f µs of the nodes, %.0f µs of Postgres, %.0f µs of Redis, %.0f µs of this generator", p.Name,
			each(p.ServerCPU*p.Seconds*1e9), each(float64(s-postgres)), each(float64(r-redis)), each(p.ClientCPU*p.Seconds*1e9))
	}
}

func verdict(good bool) string {
	if good {
		return "reached"
	}
	return "missed"
}

// commandsScenario finds how many commands a second the counter service makes durable, over many channels and on one, and
// how long they take at half of that.
func commandsScenario(ctx context.Context, b *bench) error {
	const speakers, depth = 64, 16
	many := or(b, b.c.Load.Channels, 256, 16)
	groups := []Group{
		{Name: "many", Channels: many, Members: 1, Talk: true, Service: counterService},
		{Name: "hot", Channels: 1, Members: 1, Speakers: speakers, Service: counterService},
	}
	if err := b.bring(ctx, groups...); err != nil {
		return err
	}
	if _, err := b.open(ctx); err != nil {
		return err
	}
	for i, g := range groups {
		most, err := b.pump(ctx, g.Name+", closed loop", i, depth)
		if err != nil {
			return err
		}
		if err := b.calm(ctx, g.Name); err != nil {
			return err
		}
		s := b.steady(i, or(b, b.c.Load.Rate, halfAsFast*most.Answered, halfAsFast*most.Answered))
		s.act = actAdd
		p, err := b.talk(ctx, g.Name+", half of it", false, s)
		if err != nil {
			return err
		}
		if err := b.calm(ctx, g.Name); err != nil {
			return err
		}
		b.note("%s: %.0f commands a second answered at most, %.1f µs of server CPU each; at %.0f a second p50 %.2f ms, p99 %.2f ms, max %.2f ms, counted from when they were due",
			g.Name, most.Answered, most.ServerCPU*1e6/max(most.Answered, 1), p.Answered, p.Replies.P50, p.Replies.P99, p.Replies.Max)
	}
	b.note("each command also sends one to the leaderboard, which is worked off and committed beside it; latencies of the closed loop are not corrected")
	return nil
}

// calm waits until the server has worked off what commands led to, and notes how long that took.
func (b *bench) calm(ctx context.Context, name string) error {
	const idle = 0.15                  // cores
	most := or(b, 0, 2*time.Minute, 1) // a quick run does not wait
	begin, was := time.Now(), Sample{}
	for time.Since(begin) < most {
		now, err := probe(b.t.pid)
		if err != nil {
			return err
		}
		if was.CPU > 0 && float64(now.CPU-was.CPU) < idle*float64(tick) {
			break
		}
		was = now
		if err := pause(ctx, tick); err != nil {
			return err
		}
	}
	if took := time.Since(begin) - tick; took > tick {
		b.note("%s: what it led to was worked off %.0f s after the last answer", name, took.Seconds())
	}
	return nil
}

// pump has a group ask as fast as answers come, and waits for the last of them.
func (b *bench) pump(ctx context.Context, name string, group, depth int) (*Phase, error) {
	until := time.Now().Add(b.duration())
	if err := b.f.order(ctx, order{Do: doPump, Group: group, Depth: depth, Start: until.UnixNano()}); err != nil {
		return nil, err
	}
	p, _, err := b.watch(ctx, name, time.Until(until), tick, nil)
	if err != nil {
		return nil, err
	}
	return p, b.settle(ctx, p)
}

// mixedScenario is all classes at once: rooms of fifty, half of them plain and half of the chat service, where of a hundred
// messages sixty say that somebody types, twenty replace a value, and twenty are to be kept.
func mixedScenario(ctx context.Context, b *bench) error {
	const room, typing, latest, kept = 50, 60, 20, 20 // of a hundred
	n := b.conns(5000) / 2
	g := Group{Channels: max(n/room, 1), Members: min(n, room), Talk: true}
	plain, chat := g, g
	plain.Name, chat.Name, chat.Service = "plain", "mixed", chatService
	if err := b.bring(ctx, plain, chat); err != nil {
		return err
	}
	if _, err := b.open(ctx); err != nil {
		return err
	}
	rate := b.rate(1000) / 2
	speeches := func() []speech {
		s := []speech{b.steady(0, rate), b.steady(1, rate*typing/100), b.steady(1, rate*latest/100), b.steady(1, rate*kept/100)}
		s[0].mix, s[1].mix = Mix{Fleeting: typing, Latest: latest}, Mix{Fleeting: 100}
		s[2].act, s[3].act = actMark, actSend
		return s
	}
	if err := b.warm(ctx, speeches()...); err != nil {
		return err
	}
	_, err := b.talk(ctx, "mixed", false, speeches()...)
	return err
}
