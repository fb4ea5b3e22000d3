package auth

import (
	"errors"
)

// What a refusal wraps.
var (
	// ErrToken is wrapped by every refusal of a token.
	ErrToken = errors.New("token refused")
	// ErrExpired is wrapped, beside ErrToken, where a token was good once.
	ErrExpired = errors.New("token has expired")
	// ErrRevoked is wrapped, beside ErrToken, where a token or its user was revoked.
	ErrRevoked = errors.New("token was revoked")
	// ErrRetry is wrapped, beside ErrToken, where the same token may be good in some seconds: its key is not known
	// yet and is being asked for.
	ErrRetry = errors.New("the key of the token is being asked for")
)

// Reason is why a token was refused: one of Reasons, fit to label a counter.
type Reason string

// The reasons.
const (
	ReasonForm      Reason = "form"      // not a token that can be read
	ReasonSize      Reason = "size"      // too long
	ReasonHeader    Reason = "header"    // a header this server does not follow
	ReasonAlgorithm Reason = "algorithm" // not the one of the key
	ReasonIssuer    Reason = "issuer"    // missing or unknown
	ReasonKey       Reason = "key"       // no such key of that issuer
	ReasonSignature Reason = "signature"
	ReasonAudience  Reason = "audience"
	ReasonExpired   Reason = "expired"
	ReasonEarly     Reason = "early"    // before nbf or iat
	ReasonLifetime  Reason = "lifetime" // no exp, or too far ahead
	ReasonClaims    Reason = "claims"   // a claim has the wrong shape
	ReasonKind      Reason = "kind"     // a connect token where a subscription token is asked for, or the reverse
	ReasonRevoked   Reason = "revoked"
	ReasonTicket    Reason = "ticket" // unknown, used or too old
)

// Reasons lists all of them.
func Reasons() []Reason {
	return []Reason{
		ReasonForm, ReasonSize, ReasonHeader, ReasonAlgorithm, ReasonIssuer, ReasonKey, ReasonSignature, ReasonAudience,
		ReasonExpired, ReasonEarly, ReasonLifetime, ReasonClaims, ReasonKind, ReasonRevoked, ReasonTicket,
	}
}

// ReasonOf finds the reason in an error of this package; empty where there is none.
func ReasonOf(err error) Reason {
	var r *refusal
	if errors.As(err, &r) {
		return r.reason
	}
	return ""
}

// refusal is the error of Verify. Its text is made here or of configuration, never of the token.
type refusal struct {
	reason Reason
	text   string
	also   error
}

func refuse(reason Reason, text string, also ...error) error {
	r := &refusal{reason: reason, text: text}
	if len(also) > 0 {
		r.also = also[0]
	}
	return r
}

// Error implements error.
func (r *refusal) Error() string { return ErrToken.Error() + ": " + r.text }

// Is implements errors.Is for ErrToken and what else is wrapped.
func (r *refusal) Is(target error) bool {
	return target == ErrToken || r.also != nil && target == r.also
}
