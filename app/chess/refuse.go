package chess

import "carillon/app"

// Code says why a command was refused. The list is closed and only grows: a number keeps its meaning.
type Code int

// The codes. A reply carries the number, and in its data the name, a sentence and sometimes more.
const (
	BadRequest Code = iota + 1
	UnknownCommand
	TooLong
	NoGame
	NotPlayer
	Finished
	NotYourTurn
	StalePly
	IllegalMove
	NotNow
	TooSoon
	NoClaim
	BadFEN
	BadControl
	Full
	Exists
	UnknownID
	UnknownUser
	NotAllowed
)

// Codes are all of them, in order.
func Codes() []Code {
	all := make([]Code, NotAllowed)
	for i := range all {
		all[i] = Code(i + 1)
	}
	return all
}

// Name is the word that clients match on; it never changes.
func (c Code) Name() string {
	name, _ := c.words()
	return name
}

// words are the name, and what to do where a refusal does not say more exactly.
func (c Code) words() (name, sentence string) {
	switch c {
	case BadRequest:
		return "bad_request", "the command is not as documented: send one JSON object whose fields have the documented types"
	case UnknownCommand:
		return "unknown_command", "this channel knows no such command: set type to one of the documented ones"
	case TooLong:
		return "too_long", "the command is too long: send at most 4 KiB"
	case NoGame:
		return "no_game", "no game was begun here: use the channel that the record game of your own channel names"
	case NotPlayer:
		return "not_player", "this is a game of others: watch it"
	case Finished:
		return "finished", "the game is over: ask for its state"
	case NotYourTurn:
		return "not_your_turn", "it is the other's turn: wait for the record move"
	case StalePly:
		return "stale_ply", "other moves were played than you know of: ask for the state and look again"
	case IllegalMove:
		return "illegal_move", "this is no legal move here: ask for the state and look again"
	case NotNow:
		return "not_now", "this cannot be done at this point of the game: see when in the documentation"
	case TooSoon:
		return "too_soon", "it is too soon for this: wait"
	case NoClaim:
		return "no_claim", "there is nothing to claim: play on"
	case BadFEN:
		return "bad_fen", "fen is no position that can be played on: send one position in six fields"
	case BadControl:
		return "bad_control", "no such game is offered: base is 1 to 10800 and inc 0 to 180 seconds, or both are 0"
	case Full:
		return "full", "there is no room for one more: end or withdraw another first"
	case Exists:
		return "exists", "this was asked for already: wait, or withdraw it first"
	case UnknownID:
		return "unknown_id", "there is nothing open under this id: take it from a record of your own channel"
	case UnknownUser:
		return "unknown_user", "user is missing, no valid id, or yourself: name another user"
	case NotAllowed:
		return "not_allowed", "this is for somebody else to do: use the channel of your own"
	}
	return "", ""
}

// refusal is why not; nil: no objection.
type refusal struct {
	code     Code
	sentence string // "": that of the code
	wait     int64  // milliseconds after which it may go; 0: not said
	ply      int    // that the game is at, or at which it may go; -1: not said
}

func refuse(c Code) *refusal                   { return &refusal{code: c, ply: -1} }
func because(c Code, sentence string) *refusal { return &refusal{code: c, sentence: sentence, ply: -1} }

func (r *refusal) outcome() app.Outcome {
	name, sentence := r.code.words()
	if r.sentence != "" {
		sentence = r.sentence
	}
	o := app.NewObject(128+len(sentence)).Text("error", name).Text("message", sentence)
	if r.wait > 0 {
		o = o.Number("retry_after", r.wait)
	}
	if r.ply >= 0 {
		o = o.Number("ply", int64(r.ply))
	}
	return app.Outcome{Refused: int(r.code), Reply: o.End()}
}
