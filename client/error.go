package client

import (
	"errors"
	"strings"
	"time"

	"carillon/wire"
)

var (
	// ErrClosed: the client or the subscription was closed by its owner.
	ErrClosed = errors.New("closed")
	// ErrQueueFull: more publishes wait than Options allow. Nothing was sent.
	ErrQueueFull = errors.New("too many publishes wait for their acknowledgement")
	// ErrOutcomeUnknown: the publish was sent, and its answer was not awaited or is lost for good: it may be in the
	// channel or not. To publish it again under the same ID is safe. It always comes with the reason.
	ErrOutcomeUnknown = errors.New("outcome of the publish is unknown")
	// ErrOffline: a Fleeting record is not queued while there is no connection.
	ErrOffline = errors.New("not connected")
	// ErrSubscribed: the client has a subscription of that channel already.
	ErrSubscribed = errors.New("already subscribed to this channel")
	// ErrSilent: nothing was heard of the server for its heartbeat and the time-out.
	ErrSilent = errors.New("the server was not heard within its heartbeat")
	// ErrLineLost: the connection broke.
	ErrLineLost = errors.New("connection lost")
)

// Error is a refusal by the server, or one that the client foresaw. errors.Is finds another *Error of the same Code.
type Error struct {
	Code       wire.Code
	Text       string        // a sentence for people; "" stands for the code's own
	Number     int           // of the close frame, if it ended the connection
	Retry      bool          // it may succeed later
	RetryAfter time.Duration // the server's advice; 0: none
}

// Error is the code, what happened and what to do about it.
func (e *Error) Error() string {
	info := e.Code.Info()
	parts := []string{string(e.Code) + ":", e.Text, info.Advice}
	if e.Text == "" {
		parts[1] = info.Sentence
	}
	return strings.TrimRight(strings.Join(parts, " "), " ")
}

// Advice is what to do about it, or "" for a code this version does not know.
func (e *Error) Advice() string { return e.Code.Info().Advice }

// Is tells whether target is an *Error of the same code.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// answerError is the error message of a server.
func answerError(m *wire.Message) *Error {
	return &Error{Code: m.Code, Text: m.Text, Retry: m.Retry, RetryAfter: m.RetryAfter}
}
