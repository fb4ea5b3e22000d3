package ws

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
)

// differentialCase is an input for several servers; its name says what is special about it.
type differentialCase struct {
	name string
	in   []byte
	chop int
}

func (c differentialCase) has(word string) bool { return strings.Contains(c.name, word) }

const generatedCases = 300

// differentialCorpus is what the conformance table sends, and generated sequences. Each input ends with a close frame,
// so that every server has an occasion to end the line.
func differentialCorpus() (cs []differentialCase) {
	bye := closeFrame(1000, "")
	for _, g := range [][]conformanceCase{
		framingCases(), pingCases(), reservedCases(), opcodeCases(), fragmentCases(), utf8Cases(), closeCases(), miscCases(),
	} {
		for _, c := range g {
			endless := strings.Contains(c.name, "failfast_in_frame") || strings.HasPrefix(c.name, "length_")
			if endless || c.chop == 1 && len(c.in) > 300 {
				continue // who does not refuse the head of a frame that never ends waits for the rest
			}
			cs = append(cs, differentialCase{c.name, cat(c.in, bye), c.chop})
		}
	}
	for _, n := range []int{differentialMax, differentialMax + 1, 2 * differentialMax} {
		b := strings.Repeat("x", n)
		cs = append(cs, differentialCase{fmt.Sprint("size_", n), cat(fin(opBinary, b), bye), 0},
			differentialCase{fmt.Sprint("size_in_parts_", n), cat(fragmented(opBinary, b, 1000), bye), 0})
	}
	for _, n := range []uint64{1<<63 - 1, 1<<32 + 5, 1 << 63, 1<<64 - 1} {
		cs = append(cs, differentialCase{hugeName(n), cat(fin(opText, "ok"), lengthFrame(n), make([]byte, differentialMax+1)), 0})
	}
	for _, n := range []int{0, 1, 125} {
		cs = append(cs, differentialCase{fmt.Sprint("length_16_for_", n), cat(wide(126, n), bye), 0})
	}
	for _, n := range []int{0, 125, 126, 60000} {
		cs = append(cs, differentialCase{fmt.Sprint("length_64_for_", n), cat(wide(127, n), bye), 0})
	}
	cs = append(cs, differentialCase{"fragments_1500", cat(fragmented(opText, strings.Repeat("x", 1500), 1), bye), 0})
	for seed := range uint64(generatedCases) {
		cs = append(cs, generate(seed))
	}
	return cs
}

func hugeName(n uint64) string {
	if n >= 1<<63 {
		return fmt.Sprintf("top_bit_%x", n)
	}
	return fmt.Sprintf("huge_%x", n)
}

// faults are what a generated sequence may have wrong, by name.
var faults = []struct {
	name string
	in   func(r *rand.Rand) []byte
}{
	{"reserved", func(r *rand.Rand) []byte { return raw(finBit|byte(1+r.IntN(7))<<4|opBinary, text(r, 20)) }},
	{"opcode", func(r *rand.Rand) []byte {
		return fin([]byte{3, 4, 5, 6, 7, 11, 12, 13, 14, 15}[r.IntN(10)], text(r, 5))
	}},
	{"unmasked", func(*rand.Rand) []byte { return []byte{0x82, 2, 'h', 'i'} }},
	{"long_ping", func(r *rand.Rand) []byte { return fin(opPing, strings.Repeat("x", 126+r.IntN(1000))) }},
	{"cut_ping", func(r *rand.Rand) []byte { return part(opPing, text(r, 5)) }},
	{"continuation", func(r *rand.Rand) []byte { return fin(opContinuation, text(r, 5)) }},
	{"nested", func(r *rand.Rand) []byte { return cat(part(opText, text(r, 5)), fin(opText, text(r, 5))) }},
	{"utf8", func(r *rand.Rand) []byte { return fin(opText, "ok"+invalidUTF8[r.IntN(len(invalidUTF8))].s+"ok") }},
	{"utf8_in_parts", func(r *rand.Rand) []byte {
		bad := "some" + invalidUTF8[r.IntN(len(invalidUTF8))].s + "text"
		return fragmented(opText, bad, 1+r.IntN(5))
	}},
	{"too_big", func(r *rand.Rand) []byte { return fin(opBinary, strings.Repeat("x", differentialMax+1+r.IntN(5))) }},
	{"close_code", func(r *rand.Rand) []byte {
		return closeFrame([]int{0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000}[r.IntN(9)], text(r, 20))
	}},
	{"close_reason", func(r *rand.Rand) []byte { return closeFrame(1000, invalidUTF8[r.IntN(len(invalidUTF8))].s) }},
	{"close_short", func(*rand.Rand) []byte { return fin(opClose, "x") }},
	{"top_bit", func(r *rand.Rand) []byte { return lengthFrame(1<<63 | r.Uint64()) }},
	{"length_16", func(r *rand.Rand) []byte { return wide(126, r.IntN(126)) }},
	{"length_64", func(r *rand.Rand) []byte { return wide(127, r.IntN(60000)) }},
}

// wide is a frame of n bytes whose length takes more room than it needs.
func wide(form byte, n int) []byte {
	b := []byte{0x82, maskBit | form}
	if form == 126 {
		b = binary.BigEndian.AppendUint16(b, uint16(n))
	} else {
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	return append(append(b, 0, 0, 0, 0), make([]byte, n)...)
}

// generate makes the sequence of a seed: messages whole and in parts, pings among them, and in two of three a fault,
// after which all goes on as if nothing had been.
func generate(seed uint64) differentialCase {
	r := rand.New(rand.NewPCG(seed, 2026))
	c := differentialCase{name: fmt.Sprint("seed_", seed)}
	before, after := r.IntN(6), r.IntN(4)
	for range before {
		c.in = append(c.in, anyMessage(r)...)
	}
	if r.IntN(3) > 0 {
		f := faults[r.IntN(len(faults))]
		c.name += "_" + f.name
		c.in = append(c.in, f.in(r)...)
	}
	for range after {
		c.in = append(c.in, anyMessage(r)...)
	}
	c.in = append(c.in, closeFrame([]int{1000, 1001, 3000, 4999}[r.IntN(4)], text(r, 30))...)
	if r.IntN(2) == 0 {
		c.chop = 1 + r.IntN(2000)
	}
	return c
}

func anyMessage(r *rand.Rand) []byte {
	sizes := []int{0, 1, 10, 124, 125, 126, 127, 128, 1000, 5000, 65535, 65536}
	n := sizes[r.IntN(len(sizes))]
	op, payload := opBinary, strings.Repeat(string(rune(r.IntN(128))), n)
	if r.IntN(2) == 0 {
		op, payload = opText, text(r, n)
	}
	if n = len(payload); r.IntN(2) == 0 || n == 0 {
		return fin(op, payload)
	}
	var b []byte
	for at, part := 0, 1+n/(1+r.IntN(6)); at < n; at += part {
		end := min(at+part, n)
		first := byte(0)
		if at == 0 {
			first = op
		}
		if end == n {
			first |= finBit
		}
		b = append(b, raw(first, payload[at:end])...)
		if r.IntN(3) == 0 && end < n {
			b = append(b, fin([]byte{opPing, opPong}[r.IntN(2)], text(r, 10))...)
		}
	}
	return b
}

// text returns UTF-8 of at most n bytes, runes of all lengths.
func text(r *rand.Rand, n int) string {
	alphabet := []rune("aZ0 \x00é߿€\u2028\ufffd\U0001f600\U0010ffff")
	var b strings.Builder
	for {
		c := alphabet[r.IntN(len(alphabet))]
		if b.Len()+len(string(c)) > n {
			return b.String()
		}
		b.WriteRune(c)
	}
}
