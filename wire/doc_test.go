package wire

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

func protocolDoc(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// tableRows are the rows of the table under a heading row, as they stand.
func tableRows(t *testing.T, doc, heading string) []string {
	t.Helper()
	_, rest, found := strings.Cut(doc, heading+"\n")
	if !found {
		t.Fatalf("no table %q", heading)
	}
	var rows []string
	for i, line := range strings.Split(rest, "\n") {
		if !strings.HasPrefix(line, "|") {
			break
		}
		if i > 0 {
			rows = append(rows, line)
		}
	}
	return rows
}

func compareRows(t *testing.T, got, want []string) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			t.Errorf("the document lacks\n%s", want[i])
		case i >= len(want):
			t.Errorf("the document has what the code lacks\n%s", got[i])
		case got[i] != want[i]:
			t.Errorf("the document says\n%s\nthe code says\n%s", got[i], want[i])
		}
	}
}

// TestCodesAsDocumented: the tables of the document are those of the code, word for word.
func TestCodesAsDocumented(t *testing.T) {
	doc := protocolDoc(t)
	var codes, closes []string
	for _, c := range Codes() {
		number, outcome := "-", "final"
		if c.Number != 0 {
			number = fmt.Sprint(c.Number)
		}
		if c.Retry {
			outcome = "retry"
		}
		codes = append(codes, fmt.Sprintf("| `%s` | %s | %s | %s | %s |", c.Code, number, outcome, c.Sentence, c.Advice))
	}
	compareRows(t, tableRows(t, doc, "| code | close | as a reply | what happened | what to do |"), codes)
	for _, c := range Closes() {
		then := map[Reconnect]string{ReconnectNever: "stay away", ReconnectBackoff: "back off", ReconnectAtOnce: "at once"}[c.Then]
		closes = append(closes, fmt.Sprintf("| %d | %s | %s |", c.Number, then, c.Sentence))
	}
	compareRows(t, tableRows(t, doc, "| number | then | what happened |"), closes)
}

// TestExamplesInDocument: every example can be read, and every type has one.
func TestExamplesInDocument(t *testing.T) {
	asked, told := map[RequestType]bool{}, map[MessageType]bool{}
	side := ""
	for n, line := range strings.Split(protocolDoc(t), "\n") {
		if fence, is := strings.CutPrefix(line, "```"); is {
			side = fence
			continue
		}
		frame, client := line, side == "json client"
		switch {
		case side == "text transcript":
			frame, client = line[2:], line[0] == '>'
		case side != "json client" && side != "json server":
			if side != "" {
				t.Errorf("line %d: a block of kind %q is not checked", n+1, side)
			}
			continue
		}
		if client {
			rs, err := JSON.DecodeRequests([]byte(frame), nil)
			if err != nil && !strings.Contains(frame, "chat lobby") {
				t.Errorf("line %d: %v", n+1, err)
			}
			for _, r := range rs {
				asked[r.Type] = true
			}
			continue
		}
		ms, err := JSON.DecodeMessages([]byte(frame), nil)
		if err != nil {
			t.Errorf("line %d: %v", n+1, err)
			continue
		}
		for i := range ms {
			if told[ms[i].Type] = true; ms[i].Type == MsgUnknown {
				t.Errorf("line %d: no message of this version", n+1)
			}
		}
		if again := (Protocol{Codec: JSON}).AppendMessages(nil, ms); len(again) != len(frame) {
			t.Errorf("line %d: the example has fields that are not of its type:\n%s\nmeans\n%s", n+1, frame, again)
		}
	}
	for r := ReqConnect; r <= ReqPong; r++ {
		if !asked[r] {
			t.Errorf("no example of %s", r)
		}
	}
	for m := MsgConnected; m <= MsgPing; m++ {
		if !told[m] {
			t.Errorf("no example of %s", m)
		}
	}
}

// TestCloseNumbers: the rule of the hundreds holds, and no number or name stands for two things.
func TestCloseNumbers(t *testing.T) {
	names, numbers := map[Code]bool{}, map[int]bool{}
	for _, c := range Codes() {
		if names[c.Code] || c.Number != 0 && numbers[c.Number] {
			t.Errorf("%s or %d stands twice", c.Code, c.Number)
		}
		names[c.Code], numbers[c.Number] = true, true
		if c.Sentence == "" || c.Advice == "" || len(c.Code) > 31 {
			t.Errorf("%s lacks words", c.Code)
		}
		if c.Number == 0 {
			continue
		}
		if code, ok := CodeOf(c.Number); !ok || code != c.Code || c.Code.Number() != c.Number {
			t.Errorf("%d is %q", c.Number, code)
		}
		want := map[int]Reconnect{40: ReconnectNever, 41: ReconnectBackoff, 42: ReconnectAtOnce}[c.Number/100]
		if AfterClose(c.Number) != want {
			t.Errorf("%d: %v", c.Number, AfterClose(c.Number))
		}
	}
	for number, want := range map[int]Reconnect{
		0: ReconnectBackoff, 1000: ReconnectBackoff, 1006: ReconnectBackoff, 1009: ReconnectNever, 1012: ReconnectAtOnce,
		1014: ReconnectBackoff, 3000: ReconnectBackoff, 4099: ReconnectNever, 4199: ReconnectBackoff, 4299: ReconnectAtOnce, 4999: ReconnectBackoff,
	} {
		if AfterClose(number) != want {
			t.Errorf("%d: %v, want %v", number, AfterClose(number), want)
		}
	}
	if _, ok := CodeOf(0); ok {
		t.Error("0 is the number of a code")
	}
}
