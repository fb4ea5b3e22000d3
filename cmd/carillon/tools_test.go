package main

import (
	"bufio"
	"bytes"
	"errors"
	"strings"
	"testing"

	"carillon/wire"
)

func TestVersion(t *testing.T) {
	if r := carillon(t, "version").want(t, exitOK); !strings.HasPrefix(r.out, "carillon v0.0.0-test (") || !strings.Contains(r.out, "go1.") {
		t.Error(r.out)
	}
	if m := parse(t, carillon(t, "version", "--json").want(t, exitOK).out); m["version"] != "v0.0.0-test" || m["go"] == "" || m["platform"] == "" {
		t.Error(m)
	}
}

func TestExplain(t *testing.T) {
	byName, byNumber := carillon(t, "explain", "slow").want(t, exitOK), carillon(t, "explain", "4108").want(t, exitOK)
	if m := parse(t, byName.out); byName.out != byNumber.out || m["close"] != 4108.0 || m["advice"] == "" {
		t.Errorf("%s %s", byName.out, byNumber.out)
	}
	all := lines(carillon(t, "explain").want(t, exitOK).out)
	if want := len(wire.Codes()) + len(wire.Closes()); len(all) != want {
		t.Errorf("%d codes, want %d", len(all), want)
	}
	if r := carillon(t, "explain", "slow", "--no-json").want(t, exitOK); !strings.HasPrefix(r.out, "slow 4108  may be tried again\n  ") {
		t.Error(r.out)
	}
}

// TestHelpTeaches: every command has a sentence, two examples and its environment.
func TestHelpTeaches(t *testing.T) {
	all := carillon(t, "--help").want(t, exitOK)
	if bare := carillon(t).want(t, exitOK); bare.out != all.out {
		t.Error("without arguments the help is another one")
	}
	for _, text := range []string{"CARILLON_CONFIG", "CARILLON_SECRET_FILE", "CARILLON_URL", "CARILLON_TOKEN", "CARILLON_TOKEN_FILE", "NO_COLOR", "Exit codes:", "carillon dev"} {
		if !strings.Contains(all.out, text) {
			t.Errorf("--help lacks %s", text)
		}
	}
	for _, name := range []string{"dev", "serve", "sub", "pub", "history", "token create", "token check", "config check", "explain", "echo", "completion", "man", "version"} {
		if !strings.Contains(all.out, "  "+name+" ") {
			t.Errorf("--help lacks %s", name)
		}
		help := carillon(t, append(strings.Fields(name), "--help")...).want(t, exitOK).out
		_, examples, found := strings.Cut(help, "Examples:")
		if !found || strings.Count(examples, "carillon "+name) < 2 {
			t.Errorf("the help of %s has less than two examples:\n%s", name, help)
		}
		if strings.Contains(help, canary) {
			t.Error("help prints a secret")
		}
	}
	if strings.Contains(all.out, "\x1b") {
		t.Error("colours without a terminal")
	}
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"plain ü 漢 🎲": "plain ü 漢 🎲", "a\x1b[31mb": `a\u001b[31mb`, "x\u202ey": `x\u202ey`, "a\nb\tc": "a b c",
		"\x7f\u009b": `\u007f\u009b`, "\U000e0001": `\U000e0001`,
	} {
		if got := printable(in); got != want {
			t.Errorf("printable(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestShortened(t *testing.T) {
	for in, want := range map[string]string{
		"guest-4f0cabcdefgh": "guest-4f0cab…", "guest-4f0cab": "guest-4f0cab", "ann-with-a-very-long-name": "ann-with-a-very-long-name", "": "",
	} {
		if got := shortened(in); got != want {
			t.Errorf("shortened(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestReadLine(t *testing.T) {
	long := strings.Repeat("x", maxLine)
	r := bufio.NewReaderSize(strings.NewReader("a\r\n\n"+long+"\n"+long+"y\nlast"), 64<<10)
	for i, want := range []string{"a", "", long, "", "last"} {
		got, err := readLine(r)
		if i == 3 {
			if !errors.Is(err, errLongLine) {
				t.Errorf("a line of %d bytes: %v", maxLine+1, err)
			}
			continue
		}
		if !bytes.Equal(got, []byte(want)) {
			t.Errorf("line %d has %d bytes, want %d (%v)", i, len(got), len(want), err)
		}
	}
}

func TestGrouped(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		if got := grouped(n); got != want {
			t.Errorf("grouped(%d) = %s, want %s", n, got, want)
		}
	}
}
