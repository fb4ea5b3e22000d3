package auth

import (
	"encoding/base64"
	"encoding/json"
	"strings"
)

// header is that of a token. It only serves to look up the key.
type header struct {
	text         string // as it stood in the token
	alg, typ     string
	kid          string
	hasTyp       bool
	badKid       bool   // it is no id of a key
	neverFollows string // a member that would have the server fetch or trust something
}

// envelope is a token taken apart; nothing of it is proven.
type envelope struct {
	header *header
	signed string // what the signature covers
	seal   string // the signature, as it stands there
}

var segments = base64.RawURLEncoding.Strict()

func errForm() error { return refuse(ReasonForm, "its header or payload cannot be read") }

// takeApart reads a token that checkForm has passed. The tokens of an issuer have one header, mostly: seen is one that was
// read before, or nil.
func takeApart(token string, seen *header, c *claims) (envelope, error) {
	first, last := strings.IndexByte(token, '.'), strings.LastIndexByte(token, '.')
	e := envelope{header: seen, signed: token[:last], seal: token[last+1:]}
	payload, err := segments.DecodeString(token[first+1 : last])
	if err != nil {
		return e, errForm()
	}
	if seen == nil || seen.text != token[:first] {
		if e.header, err = readHeader(token[:first]); err != nil {
			return e, err
		}
	}
	if !json.Valid(payload) {
		return e, errForm()
	}
	return e, c.find(payload)
}

func readHeader(text string) (*header, error) {
	b, err := segments.DecodeString(text)
	if err != nil || !json.Valid(b) {
		return nil, errForm()
	}
	h := &header{text: strings.Clone(text)}
	seen := map[string]bool{}
	err = members(b, func(name string, raw []byte) error {
		if seen[name] {
			return refuse(ReasonHeader, "its header has a member twice")
		}
		seen[name] = true
		switch name {
		case "crit", "jku", "jwk", "x5u", "x5c":
			h.neverFollows = name
		case "alg":
			h.alg, _ = stringOf(raw)
		case "typ":
			h.hasTyp = true
			h.typ, _ = stringOf(raw)
		case "kid":
			var isText bool
			h.kid, isText = stringOf(raw)
			h.badKid = !isText || !printable(h.kid, MaxKeyID)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return h, nil
}

// stringOf reads a JSON string; a plain one without a detour.
func stringOf(raw []byte) (s string, ok bool) {
	if len(raw) < 2 || raw[0] != '"' {
		return "", false
	}
	for _, c := range raw[1 : len(raw)-1] {
		if c == '\\' || c < ' ' || c > '~' {
			return s, json.Unmarshal(raw, &s) == nil
		}
	}
	return string(raw[1 : len(raw)-1]), true
}
