// Package api is the HTTP side of a node: public history and guest tokens, and for servers with a key publishing,
// announcing, tokens, connections, revocations and channels. It owns routes, forms, statuses and the OpenAPI document;
// it judges callers by gateway/auth and asks its roles (backend.go) for everything else. It never listens, knows no
// socket and no store, and keeps nothing between requests. Start with Public and Server, then serve.go.
package api

import (
	"log/slog"
	"net/http"
	"time"

	"carillon/gateway/auth"
)

// Bounds of requests and answers.
const (
	MaxList      = 500             // connections or channels of one answer
	ListLimit    = 100             // of them where the caller names no limit
	MaxTokenTTL  = 5 * time.Minute // of an issued credential
	MaxPublish   = 8 << 20         // bytes of a request that carries records, where Options say nothing
	MaxForm      = 64 << 10        // bytes of every other request
	MaxName      = 64              // bytes of a guest's name
	closedMaxAge = 60              // seconds that a closed page may be kept; an erasure takes so long to be seen everywhere
)

// PublicOptions are what the public handler is made of. Guest, Guard, AllowOrigin and Told may be nil.
type PublicOptions struct {
	Reader   Reader
	Tables   Tables
	Rows     Rows
	Presence Presence
	Gate     Gate // nil: no service guards its channels
	// Identify turns a bearer token into an identity; "" where none was sent. It is the one that sockets use.
	Identify func(token string) (*auth.Identity, error)
	// Guest signs in a guest with a name; nil: there are none, as everywhere but in dev.
	Guest func(name string) (Credential, error)
	// AllowOrigin judges the page that asks, from the Origin header and the host, as it is judged for sockets. It is asked
	// only about requests that have one Origin. nil: pages of other origins may not ask.
	AllowOrigin func(r *http.Request) bool
	Common
}

// ServerOptions are what the server API is made of. Guard and Told may be nil.
type ServerOptions struct {
	Keys       *ServerKeys
	Publisher  Publisher
	Announcer  Announcer
	Reader     Reader
	Tables     Tables
	Rows       Rows
	Directory  Directory
	Rooms      Rooms
	Presence   Presence
	Issuer     Issuer
	Revoker    Revoker
	MaxPublish int // bytes of a request that carries records; 0: the constant
	Common
}

// Common is what both handlers need.
type Common struct {
	Timeout  time.Duration                // of one request; 0: 10 s
	Remote   func(r *http.Request) string // the caller's address without its port, seen through trusted proxies; nil: the socket's
	Guard    Guard
	Panicked func()                                             // called after a panic in a handler was logged; may be nil
	Told     func(route string, status int, took time.Duration) // of each answer; route is one of a closed list, such as "POST /api/publish"
	Log      *slog.Logger                                       // nil: slog.Default
}
