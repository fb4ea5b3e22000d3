package auth

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Bounds of a revocation.
const (
	MaxRevocation = 1 << 10 // bytes of a record
	MaxConnID     = 128     // bytes
	maxKept       = MaxLifetime + MaxSession + time.Hour
)

// Revocation ends what was granted: exactly one of User, Token and Conn is set. It is a record of the channel @sys, so
// that every node learns of it, also one that was down; its times are part of it, so that a log gives the same
// revocations whenever and however often it is read.
type Revocation struct {
	User   string    // all tokens of this user that were issued before or at At
	Token  string    // one token, by its jti
	Issuer string    // of that token
	Conn   string    // one connection
	At     time.Time // when it was decided, in milliseconds
	Until  time.Time // when nothing can be left that it ends, in milliseconds
}

// revocationType tells its records from others of the channel.
const revocationType = "revoke"

type revocationRecord struct {
	Type   string `json:"type"`
	User   string `json:"user,omitempty"`
	Token  string `json:"token,omitempty"`
	Issuer string `json:"iss,omitempty"`
	Conn   string `json:"conn,omitempty"`
	At     int64  `json:"at"`    // Unix milliseconds
	Until  int64  `json:"until"` // Unix milliseconds
}

// ErrNotRevocation is the answer of ParseRevocation for a record of another type.
var ErrNotRevocation = errors.New("the record is no revocation")

// Encode gives the body of the record, or an error where ParseRevocation would refuse it.
func (r Revocation) Encode() ([]byte, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	return json.Marshal(revocationRecord{
		Type: revocationType, User: r.User, Token: r.Token, Issuer: r.Issuer, Conn: r.Conn,
		At: r.At.UnixMilli(), Until: r.Until.UnixMilli(),
	})
}

// ParseRevocation reads the body of a record. Fields that are not known are ignored: a later version may add some.
func ParseRevocation(body []byte) (Revocation, error) {
	var in revocationRecord
	if len(body) > MaxRevocation || !bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("{")) || json.Unmarshal(body, &in) != nil || in.Type != revocationType {
		return Revocation{}, ErrNotRevocation
	}
	r := Revocation{
		User: in.User, Token: in.Token, Issuer: in.Issuer, Conn: in.Conn,
		At: time.UnixMilli(in.At), Until: time.UnixMilli(in.Until),
	}
	return r, r.check()
}

func (r Revocation) check() error {
	n := 0
	for _, s := range []string{r.User, r.Token, r.Conn} {
		if s != "" {
			n++
		}
	}
	switch {
	case n != 1 || (r.Token == "") != (r.Issuer == ""):
		return errors.New("a revocation names one user, one token with its issuer, or one connection")
	case r.User != "" && !validUser(r.User):
		return errUser
	case r.Token != "" && (!printable(r.Token, MaxTokenID) || !printable(r.Issuer, maxNameClaim)):
		return errTokenID
	case r.Conn != "" && !printable(r.Conn, MaxConnID):
		return errors.New("a connection id has 1 to 128 printable ASCII characters without spaces")
	case r.At.UnixMilli() <= 0 || !r.Until.After(r.At) || r.Until.Sub(r.At) > maxKept:
		return fmt.Errorf("a revocation is kept for more than 0 and at most %s", maxKept)
	}
	return nil
}

// Covers tells whether a revocation ends a connection of an identity. The time of issue has whole seconds: a token of
// the very second of At is covered, so nobody slips through, and a new one is good from the next second on.
func (r Revocation) Covers(id *Identity, conn string) bool {
	switch {
	case r.Conn != "":
		return r.Conn == conn
	case r.Token != "":
		return id.TokenID == r.Token && id.Issuer == r.Issuer ||
			id.permit != nil && id.permit.TokenID == r.Token && id.permit.Issuer == r.Issuer
	default:
		return id.User == r.User && (!id.Issued.After(r.At) || id.permit != nil && !id.permit.Issued.After(r.At))
	}
}

// key is what it is about; value semantics keep different parts apart without a separator.
func (r Revocation) key() revocationKey {
	switch {
	case r.User != "":
		return revocationKey{kind: ofUser, name: r.User}
	case r.Token != "":
		return revocationKey{kind: ofToken, name: r.Token, issuer: r.Issuer}
	}
	return revocationKey{kind: ofConn, name: r.Conn}
}
