package api

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"carillon/channel"
	"carillon/gateway/auth"
	"carillon/wire"
)

// Public is the handler for everybody, to be mounted under /api/ of the public listener.
func Public(o PublicOptions) http.Handler {
	p := &public{o: o}
	s := newService(o.Common, p.routes())
	s.judge, s.cors, s.origin = p.judge, true, o.AllowOrigin
	if s.origin == nil {
		s.origin = sameOrigin
	}
	return s
}

type public struct{ o PublicOptions }

func (p *public) routes() []route {
	return []route{
		{http.MethodGet, "/api/channels/{channel}/history", pageNames, false, p.history},
		{http.MethodGet, "/api/channels/{channel}/latest", "", false, p.latest},
		{http.MethodGet, "/api/rows/{service}/{kind}", rowNames, false, p.rows},
		{http.MethodGet, "/api/presence", memberNames, false, p.presence},
		{http.MethodPost, "/api/presence", "", false, p.whereabouts},
		{http.MethodPost, "/api/token", "", true, p.guest},
		{http.MethodGet, "/api/openapi.json", "", true, openapi},
	}
}

// judge finds out who asks.
func (p *public) judge(c *call) error {
	token, err := c.credential("")
	if err != nil {
		return err
	}
	c.who, err = p.o.Identify(token)
	if err == nil {
		return nil
	}
	var known *wire.Error
	switch {
	case errors.As(err, &known):
		return known
	case errors.Is(err, auth.ErrRetry):
		return &wire.Error{Code: wire.CodeUnavailable, Text: err.Error(), RetryAfter: time.Second}
	case errors.Is(err, auth.ErrExpired):
		return &wire.Error{Code: wire.CodeTokenExpired, Text: err.Error()}
	case errors.Is(err, auth.ErrRevoked):
		return &wire.Error{Code: wire.CodeRevoked, Text: err.Error()}
	}
	c.wrong = token != ""
	return &wire.Error{Code: wire.CodeUnauthorized, Text: err.Error()}
}

// history is a page of a channel that the token may read.
func (p *public) history(c *call) error {
	n, err := p.admitted(c)
	if err != nil {
		return err
	}
	return c.history(p.o.Reader, n)
}

// guest signs a guest in.
func (p *public) guest(c *call) error {
	if p.o.Guest == nil {
		return refuse(CodeNotFound, "This server has no guests: a token comes from the application's own server, which asks the internal listener for it.")
	}
	f, err := c.form(MaxForm)
	if err != nil {
		return err
	}
	given := f.has("name")
	name := f.text("name")
	if e := f.finish(); e != nil {
		return e
	}
	if !given || name == "" || len(name) > MaxName || strings.ContainsFunc(name, control) || !utf8.ValidString(name) {
		return bad("name must have 1 to %d bytes and no control characters.", MaxName)
	}
	cred, err := p.o.Guest(name)
	if err != nil {
		return err
	}
	c.answer(cred.append(nil))
	return nil
}

func control(r rune) bool { return r < ' ' || r >= 0x7F && r < 0xA0 || r == 0x2028 || r == 0x2029 }

// channel is the channel that a path names.
func (c *call) channel(i int) (channel.Name, error) {
	n, err := channel.ParseName(c.values[i])
	if err != nil {
		return "", &wire.Error{Code: wire.CodeBadChannel}
	}
	return n, nil
}

// Answers to pages of other origins may be read by those alone that sockets let in too.
const (
	corsMethods = "GET, POST"
	corsHeaders = "Authorization, Content-Type, If-None-Match"
	corsExposed = "ETag, Retry-After"
	corsMaxAge  = "600"
)

// crossOrigin judges the page behind a request and answers its preflight; done tells that nothing is left to do. A foreign
// page is refused like its socket would be: no answer that it could not read is worth the work.
func (s *service) crossOrigin(c *call, allowed []string) (done bool, err error) {
	h := c.w.Header()
	h.Add("Vary", "Origin")
	origins := c.r.Header.Values("Origin")
	if len(origins) == 0 {
		return false, nil
	}
	if len(origins) > 1 || !wellFormed(origins[0]) || !s.origin(c.r) {
		return false, refuse(wire.CodeForbidden, "Pages of this origin may not ask here.")
	}
	h.Set("Access-Control-Allow-Origin", origins[0])
	if c.r.Method != http.MethodOptions || len(allowed) == 0 {
		h.Set("Access-Control-Expose-Headers", corsExposed)
		return false, nil
	}
	h.Set("Access-Control-Allow-Methods", corsMethods)
	h.Set("Access-Control-Allow-Headers", corsHeaders)
	h.Set("Access-Control-Max-Age", corsMaxAge)
	c.send(http.StatusNoContent, "", nil)
	return true, nil
}

// wellFormed tells an origin as browsers write it, which may stand in an answer as it is.
func wellFormed(origin string) bool {
	u, err := url.Parse(origin)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && len(origin) <= 300 &&
		origin == u.Scheme+"://"+u.Host && !strings.ContainsFunc(origin, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`"'<>\,;`, r) })
}

// sameOrigin lets a page ask the server that it came from. Without TLS here there may be a proxy that has it.
func sameOrigin(r *http.Request) bool {
	origin := strings.ToLower(r.Header.Get("Origin"))
	host := strings.ToLower(r.Host)
	return origin == "https://"+host || r.TLS == nil && origin == "http://"+host
}
