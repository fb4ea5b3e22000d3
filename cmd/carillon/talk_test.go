package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// exchange sends one text message and returns the answer.
func exchange(t testing.TB, url, text string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.CloseNow() }()
	if err := conn.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
		return "", err
	}
	_, b, err := conn.Read(ctx)
	return string(b), err
}

func TestPubSubHistory(t *testing.T) {
	_, url := startDev(t)
	sub := call{args: []string{"sub", "demo:a", "demo:b", "--count", "3", "--url", url}}.start(t)
	sub.awaitErr("listening to demo:a, demo:b as guest-")
	for i, c := range [][]string{{"demo:a", `{"n": 1}`}, {"demo:b", "--text", "two <&> “quoted”"}, {"demo:a", "null"}} {
		r := carillon(t, append([]string{"pub", "--url", url}, c...)...).want(t, exitOK)
		ack := parse(t, r.out)
		if ack["channel"] != c[0] || ack["ack"] != "appended:memory" || ack["at"] == "" || ack["id"] == "" {
			t.Errorf("acknowledgement %d: %v", i, ack)
		}
		m := sub.object()
		if m["channel"] != c[0] || m["at"] != ack["at"] || m["offset"] != ack["offset"] || m["user"] == nil || m["time"].(float64) < 1e12 {
			t.Errorf("record %d: %v, acknowledged %v", i, m, ack)
		}
		if want := []string{"map[n:1]", "two <&> “quoted”", "<nil>"}[i]; fmt.Sprint(m["data"]) != want {
			t.Errorf("record %d: data is %v, want %s", i, m["data"], want)
		}
	}
	if code := sub.wait(); code != exitOK {
		t.Errorf("sub ended with %d: %s", code, sub.errs)
	}
	sub.awaitErr("3 records in")
	r := carillon(t, "history", "demo:a", "--url", url, "--no-json").want(t, exitOK)
	if got := lines(r.out); len(got) != 2 || !strings.HasSuffix(got[0], `  {"n":1}`) || !strings.Contains(got[1], "    2  guest-") {
		t.Errorf("history for people:\n%s", r.out)
	}
}

func TestSubFromAPosition(t *testing.T) {
	_, url := startDev(t)
	pub := call{args: []string{"pub", "demo:a", "--url", url}, in: "1\n2\n3\n4\n5\n"}.run(t).want(t, exitOK)
	if m := parse(t, pub.out); m["published"] != 5.0 {
		t.Fatal(m)
	}
	r := carillon(t, "sub", "demo:a", "--rewind", "2", "--count", "2", "--url", url).want(t, exitOK)
	got := lines(r.out)
	if len(got) != 2 || parse(t, got[0])["data"] != 4.0 {
		t.Fatalf("rewind: %s", r.out)
	}
	at := parse(t, got[0])["at"].(string)
	r = carillon(t, "sub", "demo:a", "--after", at, "--count", "1", "--url", url).want(t, exitOK)
	if m := parse(t, strings.TrimSpace(r.out)); m["data"] != 5.0 {
		t.Errorf("after: %v", m)
	}
	r = carillon(t, "history", "demo:a", "--before", at, "--limit", "2", "--url", url).want(t, exitOK, "there is more", "--before ")
	if got := lines(r.out); len(got) != 2 || parse(t, got[0])["data"] != 2.0 || parse(t, got[1])["data"] != 3.0 {
		t.Errorf("before: %s", r.out)
	}
	r = carillon(t, "history", "demo:a", "--after", at, "--url", url).want(t, exitOK)
	if got := lines(r.out); len(got) != 1 || parse(t, got[0])["data"] != 5.0 {
		t.Errorf("history after: %s", r.out)
	}
	carillon(t, "history", "demo:a", "--forward", "--limit", "1", "--url", url).want(t, exitOK, "there is more", "--after ")
}

func TestSubIsInterrupted(t *testing.T) {
	_, url := startDev(t)
	sub := call{args: []string{"sub", "demo:a", "--url", url}}.start(t)
	sub.awaitErr("listening")
	if code := sub.signal(os.Interrupt); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	sub.awaitErr("0 records in")
}

// TestSubOutlivesServer: the server is killed and comes back on its port; nothing is lost of a durable channel.
func TestSubOutlivesServer(t *testing.T) {
	args := []string{"--data", t.TempDir(), "--durable", "keep"}
	server, url := startDev(t, args...)
	sub := call{args: []string{"sub", "keep:a", "lose:a", "--count", "2", "--url", url}}.start(t)
	sub.awaitErr("listening")
	carillon(t, "pub", "keep:a", "1", "--url", url).want(t, exitOK)
	if m := sub.object(); m["data"] != 1.0 {
		t.Fatal(m)
	}
	server.kill()
	sub.awaitErr("trying again")
	startDev(t, append(args, "--listen", strings.TrimSuffix(strings.TrimPrefix(url, "ws://"), "/ws"))...)
	sub.awaitErr("gap in lose:a: its log was lost and began anew")
	carillon(t, "pub", "keep:a", "2", "--url", url).want(t, exitOK)
	if m := sub.object(); m["data"] != 2.0 {
		t.Fatal(m)
	}
	if code := sub.wait(); code != exitOK {
		t.Errorf("exit code %d: %s", code, sub.errs)
	}
	sub.awaitErr("connected again")
}

func TestPubLines(t *testing.T) {
	_, url := startDev(t)
	pub := func(in string, args ...string) result {
		return call{args: append([]string{"pub", "demo:l", "--url", url}, args...), in: in}.run(t)
	}
	r := pub("a\n\nb\r\n\n\nc", "--text").want(t, exitOK, "3 lines published to demo:l, 3 empty skipped")
	if m := parse(t, r.out); m["published"] != 3.0 || m["skipped"] != 3.0 || m["refused"] != 0.0 {
		t.Errorf("summary: %v", m)
	}
	r = pub("1\n\noops\n{\"n\":\n2\n").want(t, exitRefused, "line 3: the body is no JSON", "line 4:", "the first is line 3")
	if m := parse(t, r.out); m["published"] != 2.0 || m["refused"] != 2.0 {
		t.Errorf("summary: %v", m)
	}
	pub("\n[Event \"x\"]\n").want(t, exitUsage, "line 2: the body is no JSON", "--text")
	pub("a\n\xff\nb", "--text").want(t, exitRefused, "line 2: the body is no UTF-8 text", "iconv")
	pub("a\n"+strings.Repeat("x", 80<<10)+"\nb", "--text").want(t, exitRefused, "line 2: refused", "too_large")
	pub("a\n"+strings.Repeat("x", 2<<20)+"\nb", "--text").want(t, exitRefused, "line 2: it is longer than 1048576 bytes")
	pub("").want(t, exitOK, "0 lines published")
	r = carillon(t, "history", "demo:l", "--all", "--url", url).want(t, exitOK)
	var got []string
	for _, line := range lines(r.out) {
		got = append(got, fmt.Sprint(parse(t, line)["data"]))
	}
	if want := "a b c 1 2 a b a b a b"; strings.Join(got, " ") != want {
		t.Errorf("the channel has %v, want %s", got, want)
	}
}

func TestPubIsIdempotent(t *testing.T) {
	_, url := startDev(t)
	secret := []string{"CARILLON_TOKEN=guest-thesame"}
	pub := func(body string) result {
		return call{args: []string{"pub", "demo:i", body, "--id", "one", "--url", url}, env: secret}.run(t)
	}
	first, again := pub("1").want(t, exitOK), pub("1").want(t, exitOK)
	if parse(t, first.out)["at"] != parse(t, again.out)["at"] {
		t.Errorf("published twice: %s %s", first.out, again.out)
	}
	pub("2").want(t, exitRefused, "id_reuse")
	call{args: []string{"pub", "demo:i", "--id", "x", "--url", url}}.run(t).want(t, exitUsage, "--id is the id of one record")
}

func TestWrongArguments(t *testing.T) {
	for _, c := range []struct {
		args []string
		say  string
		next string
	}{
		{[]string{"pub", "demo:a", "hello"}, "the body is no JSON: hello", "--text"},
		{[]string{"pub", "demo:a", "--text", ""}, "the body is empty", ""},
		{[]string{"pub", "demo a", "1"}, "no channel name", "chat:lobby"},
		{[]string{"sub"}, "channel", "carillon sub --help"},
		{[]string{"sub", "demo:a", "--rewind", "1001"}, "--rewind is 0 to 1000", "history"},
		{[]string{"sub", "demo:a", "--count=-1"}, "--count is negative", ""},
		{[]string{"sub", "a", "b", "--after", "x"}, "one channel, and 2 are named", ""},
		{[]string{"sub", "a", "--after", "x!"}, "is no position", "'at'"},
		{[]string{"history", "a", "--limit", "0"}, "--limit is 1 to 1000", "--all"},
		{[]string{"history", "a", "--before", "x", "--all"}, "--before reads backwards", ""},
		{[]string{"sub", "a", "--url", "ftp://x/"}, "begins with ftp://", "ws://127.0.0.1:8000/ws"},
		{[]string{"sub", "a", "--url", "ws://ann:pw@x/"}, "holds a user or a password", "CARILLON_TOKEN"},
		{[]string{"sub", "a", "--wait=-1s"}, "--wait is negative", ""},
		{[]string{"explain", "nonsense"}, "no code", "carillon explain"},
		{[]string{"dance"}, "dance", "carillon --help"},
		{[]string{"token", "create"}, "--user", "carillon token create --help"},
	} {
		r := carillon(t, c.args...).want(t, exitUsage, c.say, c.next)
		if r.out != "" || !strings.HasPrefix(r.err, "carillon: ") {
			t.Errorf("%v: stdout %q, stderr %q", c.args, r.out, r.err)
		}
	}
}

func TestSubscribedTwice(t *testing.T) {
	_, url := startDev(t)
	carillon(t, "sub", "a", "a", "--url", url).want(t, exitUsage, "named twice")
}

func TestUnreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := l.Addr().String()
	_ = l.Close()
	for _, args := range [][]string{{"sub", "a"}, {"pub", "a", "1"}, {"history", "a"}, {"pub", "a", "1", "--wait", "50ms"}} {
		carillon(t, append(args, "--url", "ws://"+nobody+"/ws?token=hidden")...).
			want(t, exitUnreachable, "cannot reach ws://"+nobody+"/ws: connection refused", "carillon dev")
	}
	web := httptest.NewServer(http.NotFoundHandler())
	defer web.Close()
	carillon(t, "sub", "a", "--url", web.URL).want(t, exitUnreachable, "404", "--url")
}

func TestPubGivesUp(t *testing.T) {
	server, url := startDev(t)
	pub := call{args: []string{"pub", "a", "--wait", "100ms", "--url", url}}.command(t.Context())
	var errs guarded
	pub.Stderr, pub.Stdin = &errs, nil
	in, err := pub.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := pub.Start(); err != nil {
		t.Fatal(err)
	}
	sub := call{args: []string{"sub", "a", "--rewind", "1", "--count", "1", "--url", url}}.start(t)
	_, _ = fmt.Fprintln(in, 1)
	sub.line() // the line to the server is good
	server.kill()
	_ = pub.Wait() // its code is looked at
	if code := pub.ProcessState.ExitCode(); code != exitUnreachable || !strings.Contains(errs.String(), "--wait") {
		t.Errorf("exit code %d: %s", code, &errs)
	}
}
