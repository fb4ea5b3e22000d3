package ws

import (
	"fmt"
	"strings"
)

func closeCases() (cs []conformanceCase) {
	add := func(name string, in []byte, want ...string) { cs = append(cs, chops(name, in, want...)...) }
	add("after_message", cat(fin(opText, "hi"), closeFrame(1000, "")), "text:hi", "close:1000")
	add("twice", cat(closeFrame(1000, ""), closeFrame(1001, "")), "close:1000")
	add("then_ping", cat(closeFrame(1000, ""), fin(opPing, "x")), "close:1000")
	add("then_text", cat(closeFrame(1000, ""), fin(opText, "x")), "close:1000")
	add("then_garbage", cat(closeFrame(1000, ""), []byte{0xff, 0xff, 0xff, 0xff}), "close:1000")
	add("inside_message", cat(part(opText, "a"), closeFrame(1000, ""), fin(opContinuation, "b")), "close:1000")
	add("empty", fin(opClose, ""), "close:")
	add("one_byte", fin(opClose, "\x03"), "close:1002")
	add("reason", closeFrame(1000, "Hello World!"), "close:1000")
	add("reason_123", closeFrame(1000, strings.Repeat("*", 123)), "close:1000")
	add("reason_124", closeFrame(1000, strings.Repeat("*", 124)), "close:1002")
	add("reason_utf8", closeFrame(1000, "κόσμε"), "close:1000")
	add("reason_invalid", closeFrame(1000, "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80"), "close:1007")
	add("reason_cut", closeFrame(1000, "abc\xe2\x82"), "close:1007")
	for _, code := range []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999} {
		cs = append(cs, conformanceCase{fmt.Sprint("valid_", code), closeFrame(code, "why"), 0, []string{fmt.Sprint("close:", code)}})
	}
	for _, code := range []int{0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535} {
		cs = append(cs, conformanceCase{fmt.Sprint("invalid_", code), closeFrame(code, ""), 0, []string{"close:1002"}},
			conformanceCase{fmt.Sprint("invalid_", code, "_reason"), closeFrame(code, "why"), 1, []string{"close:1002"}})
	}
	return cs
}

// fragmented cuts a message into frames of n bytes.
func fragmented(op byte, s string, n int) (b []byte) {
	for first := true; len(s) > n; first = false {
		o := op
		if !first {
			o = opContinuation
		}
		b = append(b, part(o, s[:n])...)
		s = s[n:]
	}
	return append(b, fin(opContinuation, s)...)
}

func limitCases() (cs []conformanceCase) {
	for _, n := range []int{64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20} {
		text, bin := strings.Repeat("é", n/2), strings.Repeat("\xfe", n)
		cs = append(cs,
			conformanceCase{fmt.Sprint("text_", n), fin(opText, text), 0, []string{"text:" + text}},
			conformanceCase{fmt.Sprint("binary_", n), fin(opBinary, bin), 0, []string{"binary:" + bin}})
	}
	text, bin := strings.Repeat("é", 1<<19), strings.Repeat("\xfe", 1<<20)
	for _, n := range []int{64, 257, 1024, 4096, 65536, 1<<20 - 1} {
		cs = append(cs,
			conformanceCase{fmt.Sprint("text_in_fragments_of_", n), fragmented(opText, text, n), 0, []string{"text:" + text}},
			conformanceCase{fmt.Sprint("binary_in_fragments_of_", n), fragmented(opBinary, bin, n), 0, []string{"binary:" + bin}})
	}
	for _, n := range []int{997, 2048, 65536} {
		cs = append(cs, conformanceCase{fmt.Sprint("text_in_segments_of_", n), fin(opText, text), n, []string{"text:" + text}})
	}
	many := strings.Repeat("x", 65536)
	cs = append(cs, conformanceCase{"fragments_65536", fragmented(opText, many, 1), 0, []string{"text:" + many}})
	var roundTrips []byte
	var echoes []string
	for i := range 1000 {
		roundTrips = append(roundTrips, fin(opText, fmt.Sprint("message ", i))...)
		echoes = append(echoes, fmt.Sprint("text:message ", i))
	}
	return append(cs, conformanceCase{"messages_1000", roundTrips, 0, echoes})
}

func miscCases() (cs []conformanceCase) {
	long := strings.Repeat("*", 65536)
	key0 := fin(opText, "")
	copy(key0[2:], []byte{0, 0, 0, 0})
	minimal := func(first byte, head ...byte) []byte { return append([]byte{first}, head...) }
	cs = append(cs,
		conformanceCase{"auto_fragmentation", fragmented(opText, long, 1300), 0, []string{"text:" + long}},
		conformanceCase{"odd_segments", cat(fin(opText, "one"), fin(opText, "two"), fin(opPing, "three")), 5, []string{"text:one", "text:two", "pong:three"}},
		conformanceCase{"zero_key", key0, 0, []string{"text:"}},
		conformanceCase{"unmasked", []byte{0x81, 2, 'h', 'i'}, 0, []string{"close:1002"}},
		conformanceCase{"unmasked_empty", []byte{0x81, 0}, 0, []string{"close:1002"}},
		conformanceCase{"unmasked_close", []byte{0x88, 0}, 0, []string{"close:1002"}},
		conformanceCase{"length_16_for_125", minimal(0x81, 0x80|126, 0, 125, 1, 2, 3, 4), 0, []string{"close:1002"}},
		conformanceCase{"length_64_for_125", minimal(0x81, 0x80|127, 0, 0, 0, 0, 0, 0, 0, 125, 1, 2, 3, 4), 0, []string{"close:1002"}},
		conformanceCase{"length_64_for_65535", minimal(0x81, 0x80|127, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 1, 2, 3, 4), 1, []string{"close:1002"}},
		conformanceCase{"control_length_16", minimal(0x89, 0x80|126, 0, 200, 1, 2, 3, 4), 0, []string{"close:1002"}},
	)
	return cs
}
