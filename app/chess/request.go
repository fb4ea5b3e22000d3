package chess

import (
	"encoding/json"

	"carillon/app"
	"carillon/app/chess/rules"
	"carillon/channel"
)

// request is the body of a user's command: "type" names it, and each takes some of the other fields. Unknown ones are
// passed over.
type request struct {
	Type      string `json:"type"`
	Ply       *int64 `json:"ply"` // move: plies played so far
	UCI       string `json:"uci"`
	Lag       int64  `json:"lag"`       // move: milliseconds claimed for the network
	As        string `json:"as"`        // claim: win or draw
	Seek      string `json:"seek"`      // join, cancel
	Challenge string `json:"challenge"` // withdraw, accept, decline
	User      string `json:"user"`      // challenge: whom
	offer
}

var requestShape = app.ShapeOf[request]()

// offer is what a game is to be like: of seeks and challenges, and within messages between machines.
type offer struct {
	Base  int64  `json:"base"`
	Inc   int64  `json:"inc"`
	Rated bool   `json:"rated"`
	Color string `json:"color,omitempty"` // of who asks; "": by lot
	Min   int64  `json:"min,omitempty"`   // seeks: rating of the other, in points
	Max   int64  `json:"max,omitempty"`   // 0: no limit
	Delay int64  `json:"delay,omitempty"` // seconds
	FEN   string `json:"fen,omitempty"`   // challenges: where it begins; "": the usual array
}

func (f *offer) control() control { return control{f.Base, f.Inc} }

// judge refuses what no game can be.
func (f *offer) judge() *refusal {
	switch {
	case !f.control().valid():
		return refuse(BadControl)
	case f.Rated && !f.control().timed():
		return because(BadControl, "a game without a clock cannot be rated: leave rated out, or set base")
	case f.Rated && f.FEN != "":
		return because(BadControl, "a game from a position cannot be rated: leave rated out, or fen")
	case f.Color != "" && f.Color != "white" && f.Color != "black":
		return because(BadRequest, "color is neither white nor black: set it to one of them, or leave it out")
	case f.Delay < 0 || f.Delay > MaxDelay:
		return because(BadControl, "delay is out of range: set it to 0 to 900 seconds")
	case f.Min < 0 || f.Max < 0 || f.Min > maxRating || f.Max > maxRating || f.Max > 0 && f.Min > f.Max:
		return because(BadRequest, "min or max is out of range: set them to ratings from 0 to 10000, the smaller first")
	}
	if f.FEN == "" {
		return nil
	}
	start, err := rules.ParseFEN(f.FEN)
	switch {
	case err != nil:
		return because(BadFEN, "nothing can be played from this fen: "+err.Error())
	case rules.NewGame(start).End() != rules.Ongoing:
		return because(BadFEN, "the game is over in this position: send one in which there is a move")
	}
	f.FEN = start.FEN()
	return nil
}

// message is what machines tell each other. Each type takes some of the fields.
type message struct {
	Type      string      `json:"type"`
	ID        string      `json:"id,omitempty"`   // of a seek or challenge
	Seek      string      `json:"seek,omitempty"` // join: which one
	User      string      `json:"user,omitempty"` // of whose channel sends it
	To        string      `json:"to,omitempty"`   // for whom it is, where his channel may not know it yet
	Ends      int64       `json:"ends,omitempty"` // of a challenge
	Why       string      `json:"why,omitempty"`
	Standing  *standing   `json:"standing,omitempty"`  // of User in the speed
	Standings *standings  `json:"standings,omitempty"` // in all speeds
	White     *party      `json:"white,omitempty"`
	Black     *party      `json:"black,omitempty"`
	Of        string      `json:"of,omitempty"`     // create: the game before this
	Result    string      `json:"result,omitempty"` // result
	Reason    string      `json:"reason,omitempty"`
	Before    *standing   `json:"before,omitempty"` // rated
	Step      *stepRecord `json:"step,omitempty"`   // relay
	offer
}

// party is a player of a game as he was when it began.
type party struct {
	User     string   `json:"user"`
	Standing standing `json:"standing"`
}

func (m *message) to(n channel.Name) channel.Command {
	b, err := json.Marshal(m)
	if err != nil {
		panic("chess: a message of plain fields cannot be written: " + err.Error())
	}
	return channel.Command{Channel: n, Body: b}
}

// call is a user's command that was read.
type call struct {
	request
	asker string
	seed  [32]byte
	now   int64 // milliseconds, by the runtime's clock
	came  int64 // when it came to the service
}

func checkBody(c channel.Command, most int) *refusal {
	switch {
	case c.Binary:
		return because(BadRequest, "a command of chess is JSON: send data, not data64")
	case len(c.Body) > most:
		return refuse(TooLong)
	}
	return nil
}

// readCall reads a user's command.
func readCall(c channel.Command) (*call, *refusal) {
	if !app.ValidUser(c.User) {
		return nil, because(BadRequest, "the user has no valid id: sign in with 1 to 128 visible ASCII characters")
	}
	if no := checkBody(c, MaxBody); no != nil {
		return nil, no
	}
	k := &call{asker: c.User, seed: c.Seed, now: c.Time.UnixMilli()}
	k.came = k.now
	if c.Waited >= channel.LeastWait {
		k.came = came(k.now, c.Waited.Milliseconds(), c.Lost.Milliseconds())
	}
	if err := requestShape.Read(c.Body, &k.request); err != nil {
		return nil, refuse(BadRequest)
	}
	k.Lag = claim(k.Lag, c.Trip.Milliseconds())
	if k.Type == "" {
		return nil, because(BadRequest, "the command has no name: set type to one of the documented ones")
	}
	return k, nil
}

// readMessage reads what a machine sent. Its steps can be longer than commands of users.
func readMessage(c channel.Command) (*message, *refusal) {
	if no := checkBody(c, 8*MaxBody); no != nil {
		return nil, no
	}
	m := &message{}
	if err := json.Unmarshal(c.Body, m); err != nil {
		return nil, refuse(BadRequest)
	}
	return m, nil
}

// readPresence reads who came or went; "" where nobody did.
func readPresence(c channel.Command) (user string, here bool) {
	var p struct {
		User string
		Here *bool
	}
	if json.Unmarshal(c.Body, &p) != nil || p.Here == nil {
		return "", false
	}
	return p.User, *p.Here
}

// believes has the channel of a user told if he is not there, or is, other than it believes.
func believes(n channel.Name, user string, here bool) channel.Command {
	b, err := json.Marshal(struct {
		Channel channel.Name `json:"channel"`
		Here    bool         `json:"here"`
		User    string       `json:"user"`
	}{n, here, user})
	if err != nil {
		panic("chess: a name and a user cannot be written: " + err.Error())
	}
	return channel.Command{Channel: app.PresenceChannel, Body: b}
}

// fromElsewhere refuses machines that have nothing to say here.
func fromElsewhere() app.Outcome {
	return because(NotAllowed, "this is for machines of chess that take part in it: ask as a user").outcome()
}
