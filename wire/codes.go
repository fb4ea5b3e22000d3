package wire

// Code names why something was refused or ended. The list is closed and only grows; a client that meets a code it does
// not know goes by the message's `retry`, or by the hundreds of the close number.
type Code string

// Codes that can end a connection; some occur as replies too.
const (
	CodeUnauthorized       Code = "unauthorized"
	CodeConnectTimeout     Code = "connect_timeout"
	CodeForbidden          Code = "forbidden"
	CodeVersion            Code = "version"
	CodeTooManyConnections Code = "too_many_connections"
	CodeRevoked            Code = "revoked"
	CodeTooManyErrors      Code = "too_many_errors"
	CodeTokenExpired       Code = "token_expired"
	CodeRateLimited        Code = "rate_limited"
	CodeSlow               Code = "slow"
	CodeNoSignOfLife       Code = "no_sign_of_life"
	CodeStateLost          Code = "state_lost"
	CodeOverloaded         Code = "overloaded"
	CodeDrain              Code = "drain"
)

// Codes of replies only.
const (
	CodeBadRequest    Code = "bad_request"
	CodeBadChannel    Code = "bad_channel"
	CodeTooLarge      Code = "too_large"
	CodeNotSubscribed Code = "not_subscribed"
	CodeLimit         Code = "limit"
	CodeIDReuse       Code = "id_reuse"
	CodeUnknown       Code = "unknown"
	CodeUnconfirmed   Code = "unconfirmed"
	CodeUnavailable   Code = "unavailable"
	CodeStorageFull   Code = "storage_full"
	CodeUnsupported   Code = "unsupported"
	CodeNoService     Code = "no_service"
	CodeBusy          Code = "busy"
	CodeStopped       Code = "stopped"
	CodeFailed        Code = "failed"
	CodeInternal      Code = "internal"
)

// CodeInfo is what is known of a code.
type CodeInfo struct {
	Code     Code
	Number   int    // WebSocket close number; 0: it never ends a connection
	Retry    bool   // as a reply: the same request with the same idem is safe and may succeed. Final otherwise
	Sentence string // what happened, for people
	Advice   string // what to do about it
}

// Codes lists all codes: those with a close number first, in its order.
func Codes() []CodeInfo { return codeTable[:] }

// Info tells what is known of a code; for one that this version does not know, only the code itself.
func (c Code) Info() CodeInfo {
	for i := range codeTable {
		if codeTable[i].Code == c {
			return codeTable[i]
		}
	}
	return CodeInfo{Code: c, Sentence: "The server answered " + string(c) + ", a code this version does not know."}
}

// Number is the close number of a code, 0 if it never ends a connection.
func (c Code) Number() int { return c.Info().Number }

// CodeOf finds the code of one of our close numbers.
func CodeOf(number int) (Code, bool) {
	for i := range codeTable {
		if number != 0 && codeTable[i].Number == number {
			return codeTable[i].Code, true
		}
	}
	return "", false
}

var codeTable = [...]CodeInfo{
	{CodeUnauthorized, 4001, false, "The token is missing, malformed, expired or not signed for this server.",
		"Get a fresh token and connect with it. Nothing but connect may be sent before connected."},
	{CodeConnectTimeout, 4002, false, "No connect message came within 10 seconds of the handshake.",
		"Send connect as the first message, right after the line is open."},
	{CodeForbidden, 4003, false, "This is not allowed here.",
		"Check the capabilities in the token. On a connection: connect was sent twice, or the identity may not connect."},
	{CodeVersion, 4004, false, "The server speaks none of the subprotocols the client asked for.",
		"Ask for carillon.v1.json or carillon.v1.msgpack, or update the client or the server."},
	{CodeTooManyConnections, 4005, false, "The user has too many connections open.",
		"Close another tab or program of the same user, or raise the limit of connections per user."},
	{CodeRevoked, 4006, false, "The token, the user or this connection was revoked.",
		"Sign in again; ask whoever runs the server why."},
	{CodeTooManyErrors, 4007, false, "The client sent too many malformed requests in a short time.",
		"Fix the client: the errors before this close say what was wrong."},
	{CodeTokenExpired, 4101, true, "The token ended.",
		"Get a fresh token; send refresh when expiring is announced, before the old one ends."},
	{CodeRateLimited, 4103, true, "Too many requests in a short time.",
		"Wait for retry_after, then send more slowly, or put several requests into one frame."},
	{CodeSlow, 4108, true, "The client read too slowly, and its namespace prefers an end to a gap.",
		"Reconnect and resume; read faster, subscribe to less, or let the namespace skip."},
	{CodeNoSignOfLife, 4109, true, "Nothing was heard of the client within the heartbeat.",
		"Reconnect and resume; answer every ping of the server with pong."},
	{CodeStateLost, 4110, true, "The server lost track of this connection's state.",
		"Reconnect and resume from the positions you hold."},
	{CodeOverloaded, 4113, true, "The server has more to do than it can carry.",
		"Reconnect with back-off; if it lasts, add a node or raise its limits."},
	{CodeDrain, 4201, true, "The server is going away, as planned.",
		"Reconnect at once and resume; another server, or the same one after its restart, takes over."},

	{CodeBadRequest, 0, false, "The request is malformed.",
		"Fix the request as the message says; sending it again unchanged gives the same answer."},
	{CodeBadChannel, 0, false, "This is no channel name.",
		"A channel name has 1 to 128 of the characters A-Z a-z 0-9 _ . : @ -"},
	{CodeTooLarge, 0, false, "The body is larger than this channel takes.",
		"Keep bodies under the limit told in connected, or under the namespace's smaller one."},
	{CodeNotSubscribed, 0, false, "This connection is not subscribed to that channel.",
		"Subscribe first; a subscription ends with its connection."},
	{CodeLimit, 0, false, "A limit of this connection is reached.",
		"Unsubscribe from what is not needed, or spread over several connections; connected tells the limits."},
	{CodeIDReuse, 0, false, "This idem was used before for another body.",
		"Use a new idem for every new message, for instance a random UUID."},
	{CodeUnknown, 0, false, "It is too long ago to tell whether this idem was accepted; nothing was appended now.",
		"Read the history to see if it arrived; send it under a new idem only if a double does no harm."},
	{CodeUnconfirmed, 0, true, "The outcome is not known: the store failed while it was being written.",
		"Send the same request with the same idem again; it cannot be appended twice."},
	{CodeUnavailable, 0, true, "What this needs cannot be reached now.",
		"Send the same request with the same idem again, after retry_after."},
	{CodeStorageFull, 0, true, "The server's storage is full; nothing was appended.",
		"Free space on the server; then the same request with the same idem succeeds, without a restart."},
	{CodeUnsupported, 0, false, "This server does not do that (yet).",
		"See the server's version in connected, and the documentation of that version."},
	{CodeNoService, 0, false, "No service takes commands on this channel.",
		"Check the name before the colon, or use publish: a namespace without a service is plain."},
	{CodeBusy, 0, true, "Too much is waiting; nothing was done.",
		"Send the same request with the same idem again, after a short wait."},
	{CodeStopped, 0, true, "The service of this channel failed and is being brought back.",
		"Send the same request with the same idem again, after retry_after; if it lasts, an operator has to look."},
	{CodeFailed, 0, false, "The service fails on this command; nothing was done.",
		"Do not send it again; the server's log has the details."},
	{CodeInternal, 0, true, "Something failed inside the server; the outcome is not known.",
		"Send the same request with the same idem again; the server's log has the details."},
}

// Reconnect says what a client does after its connection ended.
type Reconnect uint8

const (
	ReconnectNever   Reconnect = iota // terminal: the same again would end the same; tell the application
	ReconnectBackoff                  // after a random wait that grows
	ReconnectAtOnce                   // now; with back-off if that fails
)

// AfterClose tells a client what to do after a close number, also one it does not know. Without a close frame the number
// is 1006.
func AfterClose(number int) Reconnect {
	switch {
	case number >= 4000 && number < 4100:
		return ReconnectNever
	case number >= 4200 && number < 4300:
		return ReconnectAtOnce
	}
	for i := range closeTable {
		if closeTable[i].Number == number {
			return closeTable[i].Then
		}
	}
	return ReconnectBackoff
}

// CloseInfo is what a plain WebSocket close number means here.
type CloseInfo struct {
	Number   int
	Then     Reconnect
	Sentence string
}

// Closes lists the close numbers of RFC 6455 and its registry that occur; 1006 and 1015 are never sent.
func Closes() []CloseInfo { return closeTable[:] }

var closeTable = [...]CloseInfo{
	{1000, ReconnectBackoff, "Normal end. A client that closed the line itself stays away."},
	{1001, ReconnectBackoff, "The other side went away."},
	{1002, ReconnectNever, "The other side broke the WebSocket protocol."},
	{1003, ReconnectNever, "A text frame came on a binary subprotocol, or the reverse."},
	{1006, ReconnectBackoff, "The line broke without a close frame."},
	{1007, ReconnectNever, "A text frame was not valid UTF-8."},
	{1008, ReconnectBackoff, "A rule of the server was broken, such as too many fragments or pings."},
	{1009, ReconnectNever, "A message was larger than the server reads."},
	{1010, ReconnectNever, "The client insists on an extension that the server does not have."},
	{1011, ReconnectBackoff, "Something failed inside the server."},
	{1012, ReconnectAtOnce, "The server restarts; the plain equivalent of drain."},
	{1013, ReconnectBackoff, "The server, or a proxy before it, asks to try again later."},
	{1015, ReconnectBackoff, "TLS failed."},
}
