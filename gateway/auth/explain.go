package auth

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Report says what a token is and what would become of it. It holds neither the signature nor any key. What the token
// says about itself is repeated even where nothing proves it; Accepted tells which.
type Report struct {
	Kind     string         `json:"kind"` // "connect", "subscription", or "unknown" where it cannot be read
	Accepted bool           `json:"accepted"`
	Reason   Reason         `json:"reason,omitempty"` // why not
	Why      string         `json:"why,omitempty"`    // the same as a sentence
	Alg      string         `json:"alg,omitempty"`    // as the header says
	KeyID    string         `json:"kid,omitempty"`    // as the header says
	Key      string         `json:"key,omitempty"`    // the one that the server would check with
	User     string         `json:"user,omitempty"`   // with the prefix of the issuer, where it is known
	Claims   map[string]any `json:"claims,omitempty"` // as they stand in the token
	Expires  time.Time      `json:"expires,omitzero"`
	Session  time.Time      `json:"session,omitzero"` // until when the connection or subscription may live
	May      []string       `json:"may,omitempty"`
	MayNot   []string       `json:"may_not,omitempty"`
	Limits   Limits         `json:"limits,omitzero"`

	now time.Time
}

// Explain takes a token apart for whoever looks after it. It judges by the keys, the clock and the revocations of k,
// and asks no URL for keys.
func (k *Keys) Explain(token string) Report {
	r := Report{Kind: "unknown", now: k.o.Now()}
	asking := k.o
	asking.Unknown = nil
	quiet := &Keys{o: asking}
	quiet.ring.Store(k.ring.Load())
	r.describe(token)
	c, is, key, err := quiet.judge(token, &r)
	if key != nil {
		r.Key = key.describe(is.Name)
	}
	if is != nil {
		r.capabilities(c, is)
		if c.subject != "" {
			r.User = is.UserPrefix + c.subject
		}
	}
	if err != nil {
		r.Reason, r.Why = ReasonOf(err), strings.TrimPrefix(err.Error(), ErrToken.Error()+": ")
	}
	r.Accepted = err == nil
	return r
}

// judge does what Verify or VerifySubscription would, and tells how far it came.
func (k *Keys) judge(token string, r *Report) (*claims, *issuer, *Key, error) {
	c := &claims{}
	is, key, err := k.open(token, c)
	if c.has(claimChannel) {
		r.Kind = "subscription"
	} else if r.Claims != nil {
		r.Kind = "connect"
	}
	if err == nil && r.Kind == "subscription" {
		_, err = k.permit(c, is, key)
		return c, is, key, err
	}
	if err == nil && c.has(claimCan) {
		return c, is, key, refuse(ReasonKind, "the claim can goes with the claim channel, in a subscription token")
	}
	if err == nil {
		_, err = k.identity(c, is, key)
		return c, is, key, err
	}
	_ = c.decode(claimAudience, claimCan) // as far as it goes; what is wrong with it was said, or is not the first thing
	if known := k.ring.Load().issuers[c.issuer]; known != nil {
		is = known
	}
	return c, is, key, err
}

// describe repeats header and claims without judging them.
func (r *Report) describe(token string) {
	parts := strings.SplitN(token, ".", 4)
	if len(token) > MaxToken || len(parts) < 2 {
		return
	}
	var header struct {
		Alg any `json:"alg"`
		Kid any `json:"kid"`
	}
	if b, err := base64.RawURLEncoding.DecodeString(parts[0]); err == nil && json.Unmarshal(b, &header) == nil {
		r.Alg, _ = header.Alg.(string)
		r.KeyID, _ = header.Kid.(string)
	}
	if b, err := base64.RawURLEncoding.DecodeString(parts[1]); err == nil {
		d := json.NewDecoder(strings.NewReader(string(b)))
		d.UseNumber()
		if d.Decode(&r.Claims) != nil {
			r.Claims = nil
		}
	}
	r.Expires = seconds(r.Claims[claimNames[claimExpires]])
	if r.Session = seconds(r.Claims[claimNames[claimSession]]); r.Session.IsZero() {
		r.Session = r.Expires
	}
}

func seconds(v any) time.Time {
	n, _ := v.(json.Number)
	if s, err := strconv.ParseInt(n.String(), 10, 64); err == nil && s > 0 && len(n) <= maxDigits {
		return time.Unix(s, 0).UTC()
	}
	return time.Time{}
}

// capabilities puts into words what the claims grant.
func (r *Report) capabilities(c *claims, is *issuer) {
	r.Limits = c.limits
	caps := c.caps
	if !c.has(claimCaps) {
		caps = is.Default
	}
	if c.has(claimChannel) {
		can, err := permitted(c.channel, c.can)
		if err == nil {
			r.May = append(r.May, can.String()+" in "+c.channel)
		}
		caps = nil
	}
	for _, one := range caps {
		actions, err := parseActions(one)
		if err != nil || actions == 0 || len(one.Channels) == 0 {
			continue
		}
		line := actions.String() + " in " + strings.Join(one.Channels, ", ")
		if one.Deny {
			r.MayNot = append(r.MayNot, line)
		} else {
			r.May = append(r.May, line)
		}
	}
	if is.Ceiling != nil {
		r.MayNot = append(r.MayNot, "anything beyond the ceiling of its issuer")
	}
}

func (k *Key) describe(issuer string) string {
	s := fmt.Sprintf("%s key %q of issuer %q", k.alg, k.id, issuer)
	if f := k.Fingerprint(); f != "" {
		s += ", fingerprint " + f
	}
	return s
}

// String is the report for a terminal: what comes from the token is quoted where it holds anything but plain text.
func (r Report) String() string {
	var b strings.Builder
	line := func(name, text string) {
		if text != "" {
			fmt.Fprintf(&b, "%-10s%s\n", name, plain(text))
		}
	}
	line("token", r.Kind)
	if r.Accepted {
		line("verdict", "accepted")
	} else {
		line("verdict", "refused: "+r.Why)
	}
	line("user", r.User)
	line("algorithm", r.Alg)
	line("kid", r.KeyID)
	line("key", r.Key)
	line("expires", r.when(r.Expires))
	if !r.Session.Equal(r.Expires) {
		line("session", r.when(r.Session))
	}
	for _, s := range r.May {
		line("may", s)
	}
	for _, s := range r.MayNot {
		line("may not", s)
	}
	if r.Limits != (Limits{}) {
		text, _ := json.Marshal(r.Limits)
		line("limits", string(text))
	}
	if r.Claims != nil {
		text, err := json.Marshal(r.Claims)
		if err == nil {
			line("claims", string(text))
		}
	}
	return b.String()
}

func (r Report) when(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	left := t.Sub(r.now).Round(time.Second)
	if left < 0 {
		return fmt.Sprintf("%s, %s ago", t.Format(time.RFC3339), -left)
	}
	return fmt.Sprintf("%s, in %s", t.Format(time.RFC3339), left)
}

// plain quotes what could move a cursor or hide something.
func plain(s string) string {
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] > '~' {
			return strconv.QuoteToASCII(s)
		}
	}
	return s
}

var errNoClaims = errors.New("the text is no token")

// ReadUnverified gives what a token says about itself where there is no key to check it with. Nothing of it is proven.
func ReadUnverified(token string, now time.Time) (Report, error) {
	r := Report{Kind: "unknown", Why: "nothing is known about its signature: there is no key to check it with", now: now}
	if err := checkForm(token); err != nil {
		return r, err
	}
	c := &claims{}
	if _, err := takeApart(token, nil, c); err != nil {
		return r, err
	}
	if r.describe(token); r.Claims == nil {
		return r, errNoClaims
	}
	if err := c.decode(claimAudience, claimCan); err != nil {
		return r, err
	}
	r.capabilities(c, &issuer{})
	r.Kind, r.User = "connect", c.subject
	if c.has(claimChannel) {
		r.Kind = "subscription"
	}
	return r, nil
}
