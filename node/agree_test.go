package node_test

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"carillon/config"
	"carillon/internal/servertest"
	"carillon/node"
)

// TestAgreement: a node whose settings would write a channel into another journal than that of the others does not start
// beside them, and says what differs; what may differ does not keep it out.
func TestAgreement(t *testing.T) {
	s := &servers{redis: servertest.StartRedis(t, servertest.RedisNone...), postgres: servertest.StartPostgres(t)}
	for name, test := range map[string]func(*testing.T, *world){
		"refused": agreeRefused, "elsewhere": agreeElsewhere, "mixed": agreeMixed, "killed": agreeKilled, "configured": agreeConfigured,
		"at once": agreeAtOnce,
	} {
		w := s.world()
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, w)
		})
	}
}

// try starts a node of this world that may be refused.
func (w *world) try(t testing.TB, name string, changes ...func(*node.Options)) (*node.Node, error) {
	t.Helper()
	o := node.Options{Listen: "127.0.0.1:0", Dev: true, Version: "test", Log: quietly}
	w.all(name, changes)(&o)
	n, err := node.Start(t.Context(), o)
	if err == nil {
		t.Cleanup(func() { stopNode(t, n) })
	}
	return n, err
}

// wants fails the test unless an error says all of that.
func wants(t testing.TB, err error, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("the error is %v, and does not say %q", err, text)
		}
	}
}

// durably makes namespaces last.
func durably(names ...string) func(*node.Options) {
	return func(o *node.Options) { o.Durable = names }
}

// offering gives services, in all roles.
func offering(services ...string) func(*node.Options) {
	return func(o *node.Options) { o.Services = services }
}

func agreeRefused(t *testing.T, w *world) {
	w.node(t, "first", durably("b", "a"), offering("chat", "counter"))
	w.node(t, "alike", durably("a", "b", "a"), offering("counter", "chat"))
	w.node(t, "of chat", durably("a", "b", "chat"), offering("counter", "chat")) // services last anyhow
	_, err := w.try(t, "other", durably("a"), offering("counter", "chat"))
	wants(t, err, "the same durable namespaces", `this one has [a], node "`, `" has [a b]; stop that one first, or change this one`)
	_, err = w.try(t, "worker", durably("a", "b"), with(node.Roles{Worker: true}, "chat"))
	wants(t, err, `the same services: this one has [chat], node "`, `" has [chat counter]`)
	w.node(t, "after them", durably("a", "b"), offering("counter", "chat"), func(o *node.Options) {
		o.Limits.Connections, o.DrainWindow = 10, time.Second
	})
}

// Nodes that share a Redis and no database are refused, whatever is allowed.
func agreeElsewhere(t *testing.T, w *world) {
	mixed := func(o *node.Options) { o.AllowMixed = true }
	w.node(t, "here")
	dsn := w.postgres.Create(w.prefix + "_other")
	_, err := w.try(t, "there", mixed, func(o *node.Options) { o.Postgres = dsn })
	wants(t, err, "the same database (postgres.url)", `node "here"`)
	_, err = w.try(t, "without", mixed, func(o *node.Options) { o.Postgres, o.Durable = "", nil })
	wants(t, err, "the same database (postgres.url): this one has none", "the same durable namespaces")
	w.node(t, "by another name", func(o *node.Options) { o.Postgres += "&application_name=x" })
}

// What was allowed is told, and ends when all agree.
func agreeMixed(t *testing.T, w *world) {
	a := w.node(t, "old")
	b := w.node(t, "new", durably("news", "late"), func(o *node.Options) { o.AllowMixed = true })
	for n, other := range map[*node.Node]string{a: `node "new" has [late news]`, b: `node "old" has [news]`} {
		eventually(t, "each tells of the other", func() bool { return strings.Contains(settingsOf(t, n), other) })
		ask(t, n, "GET", "/readyz", "", 200)
	}
	stopNode(t, a)
	eventually(t, "all agree", func() bool { return settingsOf(t, b) == "" })
	w.node(t, "newer", durably("late", "news"))
}

// settingsOf is why readyz says that the settings are not well; "": they are.
func settingsOf(t testing.TB, n *node.Node) string {
	t.Helper()
	resp, err := http.Get("http://" + n.InternalAddress() + "/readyz?verbose")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var checks []struct {
		Name, Why    string
		OK, Degraded bool
	}
	if err := json.NewDecoder(resp.Body).Decode(&checks); err != nil {
		t.Fatal(err)
	}
	for _, c := range checks {
		if c.Name == "settings" {
			if c.OK == c.Degraded {
				t.Errorf("%+v", c)
			}
			return c.Why
		}
	}
	t.Fatalf("readyz looks at %v alone", checks)
	return ""
}

// Who was killed a moment ago keeps nobody out for long, and the log says what is waited for.
func agreeKilled(t *testing.T, w *world) {
	c := w.child(t, childSpec{Name: "killed", Durable: []string{"news", "more"}})
	c.kill()
	said := &spoken{}
	w.node(t, "next", func(o *node.Options) { o.Log = slog.New(slog.NewTextHandler(said, nil)) })
	if text := said.String(); strings.Count(text, "waiting to see whether it lives") != 1 || !strings.Contains(text, "[more news]") {
		t.Errorf("the log says:\n%s", text)
	}
}

// Nodes of a configuration say the same in the same words; what only they can say is that everything lasts.
func agreeConfigured(t *testing.T, w *world) {
	configured := func(text string) func(*node.Options) {
		l, err := config.Load(config.Sources{
			File: "c.yaml", Env: []string{"CARILLON_POSTGRES_URL=" + w.dsn}, ReadFile: func(string) ([]byte, error) { return []byte(text), nil },
			Flags: map[string]string{"redis.url": w.redis.URL(), "redis.prefix": w.prefix},
		})
		if err != nil {
			t.Fatal(err)
		}
		return func(o *node.Options) {
			from, err := node.FromConfig(&l.Config)
			if err != nil {
				t.Fatal(err)
			}
			from.Listen, from.Internal, from.Dev, from.Log, from.Name = o.Listen, "", true, o.Log, o.Name
			*o = from
		}
	}
	a := w.node(t, "flags", durably("a"))
	w.node(t, "file", configured(`namespaces: {a: {durable: true}, b: {max_body: 1KiB}}`))
	_, err := w.try(t, "all", configured(`namespaces: {default: {durable: true}, b: {durable: false, retention: {records: 100}}}`))
	wants(t, err, "this one has all but [b]")
	_, err = w.try(t, "more", configured(`namespaces: {a: {durable: true}, c: {durable: true}}`))
	wants(t, err, "this one has [a c]")
	if m := join(t, a).do(2, `"type":"publish","channel":"a:x","data":1`); m["ack"] != "durable" {
		t.Error(m)
	}
}

// Of nodes with different settings that start at the same moment, all that got in agree.
func agreeAtOnce(t *testing.T, w *world) {
	kinds := [][]string{{"one"}, {"two"}}
	got := make(chan int, 6)
	for i := range cap(got) {
		go func() {
			if _, err := w.try(t, "node", durably(kinds[i%len(kinds)]...)); err != nil {
				wants(t, err, "the same durable namespaces")
				got <- -1
				return
			}
			got <- i % len(kinds)
		}()
	}
	in := map[int]int{}
	for range cap(got) {
		in[<-got]++
	}
	if in[-1] != 3 || in[0]+in[1] != 3 || in[0] != 0 && in[1] != 0 {
		t.Errorf("how many got in, by their settings: %v; want 3 of one, and 3 refused", in)
	}
}
