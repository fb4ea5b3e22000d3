package channel

// Row is what a service shows of a channel to those who search: a finished game, a player's rating. It becomes true with the
// change that states it. Within a service a later Row of the same Kind and Key replaces the earlier one.
type Row struct {
	Kind  string   // what rows of this sort are called, such as "game": small letters, digits, '.' and '-', at most 32 bytes
	Key   string   // at most 128 bytes; by habit rows of one key come from one channel
	Rank  int64    // place in the order of answers
	Terms []string // what it is found by, such as "player:ann"; at most 16, of at most 128 bytes each
	Body  []byte   // one JSON text; nil deletes the row
}
