package presence

import (
	"cmp"
	"encoding/json"
	"slices"

	"carillon/bus"
)

// Value is who is in a channel, as it is shown: how many, and who, by the time they came, while they are few.
type Value struct {
	Count   int    `json:"count"`
	Members []Here `json:"members,omitzero"` // nil where Count is above Listed
}

// Here is one member; Since is in Unix milliseconds.
type Here struct {
	User  string `json:"user"`
	Since int64  `json:"since"`
}

func valueOf(ms []bus.Member, count int) Value {
	if count > Listed {
		return Value{Count: count}
	}
	v := Value{Count: len(ms), Members: make([]Here, 0, len(ms))}
	for _, m := range ms {
		v.Members = append(v.Members, Here{m.User, m.Since.UnixMilli()})
	}
	slices.SortFunc(v.Members, func(a, b Here) int {
		return cmp.Or(cmp.Compare(a.Since, b.Since), cmp.Compare(a.User, b.User))
	})
	return v
}

// equal tells whether two values show the same. The zero Value, of a channel not yet written, is like no other.
func (v *Value) equal(other *Value) bool {
	return v.Count == other.Count && (v.Members == nil) == (other.Members == nil) && slices.Equal(v.Members, other.Members) &&
		(v.Count > 0 || v.Members != nil)
}

func (v *Value) body() []byte {
	b, _ := json.Marshal(v) // of numbers and texts: it never fails
	return b
}
