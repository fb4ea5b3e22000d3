package wire

import (
	"errors"
	"time"
)

// Error is a refusal that a client is told.
type Error struct {
	Code       Code
	Text       string        // a sentence that says what to fix; "" stands for the code's own
	ID         uint64        // of the request it concerns; 0: none, or it could not be read
	RetryAfter time.Duration // advised wait; 0: none
}

// Error is "code: sentence".
func (e *Error) Error() string { return string(e.Code) + ": " + e.sentence() }

func (e *Error) sentence() string {
	if e.Text == "" {
		return e.Code.Info().Sentence
	}
	return e.Text
}

// Message is the error message for e.
func (e *Error) Message() Message {
	return Message{Type: MsgError, ID: e.ID, Code: e.Code, Text: e.sentence(), Retry: e.Code.Info().Retry, RetryAfter: e.RetryAfter}
}

// Answers appends the messages that answer a refused frame, of which rs are the requests that could be read: e to the
// request it concerns (or to none), and to every other one that nothing was done, because of e.
func (e *Error) Answers(dst []Message, rs []Request) []Message {
	dst = append(dst, e.Message())
	for i := range rs {
		if id := rs[i].ID; id != 0 && id != e.ID {
			other := Error{Code: CodeBadRequest, ID: id, Text: "Nothing of this frame was done, because another request in it was refused."}
			dst = append(dst, other.Message())
		}
	}
	return dst
}

// AsError finds the *Error in err. One that has none is CodeInternal without its details: those belong in the log.
func AsError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Code: CodeInternal}
}
