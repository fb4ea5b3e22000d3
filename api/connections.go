package api

import (
	"encoding/base64"
	"encoding/json"
	"strconv"
	"time"

	"carillon/channel"
	"carillon/journal"
	"carillon/wire"
)

// cursors hide what a list goes on from, so that nobody computes with it.
func cursorOf(last string) string { return base64.RawURLEncoding.EncodeToString([]byte(last)) }

func (q query) listCursor() (string, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(q.get("cursor"))
	if err != nil || len(b) > maxID || !printable(string(b)) {
		return "", bad("cursor must be one that the server gave.")
	}
	return string(b), nil
}

type connection struct {
	ID        string         `json:"id"`
	User      string         `json:"user"`
	Node      string         `json:"node"`
	Remote    string         `json:"remote"`
	Transport string         `json:"transport"`
	Since     int64          `json:"since"`
	Active    int64          `json:"active"`
	Channels  []channel.Name `json:"channels"`
}

// connections lists those of a user, in a channel, or all.
func (v *server) connections(c *call) error {
	var err error
	q, ask := c.query, ConnectionQuery{User: c.query.get("user")}
	if ask.User != "" && !validUser(ask.User) {
		return bad(userRule)
	}
	if name := q.get("channel"); name != "" {
		if ask.Channel, err = channel.ParseName(name); err != nil {
			return &wire.Error{Code: wire.CodeBadChannel}
		}
	}
	if ask.Limit, err = q.limit(MaxList, ListLimit); err != nil {
		return err
	}
	if ask.After, err = q.listCursor(); err != nil {
		return err
	}
	found, more, err := v.o.Directory.Connections(c.ctx(), ask)
	if err != nil {
		return err
	}
	answer := struct {
		Connections []connection `json:"connections"`
		Next        string       `json:"next,omitempty"`
	}{Connections: make([]connection, 0, len(found))}
	for _, f := range found {
		if f.Channels == nil {
			f.Channels = []channel.Name{}
		}
		answer.Connections = append(answer.Connections, connection{
			f.ID, f.User, f.Node, f.Remote, f.Transport, millis(f.Since), millis(f.Active), f.Channels,
		})
	}
	if more && len(found) > 0 {
		answer.Next = cursorOf(found[len(found)-1].ID)
	}
	return c.answerJSON(answer)
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return max(t.UnixMilli(), 0)
}

func (c *call) answerJSON(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	c.answer(b)
	return nil
}

// endings are the codes that a connection may be ended with from outside: for good, with back-off, and to come back at once.
var endings = map[wire.Code]bool{wire.CodeRevoked: true, wire.CodeOverloaded: true, wire.CodeDrain: true}

// reason is what the connection is told.
func (c *call) reason() (wire.Code, error) {
	f, err := c.form(MaxForm)
	if err != nil {
		return "", err
	}
	why := wire.CodeRevoked
	if f.has("code") {
		if why = wire.Code(f.text("code")); !endings[why] {
			f.refuse(wire.CodeBadRequest, `code must be "revoked", "overloaded" or "drain".`)
		}
	}
	if e := f.finish(); e != nil {
		return "", e
	}
	return why, nil
}

func (v *server) disconnect(c *call) error {
	id := c.values[0]
	if len(id) > maxID || !printable(id) {
		return refuse(CodeNotFound, "There is no connection of this id.")
	}
	why, err := c.reason()
	if err != nil {
		return err
	}
	ended, err := v.o.Directory.Disconnect(c.ctx(), id, why)
	if err != nil {
		return err
	}
	if ended.Here == 0 && !ended.Sent {
		return refuse(CodeNotFound, "There is no connection of this id.")
	}
	c.ended(ended)
	return nil
}

func (c *call) ended(e Ended) {
	text := `{"disconnected":` + strconv.Itoa(e.Here)
	if e.Sent {
		text += `,"sent":true`
	}
	c.answer([]byte(text + "}"))
}

func (v *server) disconnectUser(c *call) error {
	user := c.values[0]
	if !validUser(user) {
		return bad(userRule)
	}
	why, err := c.reason()
	if err != nil {
		return err
	}
	ended, err := v.o.Directory.DisconnectUser(c.ctx(), user, why)
	if err != nil {
		return err
	}
	c.ended(ended)
	return nil
}

// rooms lists open channels.
func (v *server) rooms(c *call) error {
	q := c.query
	prefix := q.get("prefix")
	if prefix != "" {
		if _, err := channel.ParseName(prefix); err != nil {
			return refuse(wire.CodeBadChannel, "prefix must be the beginning of a channel name.")
		}
	}
	limit, err := q.limit(MaxList, ListLimit)
	if err != nil {
		return err
	}
	after, err := q.listCursor()
	if err != nil {
		return err
	}
	found, more, err := v.o.Rooms.Rooms(c.ctx(), prefix, channel.Name(after), limit)
	if err != nil {
		return err
	}
	type room struct {
		Channel     channel.Name `json:"channel"`
		Subscribers int          `json:"subscribers"`
	}
	answer := struct {
		Channels []room `json:"channels"`
		Next     string `json:"next,omitempty"`
	}{Channels: make([]room, 0, len(found))}
	for _, f := range found {
		answer.Channels = append(answer.Channels, room(f))
	}
	if more && len(found) > 0 {
		answer.Next = cursorOf(string(found[len(found)-1].Channel))
	}
	return c.answerJSON(answer)
}

// room tells of one channel, also of one that nobody ever used.
func (v *server) room(c *call) error {
	n, err := c.channel(0)
	if err != nil {
		return err
	}
	p, err := v.o.Reader.Read(c.ctx(), n, journal.Query{Back: true, Limit: 1})
	if err != nil {
		return err
	}
	count, err := v.o.Rooms.Subscribers(c.ctx(), n)
	if err != nil {
		return err
	}
	return c.answerJSON(struct {
		Channel     channel.Name `json:"channel"`
		Head        string       `json:"head"`
		HeadOffset  uint64       `json:"head_offset"`
		Subscribers int          `json:"subscribers"`
	}{n, p.Head.String(), p.Head.Offset, count})
}
