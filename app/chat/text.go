package chat

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// checkText judges what people will read: 1 to most characters, something visible among them, and nothing that controls
// the terminal or the direction of the lines around it. Line feeds and tabs count as text where lines are allowed.
func checkText(s string, most int, lines bool) *refusal {
	characters, visible := 0, false
	for _, r := range s {
		characters++
		switch {
		case r == '\n' || r == '\t':
			if !lines {
				return refuse(ControlCharacters)
			}
		case r < ' ' || r >= 0x7f && r < 0xa0, r == 0x2028, r == 0x2029, bidiControl(r):
			return refuse(ControlCharacters)
		case !visible:
			visible = canSee(r)
		}
	}
	switch {
	case characters > most:
		return because(TooLong, "the text is too long: "+strconv.Itoa(most)+" characters are the most, send it in parts")
	case !visible:
		return refuse(Empty)
	}
	return nil
}

// bidiControl are embeddings, overrides and isolates, with which a text can look like another. Marks are no harm.
func bidiControl(r rune) bool { return r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 }

// canSee leaves out spaces, joiners, marks without a letter, and the letters that look like nothing. Versions of Unicode
// only add to it, so that what was once accepted stays so in a replay.
func canSee(r rune) bool {
	switch r {
	case 0x115f, 0x1160, 0x3164, 0xffa0, 0x2800:
		return false
	}
	return r > ' ' && r < 0x7f || r >= 0xa0 && unicode.In(r, unicode.L, unicode.N, unicode.P, unicode.S)
}

// checkEmoji takes one to a few emoji with their modifiers, and nothing that could be read as text. The ranges are fixed
// here rather than taken from tables that change.
func checkEmoji(s string) *refusal {
	if len(s) > MaxEmoji {
		return refuse(BadEmoji)
	}
	shown := false
	for i, r := range s {
		switch {
		case emoji(r):
			shown = true
		case r >= '0' && r <= '9' || r == '#' || r == '*': // only as a key cap
			if !keycap(s[i+1:]) {
				return refuse(BadEmoji)
			}
			shown = true
		case !shown || r != 0x200d && r != 0xfe0f && r != 0x20e3 && (r < 0xe0020 || r > 0xe007f):
			return refuse(BadEmoji)
		}
	}
	if !shown {
		return refuse(BadEmoji)
	}
	return nil
}

func emoji(r rune) bool {
	switch r {
	case 0xa9, 0xae, 0x203c, 0x2049, 0x2122, 0x2139, 0x24c2, 0x3030, 0x303d, 0x3297, 0x3299:
		return true
	}
	return r >= 0x2190 && r <= 0x21ff || r >= 0x2300 && r <= 0x23ff || r >= 0x25a0 && r <= 0x27bf ||
		r >= 0x2900 && r <= 0x297f || r >= 0x2b00 && r <= 0x2bff || r >= 0x1f000 && r <= 0x1faff
}

// keycap tells whether s begins with what makes a key of the digit before it.
func keycap(s string) bool {
	r, n := utf8.DecodeRuneInString(s)
	if r == 0xfe0f {
		r, _ = utf8.DecodeRuneInString(s[n:])
	}
	return r == 0x20e3
}

// preview is the beginning of a checked text, on one line.
func preview(s string) string {
	characters := 0
	for i := range s {
		if characters == MaxPreview {
			s = s[:i]
			break
		}
		characters++
	}
	if !strings.ContainsAny(s, "\n\t") {
		return s
	}
	return strings.NewReplacer("\n", " ", "\t", " ").Replace(s)
}
