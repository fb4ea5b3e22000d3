package ws

import (
	"fmt"
	"net"
	"strings"
	"testing"
)

// conformanceCase is one line of the table: what a peer sends and what it must get. If want does not end in a close
// frame, the peer closes with 1000 and wants that answered.
type conformanceCase struct {
	name string
	in   []byte
	chop int // bytes of a TCP segment, 0 for all at once
	want []string
}

// TestConformance runs the table, in the grouping of the well-known suites, over real sockets.
func TestConformance(t *testing.T) {
	_, addr := serveEcho(t, Options{MaxMessage: 32 << 20, MaxFragments: 1 << 20})
	groups := []struct {
		name  string
		cases []conformanceCase
	}{
		{"1_framing", framingCases()},
		{"2_pings", pingCases()},
		{"3_reserved_bits", reservedCases()},
		{"4_opcodes", opcodeCases()},
		{"5_fragmentation", fragmentCases()},
		{"6_utf8", utf8Cases()},
		{"7_close", closeCases()},
		{"9_limits", limitCases()},
		{"10_misc", miscCases()},
	}
	n := 0
	names := map[string]bool{}
	for _, g := range groups {
		for _, c := range g.cases {
			n++
			name := g.name + "/" + c.name
			if names[name] {
				t.Errorf("two cases are called %s", name)
			}
			names[name] = true
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				c.run(t, addr)
			})
		}
	}
	if n < 250 {
		t.Errorf("the table has only %d cases", n)
	}
}

func (c conformanceCase) run(t *testing.T, addr string) {
	p := dial(t, addr)
	in, want := c.in, c.want
	if len(want) == 0 || !strings.HasPrefix(want[len(want)-1], "close:") {
		in, want = cat(in, closeFrame(1000, "")), append(want[:len(want):len(want)], "close:1000")
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		writeChopped(p.nc, in, c.chop)
	}()
	p.want(want...)
	p.wantGone()
	p.nc.Close()
	<-sent
}

// writeChopped writes segments until done or until the other side has hung up, which is its right.
func writeChopped(nc net.Conn, b []byte, chop int) {
	if chop == 0 {
		chop = len(b)
	}
	for len(b) > 0 {
		k := min(chop, len(b))
		if _, err := nc.Write(b[:k]); err != nil {
			return
		}
		b = b[k:]
	}
}

// chops gives a case whole and byte by byte.
func chops(name string, in []byte, want ...string) []conformanceCase {
	return []conformanceCase{{name, in, 0, want}, {name + "_bytewise", in, 1, want}}
}

func framingCases() (cs []conformanceCase) {
	for _, n := range []int{0, 1, 125, 126, 127, 128, 65535, 65536} {
		text, bin := strings.Repeat("*", n), strings.Repeat("\xfe", n)
		cs = append(cs,
			conformanceCase{fmt.Sprintf("text_%d", n), fin(opText, text), 0, []string{"text:" + text}},
			conformanceCase{fmt.Sprintf("binary_%d", n), fin(opBinary, bin), 0, []string{"binary:" + bin}})
		chop := 1
		if n > 1000 {
			chop = 997
		}
		cs = append(cs,
			conformanceCase{fmt.Sprintf("text_%d_by_%d", n, chop), fin(opText, text), chop, []string{"text:" + text}},
			conformanceCase{fmt.Sprintf("binary_%d_by_%d", n, chop), fin(opBinary, bin), chop, []string{"binary:" + bin}})
	}
	return cs
}

func pingCases() (cs []conformanceCase) {
	long := strings.Repeat("\xfe", 125)
	cs = append(cs, chops("empty", fin(opPing, ""), "pong:")...)
	cs = append(cs, chops("payload", fin(opPing, "hello"), "pong:hello")...)
	cs = append(cs, chops("binary_payload", fin(opPing, "\x00\xff\xfe\xfd\xfc\xfb\x00\xff"), "pong:\x00\xff\xfe\xfd\xfc\xfb\x00\xff")...)
	cs = append(cs, chops("payload_125", fin(opPing, long), "pong:"+long)...)
	cs = append(cs, chops("payload_126", fin(opPing, long+"x"), "close:1002")...)
	cs = append(cs, chops("unsolicited_pong", fin(opPong, ""))...)
	cs = append(cs, chops("unsolicited_pong_payload", fin(opPong, "x"))...)
	cs = append(cs, chops("pong_then_ping", cat(fin(opPong, "x"), fin(opPing, "y")), "pong:y")...)
	var ten []byte
	var pongs []string
	for i := range 10 {
		ten = append(ten, fin(opPing, fmt.Sprint("n", i))...)
		pongs = append(pongs, fmt.Sprint("pong:n", i))
	}
	return append(cs, chops("ten", ten, pongs...)...)
}

func reservedCases() (cs []conformanceCase) {
	for rsv := byte(1); rsv <= 7; rsv++ {
		for _, op := range []byte{opText, opBinary, opPing, opClose} {
			bad := raw(finBit|rsv<<4|op, "x")
			cs = append(cs, conformanceCase{fmt.Sprintf("rsv%d_op%d", rsv, op), bad, 0, []string{"close:1002"}})
		}
		after := cat(fin(opText, "ok"), raw(finBit|rsv<<4|opText, "x"), fin(opPing, ""))
		cs = append(cs, chops(fmt.Sprintf("rsv%d_after_text", rsv), after, "text:ok", "close:1002")...)
	}
	return append(cs, conformanceCase{"rsv1_continuation", cat(part(opText, "a"), raw(finBit|0x40, "b")), 0, []string{"close:1002"}})
}

func opcodeCases() (cs []conformanceCase) {
	for _, op := range []byte{3, 4, 5, 6, 7, 11, 12, 13, 14, 15} {
		cs = append(cs,
			conformanceCase{fmt.Sprintf("op%d_empty", op), fin(op, ""), 0, []string{"close:1002"}},
			conformanceCase{fmt.Sprintf("op%d_payload", op), fin(op, "x"), 1, []string{"close:1002"}},
			conformanceCase{fmt.Sprintf("op%d_after_text", op), cat(fin(opText, "ok"), fin(op, "x"), fin(opPing, "")), 0, []string{"text:ok", "close:1002"}})
	}
	return cs
}

func fragmentCases() (cs []conformanceCase) {
	add := func(name string, in []byte, want ...string) { cs = append(cs, chops(name, in, want...)...) }
	a, b := part(opText, "fragment1"), fin(opContinuation, "fragment2")
	mid := part(opContinuation, "middle")
	add("ping_fragmented", cat(part(opPing, "f1"), fin(opContinuation, "f2")), "close:1002")
	add("pong_fragmented", cat(part(opPong, "f1"), fin(opContinuation, "f2")), "close:1002")
	add("close_fragmented", part(opClose, ""), "close:1002")
	add("two", cat(a, b), "text:fragment1fragment2")
	add("three", cat(a, mid, b), "text:fragment1middlefragment2")
	add("two_binary", cat(part(opBinary, "\xff"), fin(opContinuation, "\xfe")), "binary:\xff\xfe")
	add("ping_between", cat(a, fin(opPing, "p"), b), "pong:p", "text:fragment1fragment2")
	add("pong_between", cat(a, fin(opPong, "p"), b), "text:fragment1fragment2")
	add("two_pings_between", cat(a, fin(opPing, "p"), mid, fin(opPing, "q"), b), "pong:p", "pong:q", "text:fragment1middlefragment2")
	add("continuation_first", b, "close:1002")
	add("unfinished_continuation_first", mid, "close:1002")
	add("continuation_after_message", cat(fin(opText, "ok"), b), "text:ok", "close:1002")
	add("text_inside", cat(a, fin(opText, "x")), "close:1002")
	add("unfinished_text_inside", cat(a, part(opText, "x")), "close:1002")
	add("binary_inside", cat(a, fin(opBinary, "x")), "close:1002")
	add("empty_fragments", cat(part(opText, ""), part(opContinuation, ""), fin(opContinuation, "")), "text:")
	add("empty_ends", cat(part(opText, ""), part(opContinuation, "x"), fin(opContinuation, "")), "text:x")
	add("empty_then_whole", cat(part(opText, ""), fin(opContinuation, "x"), fin(opText, "y")), "text:x", "text:y")
	add("close_inside", cat(a, closeFrame(1000, "")), "close:1000")
	add("two_messages", cat(a, b, a, mid, b), "text:fragment1fragment2", "text:fragment1middlefragment2")
	return cs
}

func utf8Cases() (cs []conformanceCase) {
	valid := []struct{ name, s string }{
		{"greek", "κόσμε"}, {"nul", "\x00"}, {"first2", "\u0080"}, {"first3", "\u0800"}, {"first4", "\U00010000"},
		{"last1", "\x7f"}, {"last2", "\u07ff"}, {"last3", "\uffff"}, {"last4", "\U0010ffff"}, {"before_surrogates", "\ud7ff"},
		{"after_surrogates", "\ue000"}, {"replacement", "\ufffd"}, {"nonchar_1fffe", "\U0001fffe"}, {"nonchar_fffe", "\ufffe"},
		{"mixed", "Hello-µ@ßöäüàá-UTF-8!! \U0001f600"}, {"combining", "e\u0301\u0302"}, {"bom", "\ufeffx"}, {"rtl", "\u202eabc"},
	}
	for _, v := range valid {
		var bits []byte
		for i := range len(v.s) {
			op := opContinuation
			if i == 0 {
				op = opText
			}
			bits = append(bits, part(op, v.s[i:i+1])...)
		}
		bits = append(bits, fin(opContinuation, "")...)
		cs = append(cs, chops("valid_"+v.name, fin(opText, v.s), "text:"+v.s)...)
		cs = append(cs, conformanceCase{"valid_" + v.name + "_each_byte_a_fragment", bits, 0, []string{"text:" + v.s}})
	}
	for _, v := range invalidUTF8 {
		cs = append(cs, chops("invalid_"+v.name, fin(opText, "ok"+v.s+"ok"), "close:1007")...)
		cs = append(cs, conformanceCase{"invalid_" + v.name + "_fragmented",
			cat(part(opText, "ok"+v.s[:1]), part(opContinuation, v.s[1:]), fin(opContinuation, "")), 0, []string{"close:1007"}})
		// Fail-fast: the rest of the frame, or of the message, never comes.
		unended := fin(opText, "κόσμε"+v.s+"!"+strings.Repeat("x", 100))
		cs = append(cs, conformanceCase{"invalid_" + v.name + "_failfast_in_frame", unended[:len(unended)-100], 1, []string{"close:1007"}},
			conformanceCase{"invalid_" + v.name + "_failfast_in_message", part(opText, "κόσμε"+v.s+"!"), 0, []string{"close:1007"}})
	}
	cs = append(cs,
		conformanceCase{"cut_rune_at_end", fin(opText, "\xce"), 0, []string{"close:1007"}},
		conformanceCase{"cut_rune_at_end_of_message", cat(part(opText, "a\xf4\x8f"), fin(opContinuation, "\xbf")), 0, []string{"close:1007"}},
		conformanceCase{"failfast_second_byte", part(opText, "\xf4\x90"), 0, []string{"close:1007"}},
		conformanceCase{"failfast_surrogate_second_byte", part(opText, "\xed\xa0"), 0, []string{"close:1007"}},
		conformanceCase{"failfast_overlong_second_byte", part(opText, "\xe0\x80"), 0, []string{"close:1007"}},
		conformanceCase{"binary_is_not_checked", fin(opBinary, "\xff\xfe"), 0, []string{"binary:\xff\xfe"}},
		conformanceCase{"invalid_after_valid_message", cat(fin(opText, "é"), fin(opText, "\xff")), 0, []string{"text:é", "close:1007"}},
	)
	return cs
}

var invalidUTF8 = []struct{ name, s string }{
	{"lone_continuation", "\x80"}, {"lone_bf", "\xbf"}, {"two_continuations", "\x80\xbf"}, {"fe", "\xfe"}, {"ff", "\xff"},
	{"c0", "\xc0\x80"}, {"c1", "\xc1\xbf"}, {"overlong2", "\xc0\xaf"}, {"overlong3", "\xe0\x80\xaf"}, {"overlong4", "\xf0\x80\x80\xaf"},
	{"overlong5", "\xf8\x80\x80\x80\xaf"}, {"overlong6", "\xfc\x80\x80\x80\x80\xaf"}, {"max_overlong3", "\xe0\x9f\xbf"},
	{"max_overlong4", "\xf0\x8f\xbf\xbf"}, {"surrogate_low", "\xed\xa0\x80"}, {"surrogate_high", "\xed\xbf\xbf"},
	{"surrogate_pair", "\xed\xa0\x80\xed\xb0\x80"}, {"beyond", "\xf4\x90\x80\x80"}, {"f5", "\xf5\x80\x80\x80"}, {"five", "\xf8\x88\x80\x80\x80"},
	{"six", "\xfc\x84\x80\x80\x80\x80"}, {"cut2", "\xc3!"}, {"cut3", "\xe2\x82!"}, {"cut4", "\xf0\x9f\x98!"},
}
