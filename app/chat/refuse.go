package chat

import "carillon/app"

// Code says why a command was refused. The list is closed and only grows: a number keeps its meaning.
type Code int

// The codes. A reply carries the number, and in its data the name, a sentence and sometimes a time to wait.
const (
	BadRequest Code = iota + 1
	UnknownCommand
	Empty
	TooLong
	ControlCharacters
	NoRoom
	Exists
	NotMember
	Banned
	Muted
	TooFast
	NotYours
	NotAllowed
	TooOld
	UnknownMessage
	UnknownUser
	Full
	BadEmoji
	NotInvited
)

// Codes are all of them, in order.
func Codes() []Code {
	all := make([]Code, NotInvited)
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

// Sentence says what to do, where a refusal does not say more exactly.
func (c Code) Sentence() string {
	_, sentence := c.words()
	return sentence
}

func (c Code) words() (name, sentence string) {
	switch c {
	case BadRequest:
		return "bad_request", "the command is not as documented: send one JSON object whose fields have the documented types"
	case UnknownCommand:
		return "unknown_command", "this channel knows no such command: set do to one of the documented ones"
	case Empty:
		return "empty", "there is nothing to see in the text: write at least one visible character"
	case TooLong:
		return "too_long", "the text is too long: shorten it, or send it in parts"
	case ControlCharacters:
		return "control_characters", "the text holds control characters or ones that reverse the direction of writing: remove them"
	case NoRoom:
		return "no_room", "there is no such room: create it first, or choose another name"
	case Exists:
		return "exists", "the name is taken: join that room, or choose another name"
	case NotMember:
		return "not_member", "only members can do this: join the room first"
	case Banned:
		return "banned", "the user is banned from this room: a moderator can lift that"
	case Muted:
		return "muted", "you are muted here: wait until that ends"
	case TooFast:
		return "too_fast", "this room is in slow mode: wait before you write again"
	case NotYours:
		return "not_yours", "this message was written by somebody else: only its author can change it"
	case NotAllowed:
		return "not_allowed", "your role does not allow this: ask a moderator or an owner"
	case TooOld:
		return "too_old", "the message is too old to be changed: write a new one"
	case UnknownMessage:
		return "unknown_message", "there is no such message, or it was deleted: take the offset from a record of type message"
	case UnknownUser:
		return "unknown_user", "this user is not a member of the room: choose one of its members"
	case Full:
		return "full", "there is no room for one more: remove an old one first"
	case BadEmoji:
		return "bad_emoji", "a reaction is one emoji of at most 32 bytes: choose another"
	case NotInvited:
		return "not_invited", "this room is private: ask one of its members for an invitation"
	}
	return "", ""
}

// refusal is why not; nil: no objection.
type refusal struct {
	code     Code
	sentence string // "": that of the code
	wait     int64  // milliseconds after which it may go; 0: it does not help to wait
}

func refuse(c Code) *refusal                   { return &refusal{code: c} }
func because(c Code, sentence string) *refusal { return &refusal{code: c, sentence: sentence} }

func (r *refusal) outcome() app.Outcome {
	name, sentence := r.code.words()
	if r.sentence != "" {
		sentence = r.sentence
	}
	o := app.NewObject(128+len(sentence)).Text("error", name).Text("message", sentence)
	if r.wait > 0 {
		o = o.Count("retry_after", uint64(r.wait))
	}
	return app.Outcome{Refused: int(r.code), Reply: o.End()}
}
