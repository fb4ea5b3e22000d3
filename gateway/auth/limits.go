package auth

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// Limits are the bounds that a token sets for its user or connection; zero means that it does not say. A token can
// only lower what the server allows.
type Limits struct {
	Connections int32 `json:"connections,omitempty"` // of the user at once
	Channels    int32 `json:"channels,omitempty"`    // subscribed on one connection
	Publish     int32 `json:"publish,omitempty"`     // publishes and commands per second of one connection
	Requests    int32 `json:"requests,omitempty"`    // of any kind per second of one connection
	Bytes       int32 `json:"bytes,omitempty"`       // received per second of one connection
	Body        int32 `json:"body,omitempty"`        // bytes of one payload
}

type namedLimit struct {
	name string
	most int32
	of   func(*Limits) *int32
}

var limitNames = []namedLimit{
	{"connections", 1000, func(l *Limits) *int32 { return &l.Connections }},
	{"channels", 100_000, func(l *Limits) *int32 { return &l.Channels }},
	{"publish", 1_000_000, func(l *Limits) *int32 { return &l.Publish }},
	{"requests", 1_000_000, func(l *Limits) *int32 { return &l.Requests }},
	{"bytes", 1 << 30, func(l *Limits) *int32 { return &l.Bytes }},
	{"body", 16 << 20, func(l *Limits) *int32 { return &l.Body }},
}

// Under gives the limits that apply where the server's are server: of each the lower, zero meaning none.
func (l Limits) Under(server Limits) Limits {
	for _, n := range limitNames {
		mine, theirs := n.of(&l), *n.of(&server)
		if *mine == 0 || theirs != 0 && theirs < *mine {
			*mine = theirs
		}
	}
	return l
}

// check refuses what a token could not carry.
func (l Limits) check() error {
	for _, n := range limitNames {
		if v := *n.of(&l); v < 0 || v > n.most {
			return fmt.Errorf("limit %s is a whole number from 1 to %d", n.name, n.most)
		}
	}
	return nil
}

var errLimits = errors.New("the limits claim is an object of whole numbers above 0")

// parseLimits reads the claim. A name that is not known is refused: ignored, it would be no limit at all.
func parseLimits(raw []byte) (l Limits, err error) {
	var m map[string]int32
	if len(raw) == 0 || raw[0] != '{' || json.Unmarshal(raw, &m) != nil {
		return l, errLimits
	}
	known := 0
	for _, n := range limitNames {
		v, said := m[n.name]
		if !said {
			continue
		}
		if v == 0 {
			return l, errLimits
		}
		*n.of(&l) = v
		known++
	}
	if known != len(m) {
		var names []string
		for _, n := range limitNames {
			names = append(names, n.name)
		}
		return l, errors.New("the limits claim names an unknown limit; known are " + strings.Join(names, ", "))
	}
	return l, l.check()
}
