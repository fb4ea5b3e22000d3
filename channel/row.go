package channel

// Row is what a service shows of a channel to those who search: a finished game, a player's rating. It becomes true with the
// change that states it. Within a service a later Row of the same Kind and Key replaces the earlier one.
type Row struct {
	Kind  string   // what rows of this sort are called, such as "game": small letters, digits, '.' and '-', at most MaxKind bytes
	Key   string   // at most MaxTerm bytes; by habit rows of one key come from one channel
	Rank  int64    // place in the order of answers
	Terms []string // what it is found by, such as "player:ann"; at most MaxTerms, of at most MaxTerm bytes each
	Body  []byte   // one JSON text; nil deletes the row
}

// Bounds of a Row.
const (
	MaxKind  = 32  // bytes
	MaxTerm  = 128 // bytes
	MaxTerms = 16
)
