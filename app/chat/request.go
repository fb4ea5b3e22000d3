package chat

import (
	"carillon/app"
	"carillon/channel"
)

// request is the body of a command: "do" names it, and each takes some of the other fields. Unknown fields are passed over.
type request struct {
	Do       string   `json:"do"`
	Text     string   `json:"text"`     // send, edit
	ReplyTo  uint64   `json:"reply_to"` // send: offset of a message
	Mentions []string `json:"mentions"` // send, edit: users
	Of       uint64   `json:"of"`       // edit, delete, react, unreact: offset of the message
	Emoji    string   `json:"emoji"`    // react, unreact
	User     string   `json:"user"`     // whom it concerns
	Role     string   `json:"role"`     // role
	Title    string   `json:"title"`    // create, title
	Public   bool     `json:"public"`   // create
	Seconds  *uint64  `json:"seconds"`  // slow
	MS       uint64   `json:"ms"`       // mute: for how long
	Room     string   `json:"room"`     // me: which of the list
	N        uint64   `json:"n"`        // me: number of a message
	After    string   `json:"after"`    // questions: where the page begins
	Limit    uint64   `json:"limit"`    // questions: rows of the page

	// What machines tell each other.
	By      string `json:"by"`
	With    string `json:"with"`
	Why     string `json:"why"`
	At      uint64 `json:"at"`
	Members uint64 `json:"members"`
}

var requestShape = app.ShapeOf[request]()

// readCall reads a command; a timer has no body.
func readCall(c channel.Command) (*call, *refusal) {
	k := &call{asker: c.User, head: c.Head, now: c.Time.UnixMilli()}
	if len(c.User) > 0 && c.User[0] == '@' {
		k.sender, _ = app.SentBy(c)
		if k.sender == c.Channel {
			return k, nil
		}
	} else if !app.ValidUser(c.User) {
		return nil, because(BadRequest, "the user has no valid id: sign in with 1 to 128 visible ASCII characters")
	}
	switch {
	case c.Binary:
		return nil, because(BadRequest, "a command of chat is JSON: send data, not data64")
	case len(c.Body) > MaxBody:
		return nil, refuse(TooLong)
	}
	if err := requestShape.Read(c.Body, &k.request); err != nil {
		return nil, refuse(BadRequest)
	}
	if k.Do == "" {
		return nil, because(BadRequest, "the command has no name: set do to one of the documented ones")
	}
	return k, nil
}

// target is the user that a command concerns: somebody else than the one who asks.
func (c *call) target() *refusal {
	switch {
	case !app.ValidUser(c.User):
		return because(BadRequest, "user is missing or no valid id: set it to 1 to 128 visible ASCII characters")
	case c.User == c.asker:
		return because(BadRequest, "you cannot do this to yourself: set user to somebody else")
	}
	return nil
}
