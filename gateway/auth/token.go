package auth

import (
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Bounds of tokens.
const (
	MaxToken    = 4 << 10        // bytes
	MaxLifetime = 24 * time.Hour // from now to exp
	MinSecret   = 32             // bytes of an HS256 key
	leeway      = 10 * time.Second
)

// ErrToken is wrapped by every refusal of a token.
var ErrToken = errors.New("token refused")

// ErrExpired is wrapped, beside ErrToken, where a token was good once.
var ErrExpired = errors.New("token has expired")

// Keys verifies tokens: HS256 with one secret. It is safe for use by many goroutines.
type Keys struct {
	secret []byte
	now    func() time.Time
	parser *jwt.Parser
}

type claims struct {
	jwt.RegisteredClaims
	Caps []Capability `json:"caps,omitempty"`
}

// NewKeys takes a secret of at least MinSecret bytes and a clock.
func NewKeys(secret []byte, now func() time.Time) (*Keys, error) {
	if len(secret) < MinSecret {
		return nil, fmt.Errorf("the secret has %d bytes; HS256 needs at least %d (try: head -c 48 /dev/urandom | base64)", len(secret), MinSecret)
	}
	return &Keys{secret: secret, now: now, parser: jwt.NewParser(
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}),
		jwt.WithExpirationRequired(),
		jwt.WithLeeway(leeway),
		jwt.WithTimeFunc(now),
		jwt.WithStrictDecoding(),
	)}, nil
}

// Verify checks a token and returns whom it speaks for. The error wraps ErrToken and names no part of the token.
func (k *Keys) Verify(token string) (*Identity, error) {
	if len(token) > MaxToken {
		return nil, fmt.Errorf("%w: longer than %d bytes", ErrToken, MaxToken)
	}
	var c claims
	t, err := k.parser.ParseWithClaims(token, &c, func(*jwt.Token) (any, error) { return k.secret, nil })
	switch {
	case errors.Is(err, jwt.ErrTokenExpired):
		return nil, fmt.Errorf("%w: %w", ErrToken, ErrExpired)
	case errors.Is(err, jwt.ErrTokenNotValidYet):
		return nil, fmt.Errorf("%w: not valid yet", ErrToken)
	case errors.Is(err, jwt.ErrTokenRequiredClaimMissing):
		return nil, fmt.Errorf("%w: it needs an exp claim", ErrToken)
	case err != nil:
		return nil, fmt.Errorf("%w: signature, form or algorithm is wrong (HS256 is asked for)", ErrToken)
	}
	if _, critical := t.Header["crit"]; critical {
		return nil, fmt.Errorf("%w: critical header extensions are not supported", ErrToken)
	}
	if c.ExpiresAt.Sub(k.now()) > MaxLifetime+leeway {
		return nil, fmt.Errorf("%w: exp lies more than %s ahead", ErrToken, MaxLifetime)
	}
	id, err := NewIdentity(c.Subject, c.Caps, c.ExpiresAt.Time)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrToken, err)
	}
	return id, nil
}

// Sign makes a token that Verify accepts until ttl has passed; ttl is at most MaxLifetime.
func (k *Keys) Sign(user string, caps []Capability, ttl time.Duration) (string, error) {
	if ttl <= 0 || ttl > MaxLifetime {
		return "", fmt.Errorf("a token lives more than 0 and at most %s", MaxLifetime)
	}
	now := k.now()
	if _, err := NewIdentity(user, caps, now); err != nil {
		return "", err
	}
	return jwt.NewWithClaims(jwt.SigningMethodHS256, claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Subject:   user,
			IssuedAt:  jwt.NewNumericDate(now),
			ExpiresAt: jwt.NewNumericDate(now.Add(ttl)),
		},
		Caps: caps,
	}).SignedString(k.secret)
}
