package auth

import (
	"bytes"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"time"

	"carillon/channel"
)

// claim is one that this server reads; others are ignored.
type claim uint

const (
	claimIssuer claim = iota
	claimAudience
	claimSubject
	claimExpires
	claimNotBefore
	claimIssued
	claimID
	claimSession
	claimCaps
	claimLimits
	claimChannel
	claimCan
	claimCount
)

// claimNames, in the order of the constants. Their case counts.
var claimNames = []string{"iss", "aud", "sub", "exp", "nbf", "iat", "jti", "session_exp", "caps", "limits", "channel", "can"}

// claims is the payload of a token. Numbers are Unix seconds; 0 stands for a missing one.
type claims struct {
	issuer, subject, id, channel        string
	audience                            []string
	expires, notBefore, issued, session int64
	caps                                []Capability
	can                                 []string
	limits                              Limits
	audienceList                        bool
	seen                                *granted           // what caps is compared with first; may be nil
	raw                                 [claimCount][]byte // as they stand there; nil: missing
}

// granted is a claim caps that was read before: many users mostly have the same one, and then share its rules.
type granted struct {
	text  string
	caps  []Capability
	rules []rule
}

func (c *claims) has(k claim) bool { return c.raw[k] != nil }

// find finds the claims in b, which is known to be JSON. Before the signature is known to be good it only reads the
// issuer; decode does the rest. It is strict where a lenient reader
// would grant more than was meant: the case of names counts, and a claim that occurs twice is refused.
func (c *claims) find(b []byte) error {
	err := members(b, func(name string, raw []byte) error {
		i := slices.Index(claimNames, name)
		if i < 0 {
			return nil
		}
		if c.raw[i] != nil {
			return refuse(ReasonClaims, "the claim "+claimNames[i]+" occurs twice")
		}
		c.raw[i] = slices.Clip(raw)
		return nil
	})
	if err == nil && c.has(claimIssuer) {
		err = c.decode(claimIssuer, claimIssuer)
	}
	return err
}

// decode reads the claims from first to last.
func (c *claims) decode(first, last claim) error {
	for k := first; k <= last; k++ {
		if !c.has(k) {
			continue
		}
		if text := c.read(k, c.raw[k]); text != "" {
			return refuse(ReasonClaims, text)
		}
	}
	return nil
}

// members walks through an object that is known to be JSON.
func members(b []byte, each func(name string, raw []byte) error) error {
	b = bytes.TrimLeft(b, blanks)
	if len(b) == 0 || b[0] != '{' {
		return refuse(ReasonForm, "its payload is no JSON object")
	}
	b = bytes.TrimLeft(b[1:], blanks)
	for len(b) > 0 && b[0] == '"' {
		n := valueLen(b)
		quoted := b[:n]
		name := string(quoted[1 : n-1])
		if strings.IndexByte(name, '\\') >= 0 && json.Unmarshal(quoted, &name) != nil {
			break
		}
		b = bytes.TrimLeft(b[n:], blanks+":")
		n = valueLen(b)
		if err := each(name, b[:n]); err != nil {
			return err
		}
		b = bytes.TrimLeft(b[n:], blanks+",")
	}
	if len(b) != 1 {
		return refuse(ReasonForm, "its payload is no JSON object")
	}
	return nil
}

const blanks = " \t\r\n"

// valueLen is the length of the JSON value at the beginning of b.
func valueLen(b []byte) int {
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			for i++; i < len(b) && b[i] != '"'; i++ {
				if b[i] == '\\' {
					i++
				}
			}
			if depth == 0 {
				return min(i+1, len(b))
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 { // of what the number stands in
				return i
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case ',', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return i
			}
		}
	}
	return len(b)
}

// read takes one claim and says what is wrong with it.
func (c *claims) read(k claim, raw []byte) (wrong string) {
	switch k {
	case claimIssuer:
		return readName(&c.issuer, raw, k, maxNameClaim)
	case claimAudience:
		return c.readAudience(raw)
	case claimSubject:
		return readName(&c.subject, raw, k, MaxUser)
	case claimExpires:
		return readSeconds(&c.expires, raw, k)
	case claimNotBefore:
		return readSeconds(&c.notBefore, raw, k)
	case claimIssued:
		return readSeconds(&c.issued, raw, k)
	case claimID:
		return readName(&c.id, raw, k, MaxTokenID)
	case claimSession:
		return readSeconds(&c.session, raw, k)
	case claimCaps:
		if c.seen != nil && c.seen.text == string(raw) {
			c.caps = c.seen.caps
			return ""
		}
		if !strictly(&c.caps, raw, '[') {
			return "the claim caps is a list of objects with channels, can and deny"
		}
	case claimLimits:
		l, err := parseLimits(raw)
		if err != nil {
			return err.Error()
		}
		c.limits = l
	case claimChannel:
		return readName(&c.channel, raw, k, channel.MaxName)
	case claimCan:
		if !strictly(&c.can, raw, '[') {
			return "the claim can is a list of actions"
		}
	}
	return ""
}

// strictly decodes a value that begins with first and holds no unknown field.
func strictly(v any, raw []byte, first byte) bool {
	if len(raw) == 0 || raw[0] != first {
		return false
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if d.Decode(v) != nil {
		return false
	}
	_, err := d.Token()
	return err == io.EOF
}

func readName(dst *string, raw []byte, k claim, most int) (wrong string) {
	s, ok := stringOf(raw)
	if *dst = s; !ok || !printable(s, most) {
		return "the claim " + claimNames[k] + " is a string of printable ASCII characters without spaces, and not that long"
	}
	return ""
}

// maxDigits ends the seconds in the year 2286.
const maxDigits = 10

func readSeconds(dst *int64, raw []byte, k claim) (wrong string) {
	n := int64(0)
	for _, c := range raw {
		if c < '0' || c > '9' || len(raw) > maxDigits {
			n = 0
			break
		}
		n = n*10 + int64(c-'0')
	}
	if *dst = n; n == 0 {
		return "the claim " + claimNames[k] + " is a whole number of seconds since 1970, at most 10 digits, without quotes"
	}
	return ""
}

func (c *claims) readAudience(raw []byte) (wrong string) {
	if len(raw) > 0 && raw[0] == '[' {
		c.audienceList = true
		if !strictly(&c.audience, raw, '[') || len(c.audience) > maxAudiences {
			return "the claim aud is a string, or a list of at most 8"
		}
		return ""
	}
	c.audience = make([]string, 1)
	return readName(&c.audience[0], raw, claimAudience, maxNameClaim)
}

// check judges the claims of a token whose signature is good.
func (c *claims) check(is *issuer, now time.Time) error {
	if err := c.decode(claimAudience, claimCan); err != nil {
		return err
	}
	if !c.has(claimAudience) || c.audienceList && !is.AudienceList || !slices.Contains(c.audience, is.Audience) {
		return refuse(ReasonAudience, "it is not meant for this server (aud)")
	}
	if !c.has(claimExpires) {
		return refuse(ReasonLifetime, "it needs an exp claim")
	}
	at := now.Unix()
	slack := int64(leeway / time.Second)
	switch {
	case at >= c.expires+slack:
		return refuse(ReasonExpired, "it has expired (exp)", ErrExpired)
	case c.session != 0 && at >= c.session:
		return refuse(ReasonExpired, "its session is over (session_exp)", ErrExpired)
	case c.notBefore > at+slack:
		return refuse(ReasonEarly, "it is not valid yet (nbf)")
	case c.issued > at+slack:
		return refuse(ReasonEarly, "it was issued in the future (iat); compare the clocks")
	case c.issued > c.expires:
		return refuse(ReasonLifetime, "it expired before it was issued")
	}
	most := int64(is.MaxLifetime / time.Second)
	if c.expires-at > most+slack || c.issued != 0 && c.expires-c.issued > most+slack {
		return refuse(ReasonLifetime, "exp lies more than "+is.MaxLifetime.String()+" ahead")
	}
	if c.session-at > int64(is.MaxSession/time.Second)+slack {
		return refuse(ReasonLifetime, "session_exp lies more than "+is.MaxSession.String()+" ahead")
	}
	return nil
}

// ends is when what the token allows is over.
func (c *claims) ends() time.Time {
	if c.session != 0 {
		return time.Unix(c.session, 0)
	}
	return time.Unix(c.expires, 0)
}

func (c *claims) issuedAt() time.Time {
	if c.issued == 0 {
		return time.Time{}
	}
	return time.Unix(c.issued, 0)
}
