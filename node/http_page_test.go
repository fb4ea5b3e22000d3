package node_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"carillon/api"
	"carillon/gateway/auth"
	"carillon/node"
)

// shellWords takes a shell line apart: blanks, quotes, and variables outside of single quotes.
func shellWords(line string, vars map[string]string) (words []string) {
	var word strings.Builder
	open, quote := false, byte(0)
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case quote == 0 && (c == ' ' || c == '\n'):
			if open {
				words = append(words, word.String())
				word.Reset()
				open = false
			}
		case c == quote:
			quote = 0
		case quote == 0 && (c == '\'' || c == '"'):
			quote, open = c, true
		case c == '$' && quote != '\'':
			n := i + 1
			for n < len(line) && line[n] >= 'A' && line[n] <= 'Z' {
				n++
			}
			word.WriteString(vars[line[i+1:n]])
			i = n - 1
		default:
			open = true
			word.WriteByte(c)
		}
	}
	if open {
		words = append(words, word.String())
	}
	return words
}

// curl does what the tool of that name would, for the options that the page uses.
func curl(t *testing.T, args []string, hosts *strings.Replacer) string {
	t.Helper()
	method, url, body, header := "", "", "", http.Header{}
	for i := 1; i < len(args); i++ {
		switch a := args[i]; a {
		case "-s":
		case "-X", "-H", "-d":
			i++
			switch a {
			case "-X":
				method = args[i]
			case "-H":
				name, value, _ := strings.Cut(args[i], ": ")
				header.Add(name, value)
			case "-d":
				body = args[i]
			}
		default:
			if strings.HasPrefix(a, "-") || url != "" {
				t.Fatalf("the page uses curl %q, which the test does not know", a)
			}
			url = hosts.Replace(a)
		}
	}
	if method == "" {
		if method = "GET"; body != "" {
			method = "POST"
		}
	}
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = header
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func likenessOf(t *testing.T, text string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return likeness(v, "")
}

// likeness replaces what differs from run to run by its name.
func likeness(v any, name string) any {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			v[k] = likeness(v[k], k)
		}
	case []any:
		for i := range v {
			v[i] = likeness(v[i], name)
		}
	case string:
		if slices.Contains([]string{"at", "before", "after", "head", "next", "token", "id", "node", "remote", "epoch"}, name) || strings.HasPrefix(v, "guest-") {
			return "(some " + name + ")"
		}
	case float64:
		if slices.Contains([]string{"time", "since", "active", "until"}, name) {
			return "(some " + name + ")"
		}
	}
	return v
}

// TestHTTPPage runs the examples of docs/http-api.md against a node, and finds each answer to be like the one printed there.
func TestHTTPPage(t *testing.T) {
	n := startNode(t, func(o *node.Options) { withTokens(o); o.Dev, o.Services = true, []string{"chess"} })
	page, err := os.ReadFile("../docs/http-api.md")
	if err != nil {
		t.Fatal(err)
	}
	keys, err := auth.NewKeys([]byte(secret), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	token, err := keys.Sign("ann", []auth.Capability{{Channels: []string{"chat:*"}, Can: []string{"subscribe", "history"}}}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	k := dial(t, n)
	k.say(fmt.Sprintf(`{"type":"connect","id":1,"token":%q}`, token))
	k.expect("connected")
	k.say(`{"type":"subscribe","id":2,"channel":"chat:lobby"}`)
	k.expect("reply")
	hosts := strings.NewReplacer("http://127.0.0.1:8000", "http://"+n.Address(), "http://127.0.0.1:8001", "http://"+n.InternalAddress())
	vars := map[string]string{"KEY": serverKey, "TOKEN": token}
	var said string
	runs, compared := 0, 0
	for i, block := range strings.Split(string(page), "```") {
		kind, text, _ := strings.Cut(block, "\n")
		switch {
		case i%2 == 0:
		case kind == "sh":
			for line := range strings.SplitSeq(strings.ReplaceAll(strings.TrimSpace(text), "\\\n", ""), "\n") {
				said = curl(t, shellWords(line, vars), hosts)
				if runs++; !strings.HasPrefix(said, "{") {
					t.Errorf("%s\nanswers %s", line, said)
				}
			}
		case kind == "json":
			want, got := likenessOf(t, text), likenessOf(t, said)
			if compared++; !reflect.DeepEqual(got, want) {
				t.Errorf("the page says\n%v\nthe server\n%v", want, got)
			}
		default:
			t.Errorf("a block of kind %q is not run", kind)
		}
	}
	if runs < 12 || compared < 10 {
		t.Errorf("only %d commands and %d answers were found", runs, compared)
	}
	var document struct{ Paths map[string]any }
	if err := json.Unmarshal(api.Document(), &document); err != nil {
		t.Fatal(err)
	}
	for path := range document.Paths {
		if name := strings.Split(strings.TrimPrefix(path, "/api/"), "/")[0]; !strings.Contains(string(page), "/api/"+name) {
			t.Errorf("the page says nothing of %s", path)
		}
	}
}

func TestShellWords(t *testing.T) {
	if got := fmt.Sprintf("%q", shellWords(`a 'b $X "c"'  "d $X" $X-e`, map[string]string{"X": "1"})); got != `["a" "b $X \"c\"" "d 1" "1-e"]` {
		t.Error(got)
	}
}
