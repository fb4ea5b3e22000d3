package store

// PackTerms makes one value of the terms of a row; UnpackTerms reads it back, or says that it is none.
func PackTerms(terms []string) (b []byte) {
	b = []byte{}
	for _, t := range terms {
		b = appendText(b, t)
	}
	return b
}

// UnpackTerms reads what PackTerms wrote.
func UnpackTerms(b []byte) (terms []string, err error) {
	r := unpacker{rest: b}
	for len(r.rest) > 0 {
		terms = append(terms, r.text())
		if r.bad {
			return nil, errPack
		}
	}
	return terms, nil
}
