package rules

// keyTable has a random number for each fact about a position; the key of a position is all its facts' numbers, xored.
type keyTable struct {
	pieces [2][8][64]uint64
	castle [64]uint64 // by the rook's square
	ep     [8]uint64  // by file
	black  uint64     // black to move
}

var keys = newKeys(0x6361_7269_6c6c_6f6e)

// newKeys draws the numbers from SplitMix64. A changed seed or order changes all keys.
func newKeys(seed uint64) (t keyTable) {
	next := func() uint64 {
		seed += 0x9e3779b97f4a7c15
		z := seed
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		return z ^ z>>31
	}
	for c := range t.pieces {
		for r := Pawn; r <= King; r++ {
			for s := range t.pieces[c][r] {
				t.pieces[c][r][s] = next()
			}
		}
	}
	for s := range t.castle {
		t.castle[s] = next()
	}
	for f := range t.ep {
		t.ep[f] = next()
	}
	t.black = next()
	return t
}

// freshKey computes the key from nothing but the board.
func (p *Position) freshKey() (key uint64) {
	for s := range Square(64) {
		if c, r := p.At(s); r != NoRole {
			key ^= keys.pieces[c][r][s]
		}
	}
	for s := p.castles; s != 0; s = s.rest() {
		key ^= keys.castle[s.first()]
	}
	if p.ep != 0 {
		key ^= keys.ep[p.ep&7]
	}
	if p.turn == Black {
		key ^= keys.black
	}
	return key
}
