package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"carillon/channel"
	"carillon/gateway/auth"
)

func TestTokenCreate(t *testing.T) {
	env := []string{"CARILLON_SECRET_FILE=" + secretFile(t)}
	create := func(args ...string) result {
		return call{args: append([]string{"token", "create"}, args...), env: env}.run(t)
	}
	r := create("--user", "ann", "--can", "publish,history", "--channel", "games:*", "--deny", "games:secret", "--ttl", "30m").want(t, exitOK)
	if strings.Count(r.out, "\n") != 1 || r.err != "" {
		t.Errorf("not the token alone: %q %q", r.out, r.err)
	}
	keys, err := auth.NewKeys([]byte(canary), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	id, err := keys.Verify(strings.TrimSpace(r.out))
	if err != nil || id.User != "ann" {
		t.Fatalf("%v %v", id, err)
	}
	for _, c := range []struct {
		what auth.Action
		name channel.Name
		may  bool
	}{
		{auth.Publish, "games:a", true}, {auth.History, "games:a", true}, {auth.Subscribe, "games:a", false},
		{auth.Publish, "games:secret", false}, {auth.Publish, "chat:a", false},
	} {
		if got := auth.Decide(id, c.what, c.name) == nil; got != c.may {
			t.Errorf("%+v: %v", c, got)
		}
	}
	create("--user", "ann", "--ttl", "25h").want(t, exitUsage, "24h")
	create("--user", "ann", "--can", "dance").want(t, exitUsage, "unknown action", "subscribe, publish")
	create("--user", "an n").want(t, exitUsage, "user id")
	create("--user", "ann", "--channel", "a*b").want(t, exitUsage, "pattern")
	many := []string{"--user", "ann"}
	for i := range 60 {
		many = append(many, "--channel", fmt.Sprintf("c%0100d", i))
	}
	create(many...).want(t, exitUsage, "longer than 4096 bytes")
	carillon(t, "token", "create", "--user", "ann").want(t, exitFailed, "CARILLON_SECRET_FILE is not set")
}

// TestTokenEndToEnd goes the way of a fresh installation: secret, token, serve, talk.
func TestTokenEndToEnd(t *testing.T) {
	env := []string{"CARILLON_SECRET_FILE=" + secretFile(t)}
	token := func(args ...string) string {
		return strings.TrimSpace(call{args: append([]string{"token", "create"}, args...), env: env}.run(t).want(t, exitOK).out)
	}
	server, url := startServer(t, call{args: []string{"serve"}, env: env})
	ann, reader := token("--user", "ann", "--channel", "chat:*"), token("--user", "bob", "--can", "subscribe")
	sub := call{args: []string{"sub", "chat:lobby", "--count", "1", "--url", url}, env: []string{"CARILLON_TOKEN_FILE=" + writeFile(t, "token", reader+"\n")}}.start(t)
	sub.awaitErr("listening to chat:lobby as bob")
	call{args: []string{"pub", "chat:lobby", "1", "--url", url}, env: []string{"CARILLON_TOKEN=" + ann}}.run(t).want(t, exitOK)
	if m := sub.object(); m["user"] != "ann" || m["data"] != 1.0 {
		t.Errorf("record: %v", m)
	}
	for _, c := range []struct {
		args []string
		env  []string
		code int
		say  []string
	}{
		{[]string{"pub", "chat:lobby", "1"}, nil, exitRefused, []string{"unauthorized", "CARILLON_TOKEN", "carillon token create"}},
		{[]string{"pub", "chat:lobby", "1"}, []string{"CARILLON_TOKEN=" + ann + "x"}, exitRefused, []string{"unauthorized"}},
		{[]string{"pub", "chat:lobby", "1"}, []string{"CARILLON_TOKEN=" + reader}, exitRefused, []string{"does not allow publish", "forbidden"}},
		{[]string{"sub", "games:a"}, []string{"CARILLON_TOKEN=" + ann}, exitRefused, []string{"does not allow subscribe"}},
		{[]string{"history", "games:a"}, []string{"CARILLON_TOKEN=" + ann}, exitRefused, []string{"does not allow history"}},
		{[]string{"sub", "a"}, []string{"CARILLON_TOKEN=x", "CARILLON_TOKEN_FILE=y"}, exitUsage, []string{"both"}},
		{[]string{"sub", "a"}, []string{"CARILLON_TOKEN_FILE=" + t.TempDir() + "/none"}, exitFailed, []string{"cannot read the token"}},
		{[]string{"sub", "a"}, []string{"CARILLON_TOKEN_FILE=" + writeFile(t, "empty", "\n")}, exitFailed, []string{"holds no token"}},
	} {
		r := call{args: append(c.args, "--url", url), env: c.env}.run(t).want(t, c.code, c.say...)
		for _, secret := range []string{canary, ann, reader} {
			if strings.Contains(r.out+r.err, secret) {
				t.Errorf("%v prints a credential:\n%s%s", c.args, r.out, r.err)
			}
		}
	}
	server.signal(os.Interrupt)
	if text := server.errs.String(); strings.Contains(text, canary) || strings.Contains(text, ann) || strings.Contains(text, reader) {
		t.Errorf("the server's log holds a credential:\n%s", text)
	}
}

// TestCanary: whatever fails while a secret or a token is at hand, neither is printed.
func TestCanary(t *testing.T) {
	token := "eyJ-" + canary
	env := []string{"CARILLON_SECRET_FILE=" + secretFile(t), "CARILLON_TOKEN=" + token}
	for _, args := range [][]string{
		{"serve", "--listen", "256.0.0.1:1"}, {"serve", "--listen", "nonsense"}, {"serve", "--durable", "x"}, {"serve", "--nonsense"},
		{"serve", "--data", writeFile(t, "file", ""), "--listen", "127.0.0.1:0"}, {"dev", "--listen", "0.0.0.0:0"},
		{"token", "create"}, {"token", "create", "--user", ""}, {"token", "create", "--user", "a", "--ttl", "-1s"}, {"token"},
		{"sub", "a", "--url", "ws://127.0.0.1:1/?token=" + token}, {"pub", "a", "1", "--url", "ws://127.0.0.1:1"},
		{"history", "a", "--url", "://" + token}, {"sub", "a", "--url", "ws://" + token + "@127.0.0.1:1/"},
		{"echo", "--listen", "256.0.0.1:1"},
	} {
		r := call{args: args, env: env}.run(t)
		if r.code == exitOK || strings.Contains(r.out+r.err, canary) {
			t.Errorf("%v: exit code %d, prints\n%s%s", args[:2], r.code, r.out, r.err)
		}
	}
}

// TestTokenCheck: the verdict is the server's, the signature is not repeated, and a token is never taken from an argument.
func TestTokenCheck(t *testing.T) {
	env := []string{"CARILLON_SECRET_FILE=" + secretFile(t)}
	token := strings.TrimSpace(call{args: []string{"token", "create", "--user", "ann", "--channel", "chat:*"}, env: env}.run(t).want(t, exitOK).out)
	signature := token[strings.LastIndexByte(token, '.')+1:]
	for name, c := range map[string]call{
		"standard input": {env: env, in: token + "\n"},
		"variable":       {env: append(env, "CARILLON_TOKEN="+token)},
		"file":           {env: append(env, "CARILLON_TOKEN_FILE="+writeFile(t, "token", token))},
	} {
		c.args = []string{"token", "check"}
		r := c.run(t).want(t, exitOK)
		if m := parse(t, r.out); m["accepted"] != true || m["user"] != "ann" || m["kind"] != "connect" {
			t.Errorf("%s: %s", name, r.out)
		}
		if strings.Contains(r.out+r.err, signature) || strings.Contains(r.out+r.err, canary) {
			t.Errorf("%s: prints the signature or the key:\n%s%s", name, r.out, r.err)
		}
	}
	r := call{args: []string{"token", "check", "--no-json"}, env: env, in: token}.run(t).want(t, exitOK)
	if !strings.Contains(r.out, "verdict   accepted") || !strings.Contains(r.out, "chat:*") {
		t.Errorf("for people:\n%s", r.out)
	}
	call{args: []string{"token", "check"}, env: env, in: token[:len(token)-4] + "AAAA"}.run(t).want(t, exitRefused, "refuses the token")
	call{args: []string{"token", "check"}, env: env, in: "nonsense"}.run(t).want(t, exitRefused)
	call{args: []string{"token", "check"}, env: env, in: strings.Repeat("x", 1<<20)}.run(t).want(t, exitRefused)
	r = call{args: []string{"token", "check"}, in: token}.run(t).want(t, exitFailed, "nothing here proves")
	if m := parse(t, r.out); m["accepted"] != false || m["user"] != "ann" {
		t.Errorf("without a key: %s", r.out)
	}
	call{args: []string{"token", "check"}, env: env, in: " \n"}.run(t).want(t, exitUsage, "no token")
	call{args: []string{"token", "check", token}, env: env}.run(t).want(t, exitUsage, "unexpected argument")
}
