package node_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"carillon/node"
	"carillon/observe"

	"github.com/coder/websocket"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
)

// figures are the metrics of a node as a scraper reads them.
type figures map[string]*dto.MetricFamily

func scrape(t testing.TB, n *node.Node) figures {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+n.InternalAddress()+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("scrape: %s", resp.Status)
	}
	all := figures{}
	for d := expfmt.NewDecoder(resp.Body, expfmt.ResponseFormat(resp.Header)); ; {
		f := new(dto.MetricFamily)
		if err := d.Decode(f); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all[f.GetName()] = f
	}
}

// of adds up the series of a metric that have these values of labels; of a histogram the counts.
func (f figures) of(m *observe.Metric, values ...string) (sum float64) {
	for _, s := range f[m.Name].GetMetric() {
		all := true
		for _, v := range values {
			all = all && slices.ContainsFunc(s.GetLabel(), func(l *dto.LabelPair) bool { return l.GetValue() == v })
		}
		if all {
			sum += s.GetCounter().GetValue() + s.GetGauge().GetValue() + float64(s.GetHistogram().GetSampleCount())
		}
	}
	return sum
}

// series is how many there are of Carillon's own.
func (f figures) series() (n int) {
	for name, family := range f {
		if strings.HasPrefix(name, "carillon_") {
			n += len(family.GetMetric())
		}
	}
	return n
}

// settle scrapes until the figures are as they must be: what a client has seen may be counted a moment later.
func settle(t testing.TB, n *node.Node, wrong func(figures) string) {
	t.Helper()
	for until := time.Now().Add(10 * time.Second); ; {
		text := wrong(scrape(t, n))
		if text == "" {
			return
		}
		if time.Now().After(until) {
			t.Fatal(text)
		}
	}
}

func observed(o *node.Options) { o.Internal = "127.0.0.1:0" }

// TestEveryMetricHasASource: what the catalogue lists is shown by a node, with a store and without.
func TestEveryMetricHasASource(t *testing.T) {
	for name, change := range map[string]func(*node.Options){
		"memory": observed,
		"store": func(o *node.Options) {
			observed(o)
			o.Data, o.Durable = filepath.Join(t.TempDir(), "data"), []string{"kept"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			n := startNode(t, change)
			if unread := n.Metrics().Unread(observe.Catalogue()); len(unread) > 0 {
				t.Errorf("nothing is read for %v", unread)
			}
			shown := scrape(t, n)
			for _, m := range observe.Catalogue() {
				if shown[m.Name] == nil {
					t.Errorf("%s is not shown", m.Name)
				}
			}
		})
	}
}

// TestFiguresAddUp: what clients say and hear is what the node counts.
func TestFiguresAddUp(t *testing.T) {
	n := startNode(t, func(o *node.Options) {
		observed(o)
		o.Data, o.Durable = filepath.Join(t.TempDir(), "data"), []string{"kept"}
	})
	const plain, durable, pointers, own = 640, 64, 50, 30
	publisher := join(t, n)
	publisher.say(`{"type":"subscribe","id":2,"channel":"demo:a"}`)
	publisher.expect("reply")
	listeners := []*talker{join(t, n), join(t, n)}
	for _, k := range listeners {
		k.say(`[{"type":"subscribe","id":2,"channel":"demo:a"},{"type":"subscribe","id":3,"channel":"kept:a"}]`)
		k.expect("reply")
		k.expect("reply")
	}
	id := 10
	publish := func(rest string) {
		id++
		publisher.say(fmt.Sprintf(`{"type":"publish","id":%d,"idem":"i%d",%s}`, id, id, rest))
		for publisher.hear()["id"] != float64(id) {
		}
	}
	for i := range plain {
		publish(fmt.Sprintf(`"channel":"demo:a","data":%d`, i))
	}
	for i := range own {
		publish(fmt.Sprintf(`"channel":"demo:a","echo":false,"data":%d`, i))
	}
	for i := range durable {
		publish(fmt.Sprintf(`"channel":"kept:a","data":%d`, i))
	}
	// A resend is answered, and is no new record.
	publisher.say(`{"type":"publish","id":9,"idem":"i11","channel":"demo:a","data":0}`)
	for publisher.hear()["id"] != 9.0 {
	}
	heard := map[string]int{}
	for _, k := range listeners {
		for range plain + own + durable {
			heard[fmt.Sprint(k.expect("record")["class"])]++
		}
	}
	for i := range pointers {
		publish(fmt.Sprintf(`"channel":"demo:a","class":"fleeting","data":%d`, i))
	}
	publisher.say(`{"type":"subscribe","id":5,"channel":"demo x"}`)
	for publisher.hear()["code"] != "bad_channel" {
	}

	out := float64(2*(plain+own+durable) + plain)
	settle(t, n, func(f figures) string {
		for _, c := range []struct {
			m      *observe.Metric
			values []string
			want   float64
		}{
			{observe.Connections, []string{"ws", "json"}, 3},
			{observe.ConnectionsOpened, []string{"ws"}, 3},
			{observe.Strangers, nil, 0},
			{observe.Requests, []string{"publish"}, plain + own + durable + pointers + 1},
			{observe.Requests, []string{"subscribe"}, 5},
			{observe.Requests, []string{"connect"}, 3},
			{observe.RecordsIn, []string{"logged"}, plain + own + durable},
			{observe.RecordsIn, []string{"fleeting"}, pointers},
			{observe.RecordsOut, []string{"logged"}, out},
			{observe.Errors, []string{"bad_channel"}, 1},
			{observe.Errors, nil, 1},
			{observe.CommitFailures, nil, 0},
			{observe.Cursors, nil, 5},
			{observe.Rooms, nil, 2},
			{observe.FanoutQueueLength, nil, 0},
			{observe.CursorLag, []string{"max"}, 0},
		} {
			if got := f.of(c.m, c.values...); got != c.want {
				return fmt.Sprintf("%s%v is %v, want %v (heard %v)", c.m.Name, c.values, got, c.want, heard)
			}
		}
		if got := f.of(observe.RecordsOut, "fleeting") + f.of(observe.RecordsDropped, "fleeting", "behind"); got != 3*pointers {
			return fmt.Sprintf("%v fleeting records went out or were skipped, want %d", got, 3*pointers)
		}
		for _, m := range []*observe.Metric{
			observe.BytesIn, observe.BytesOut, observe.Visits, observe.Encoded, observe.RingBytes, observe.RingBudget,
			observe.FanoutBusyTime, observe.PublishWrite, observe.PublishAck, observe.CommitTime,
		} {
			if f.of(m) == 0 {
				return m.Name + " is 0"
			}
		}
		if got := f.of(observe.CommitRecords, "sqlite"); got == 0 || got > durable {
			return fmt.Sprintf("%v commits of %d records", got, durable)
		}
		return ""
	})
	_ = publisher.conn.Close(websocket.StatusNormalClosure, "")
	_ = listeners[0].conn.CloseNow()
	_ = listeners[1].conn.Close(4999, "words of a peer")
	settle(t, n, func(f figures) string {
		switch {
		case f.of(observe.Connections) != 0 || f.of(observe.Cursors) != 0:
			return fmt.Sprintf("%v connections and %v cursors are left", f.of(observe.Connections), f.of(observe.Cursors))
		case f.of(observe.ConnectionsEnded, "client") != 2 || f.of(observe.ConnectionsEnded, "broken") != 1:
			return fmt.Sprint("ended: ", f[observe.ConnectionsEnded.Name])
		}
		return ""
	})
}

// TestResumesAndRefusalsAreCounted: each outcome of a resume, and each reason to refuse a handshake that a client can bring about.
func TestResumesAndRefusalsAreCounted(t *testing.T) {
	n := startNode(t, func(o *node.Options) {
		observed(o)
		o.Policies = smallRings
		o.Limits.PerAddress = 4
	})
	a := join(t, n)
	a.say(`{"type":"subscribe","id":2,"channel":"demo:r"}`)
	at := a.expect("reply")["at"].(string)
	for i := range 3 {
		a.say(fmt.Sprintf(`{"type":"publish","id":%d,"channel":"demo:r","data":1}`, i+3))
		for a.hear()["id"] != float64(i+3) {
		}
	}
	a.say(`{"type":"unsubscribe","id":9,"channel":"demo:r"}`)
	for a.hear()["id"] != 9.0 {
	}
	b, c := join(t, n), join(t, n)
	b.say(`{"type":"subscribe","id":2,"channel":"demo:r","at":"` + at + `"}`)
	if m := b.expect("reply"); m["recovered"] != true {
		t.Fatal(m)
	}
	for i := range 30 {
		a.say(fmt.Sprintf(`{"type":"publish","id":%d,"channel":"demo:r","data":1}`, i+20))
		a.expect("reply")
	}
	c.say(`{"type":"subscribe","id":2,"channel":"demo:r","at":"` + at + `"}`)
	if m := c.expect("reply"); m["recovered"] == true {
		t.Fatal(m)
	}
	refuse := func(o *websocket.DialOptions) {
		if conn, _, err := websocket.Dial(t.Context(), n.URL(), o); err == nil {
			_ = conn.CloseNow()
			t.Fatal("a handshake that must be refused was not")
		}
	}
	refuse(&websocket.DialOptions{HTTPHeader: http.Header{"Origin": {"https://elsewhere.example"}}})
	refuse(&websocket.DialOptions{Subprotocols: []string{"dance"}})
	join(t, n)
	refuse(nil)
	settle(t, n, func(f figures) string {
		for _, want := range []struct {
			m     *observe.Metric
			value string
		}{
			{observe.Resumes, "continued"}, {observe.Resumes, "gap"},
			{observe.HandshakesRefused, "origin"}, {observe.HandshakesRefused, "malformed"}, {observe.HandshakesRefused, "address_open"},
			{observe.Limited, "address_open"},
		} {
			if got := f.of(want.m, want.value); got != 1 {
				return fmt.Sprintf("%s{%s} is %v", want.m.Name, want.value, got)
			}
		}
		if f.of(observe.Gaps) == 0 || f.of(observe.Resumes) != 2 {
			return fmt.Sprint(f[observe.Gaps.Name], f[observe.Resumes.Name])
		}
		return ""
	})
}

// TestSeriesAreBounded: ten thousand channels and many users with hostile names make no series.
func TestSeriesAreBounded(t *testing.T) {
	n := startNode(t, observed)
	before := scrape(t, n).series()
	k := join(t, n)
	const all, batch = 10_000, 100
	for i := 0; i < all; i += batch {
		var say []string
		for j := range batch {
			say = append(say, fmt.Sprintf(`{"type":"publish","id":%d,"channel":"n%d:x-%d","data":1}`, j+2, i+j, i+j))
		}
		k.say("[" + strings.Join(say, ",") + "]")
		for range batch {
			k.hear()
		}
	}
	for i := range 100 {
		u := dial(t, n)
		u.say(fmt.Sprintf(`{"type":"connect","id":1,"name":"c%d","token":"guest-%d"}`, i, i))
		u.expect("connected")
		u.say(fmt.Sprintf(`[{"type":"subscribe","id":2,"channel":"u%d:x"},{"type":"nonsense%d","id":3}]`, i, i))
		u.hear()
		_ = u.conn.Close(websocket.StatusCode(3000+i), fmt.Sprintf("why %d", i))
	}
	settle(t, n, func(f figures) string {
		switch {
		case f.series() != before:
			return fmt.Sprintf("%d series, %d before", f.series(), before)
		case f.of(observe.Requests) < all:
			return fmt.Sprintf("%v requests", f.of(observe.Requests))
		}
		return ""
	})
}
