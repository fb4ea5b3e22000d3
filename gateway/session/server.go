package session

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"carillon/channel"
	"carillon/gateway/auth"
	"carillon/gateway/hub"
	"carillon/gateway/limit"
	"carillon/gateway/presence"
	"carillon/gateway/transport"
	"carillon/observe"
	"carillon/wire"
)

// Settings are the figures of a conversation. DefaultSettings has the documented ones.
type Settings struct {
	Heartbeat      time.Duration // between pings of the server
	Timeout        time.Duration // for a sign of life after a ping
	ConnectTimeout time.Duration // from the handshake to connect
	RequestTimeout time.Duration // until an unanswered request is answered "unconfirmed"
	ExpiryNotice   time.Duration // how long before its end a token is announced as expiring
	MaxChannels    int           // subscriptions of a connection
	MaxInFlight    int           // requests of a connection without their reply; then the reader stops
	MaxFrame       int           // bytes of a frame from the client, which may hold many requests
	MaxOutbox      int           // bytes of replies that wait for a connection
	MaxErrors      int           // malformed requests a minute; then 4007
	MaxPerUser     int           // connections of one user; the next one gets 4005. 0: no bound
}

// DefaultSettings returns the documented figures.
func DefaultSettings() Settings {
	return Settings{
		Heartbeat:      25 * time.Second,
		Timeout:        10 * time.Second,
		ConnectTimeout: 10 * time.Second,
		RequestTimeout: 10 * time.Second,
		ExpiryNotice:   30 * time.Second,
		MaxChannels:    128,
		MaxInFlight:    128,
		MaxFrame:       256 << 10,
		MaxOutbox:      4 << 20,
		MaxErrors:      10,
		MaxPerUser:     5,
	}
}

// Judge knows whom tokens speak for. Its methods are cheap and never block; errors are those of auth.
type Judge interface {
	// Identify turns the token of a connect or refresh into an identity; "" where the client sent none.
	Identify(token string) (*auth.Identity, error)
	// Permit reads the token of a subscribe.
	Permit(token string) (*auth.Permit, error)
	// Stands tells whether an identity, on a connection that is listed by now, is still good: not revoked, its key trusted.
	Stands(who *auth.Identity, conn string) bool
}

// Ears make the bus deliver what is published in a channel though nobody subscribes to it here; see Server.Heard.
type Ears interface {
	// Listen returns once whatever is carried from now on is delivered. Who listens twice is heard until he stops twice.
	Listen(n channel.Name) error
	// Unlisten ends one Listen.
	Unlisten(n channel.Name)
}

// Format is one way to put a record on the wire. Its place in Options.Formats is its number in the hub.
type Format struct {
	Protocol wire.Protocol
	Framing  transport.Framing
}

// format is a Format with its number.
type format struct {
	Format
	number         int
	pong           []byte        // what answers a ping: nearly all that an idle client ever says
	opened, closed atomic.Uint64 // connections
}

// Options is what a Server is made of. All fields but Traffic, Presence, Pressure and Panicked are needed.
type Options struct {
	Settings Settings
	Backend  Backend
	Guard    Guard
	Hub      *hub.Hub
	Judge    Judge
	Ears     Ears
	Formats  []Format
	Traffic  *limit.Rates     // of each connection; nil: no bound
	Presence *presence.Keeper // nil: none is kept
	Pressure *limit.Pressure  // drops what matters least when the node is short of breath; nil: never
	Name     string           // name/version, told in connected
	Log      *slog.Logger
	Panicked func(v any) // called where a conversation panicked with v outside of its transport's reach, above the stack of that; nil: the process ends
}

// Server makes sessions and keeps what they share: the timing wheel, the settings, the list of those alive.
type Server struct {
	o        Options
	settings atomic.Pointer[Settings]
	formats  []*format
	wheel    *wheel
	counts   *Counts

	mu       sync.Mutex
	sessions map[*Session]struct{}
	users    map[channel.Name][]*Session // open conversations, by the channel of their user
	draining bool

	herald herald
}

// Stats are figures of all sessions since the start; Open and Users are those of now.
type Stats struct {
	Open, Opened, Closed  uint64
	Requests, Errors      uint64
	Gaps, SlowDisconnects uint64
	Users                 int   // who have a conversation open
	Formats               []int // connections, by their place in Options.Formats
}

// NewServer starts the timing wheel.
func NewServer(o Options) *Server {
	sv := &Server{
		o: o, wheel: newWheel(), counts: newCounts(), sessions: make(map[*Session]struct{}), users: make(map[channel.Name][]*Session),
	}
	sv.Configure(o.Settings)
	sv.herald.start(sv)
	for i, f := range o.Formats {
		sv.formats = append(sv.formats, &format{Format: f, number: i, pong: f.Protocol.Codec.AppendRequest(nil, &wire.Request{Type: wire.ReqPong})})
	}
	return sv
}

// Configure changes the settings. Conversations that are open go by the new ones from now on.
func (sv *Server) Configure(s Settings) { sv.settings.Store(&s) }

// Stats reads the counters.
func (sv *Server) Stats() Stats {
	s := Stats{
		Errors: total(sv.counts.Errors, observe.LabelCode), Gaps: total(sv.counts.Gaps, observe.LabelGap),
		SlowDisconnects: sv.counts.Ended.Load(observe.LabelEnd.Value(string(wire.CodeSlow))),
	}
	for i := range sv.counts.requests {
		s.Requests += sv.counts.requests[i].Load()
	}
	for _, f := range sv.formats {
		closed := f.closed.Load()
		opened := f.opened.Load()
		s.Opened, s.Closed = s.Opened+opened, s.Closed+closed
		s.Formats = append(s.Formats, int(opened-closed))
	}
	s.Open = s.Opened - s.Closed
	sv.mu.Lock()
	s.Users = len(sv.users)
	sv.mu.Unlock()
	return s
}

// total is the sum of counters with one label.
func total(c *observe.Counters, l *observe.Label) (sum uint64) {
	for _, v := range l.Values() {
		sum += c.Load(l.Value(v))
	}
	return sum
}

// Counts are the counters with labels.
func (sv *Server) Counts() *Counts { return sv.counts }

// Close stops the wheel. The connections must have ended before: the transport waits for them.
func (sv *Server) Close() {
	sv.herald.close()
	sv.wheel.Close()
}

// find returns the format of a line; nil if there is none.
func (sv *Server) find(p wire.Protocol, f transport.Framing) *format {
	for _, format := range sv.formats {
		if format.Protocol.Name == p.Name && format.Framing == f {
			return format
		}
	}
	return nil
}
