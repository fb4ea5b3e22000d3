package api

import (
	"net/http"

	"carillon/wire"
)

// Server is the handler for servers with a key, to be mounted under /api/ of the internal listener.
func Server(o ServerOptions) http.Handler {
	if o.MaxPublish == 0 {
		o.MaxPublish = MaxPublish
	}
	v := &server{o: o}
	s := newService(o.Common, v.routes())
	s.judge = v.judge
	return s
}

type server struct{ o ServerOptions }

func (v *server) routes() []route {
	const get, post = http.MethodGet, http.MethodPost
	return []route{
		{post, "/api/publish", "", false, v.publish},
		{post, "/api/batch", "", false, v.batch},
		{post, "/api/announce", "", false, v.announce},
		{post, "/api/users/{user}/publish", "", false, v.publishToUser},
		{post, "/api/users/{user}/disconnect", "", false, v.disconnectUser},
		{post, "/api/token", "", false, v.token},
		{post, "/api/revocations", "", false, v.revoke},
		{get, "/api/connections", "user channel limit cursor", false, v.connections},
		{post, "/api/connections/{id}/disconnect", "", false, v.disconnect},
		{get, "/api/channels", "prefix limit cursor", false, v.rooms},
		{get, "/api/channels/{channel}", "", false, v.room},
		{get, "/api/channels/{channel}/history", pageNames, false, v.history},
		{get, "/api/channels/{channel}/latest", "", false, v.latest},
		{get, "/api/rows/{service}/{kind}", rowNames, false, v.rows},
		{get, "/api/presence", memberNames, false, v.presence},
		{post, "/api/presence", "", false, v.whereabouts},
		{get, "/api/openapi.json", "", true, openapi},
	}
}

// keyHeader may carry a server key in the place of Authorization: Bearer.
const keyHeader = "X-API-Key"

// judge lets those in that have a server key.
func (v *server) judge(c *call) error {
	key, err := c.credential(keyHeader)
	if err != nil {
		return err
	}
	if v.o.Keys.Match(key) {
		return nil
	}
	if key == "" {
		return refuse(wire.CodeUnauthorized, "A server key is needed: Authorization: Bearer KEY, or %s: KEY.", keyHeader)
	}
	c.wrong = true
	return refuse(wire.CodeUnauthorized, "This is no server key of this server.")
}

// history is a page of any channel.
func (v *server) history(c *call) error {
	n, err := c.channel(0)
	if err != nil {
		return err
	}
	return c.history(v.o.Reader, n)
}
