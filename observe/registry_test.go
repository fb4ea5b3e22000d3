package observe

import (
	"flag"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"carillon/channel"
	"carillon/wire"
)

var update = flag.Bool("update", false, "write docs/metrics.md")

func TestDocument(t *testing.T) {
	const page = "../docs/metrics.md"
	want := Document(Catalogue())
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(page); err != nil || string(got) != want {
		t.Errorf("%s is not what the catalogue says (%v): run go test ./observe -run TestDocument -update", page, err)
	}
}

// wrong tells what is against the conventions of Prometheus, or ours.
func wrong(m *Metric) string {
	name := regexp.MustCompile(`^carillon_[a-z]+(_[a-z]+)*$`)
	switch total := strings.HasSuffix(m.Name, "_total"); {
	case !name.MatchString(m.Name):
		return "the name is malformed"
	case total != (m.Kind == KindCounter):
		return "counters, and they alone, end in _total"
	case m.Kind == KindHistogram && !strings.HasSuffix(m.Name, "_seconds") && !strings.HasSuffix(m.Name, "_records"):
		return "a histogram's name ends with its unit"
	case m.Help == "" || strings.HasSuffix(m.Help, ".") || strings.ContainsAny(m.Help, "|\n") || m.Help[0] < '0' || m.Help[0] > 'Z':
		return "the help is one sentence without its full stop"
	case strings.Contains(m.Name, "milli") || strings.Contains(m.Name, "_ms"):
		return "time is in seconds"
	}
	return ""
}

func TestCatalogueKeepsConventions(t *testing.T) {
	seen := map[string]bool{}
	for _, m := range Catalogue() {
		if text := wrong(m); text != "" || seen[m.Name] {
			t.Errorf("%s: %s (seen before: %v)", m.Name, text, seen[m.Name])
		}
		seen[m.Name] = true
	}
	for _, m := range []*Metric{
		{"carillon_x", KindCounter, "Help", nil}, {"carillon_x_total", KindGauge, "Help", nil}, {"x_total", KindCounter, "Help", nil},
		{"carillon_x_ms_total", KindCounter, "Help", nil}, {"carillon_x", KindHistogram, "Help", nil}, {"carillon_x", KindGauge, "Help.", nil},
	} {
		if wrong(m) == "" {
			t.Errorf("nothing is wrong with %+v", *m)
		}
	}
	if n := seriesCount(Catalogue()); n > 500 {
		t.Errorf("%d series", n)
	}
}

// TestListsOfOthers: the values repeated here are those of the packages that own them.
func TestListsOfOthers(t *testing.T) {
	var codes, formats []string
	for _, c := range wire.Codes() {
		codes = append(codes, string(c.Code))
		if c.Number != 0 && !slices.Contains(LabelEnd.values, string(c.Code)) {
			t.Errorf("label %s lacks %s", LabelEnd.name, c.Code)
		}
	}
	for _, p := range wire.Protocols() {
		formats = append(formats, p.Name[strings.LastIndexByte(p.Name, '.')+1:])
	}
	var gaps []string
	for g := channel.GapTrimmed; g.String() != "unknown"; g++ {
		gaps = append(gaps, g.String())
	}
	for l, want := range map[*Label][]string{LabelCode: append(codes, Other), LabelFormat: append(formats, Other), LabelGap: gaps} {
		if !slices.Equal(slices.Sorted(slices.Values(l.values)), slices.Sorted(slices.Values(want))) {
			t.Errorf("label %s has %v, want %v", l.name, l.values, want)
		}
	}
}

func TestRegistryReads(t *testing.T) {
	r := NewRegistry()
	var fallen uint64
	r.Count(ConnectionsOpened, func() uint64 { return 7 }, LabelTransport.Value("ws"))
	r.Count(ConnectionsOpened, func() uint64 { return fallen }, LabelTransport.Value("a line of tomorrow"))
	r.Gauge(Rooms, func() float64 { return 3 })
	drops := NewCounters(RecordsDropped)
	drops.Add(5, LabelClass.Value("fleeting"), LabelDrop.Value("heap"))
	r.Counters(RecordsDropped, drops)
	r.Each(Gaps, func(put func(float64, ...Value)) {
		put(1, LabelGap.Value("slow"))
		put(2, LabelGap.Value("slow"))
		put(4, LabelGap.Value("epoch"))
	})
	h := NewHistogram()
	h.Record(1)
	r.Histogram(HandshakeWait, h)
	fallen = 9
	got := map[string]float64{}
	for _, f := range r.Gather() {
		for _, s := range f.Series {
			var values []string
			for _, v := range s.Values {
				values = append(values, v.String())
			}
			key := f.Metric.Name + "{" + strings.Join(values, ",") + "}"
			if got[key] = s.Number; s.Snapshot != nil {
				got[key] = float64(s.Snapshot.Count)
			}
		}
	}
	for key, want := range map[string]float64{
		"carillon_connections_opened_total{ws}": 7, "carillon_connections_opened_total{other}": 9, "carillon_rooms{}": 3,
		"carillon_records_dropped_total{fleeting,heap}": 5, "carillon_records_dropped_total{logged,behind}": 0,
		"carillon_gaps_total{slow}": 3, "carillon_gaps_total{epoch}": 4, "carillon_handshake_wait_seconds{}": 1,
	} {
		if n, ok := got[key]; n != want || !ok {
			t.Errorf("%s is %v (%v), want %v", key, n, ok, want)
		}
	}
	if _, ok := got["carillon_gaps_total{ahead}"]; ok {
		t.Error("a series that nobody put is shown")
	}
	if names := r.Unread(Catalogue()); len(names) != len(Catalogue())-5 || slices.Contains(names, Rooms.Name) || !slices.Contains(names, Cursors.Name) {
		t.Errorf("unread: %v", names)
	}
}

// TestPlacesAreUnique: numbering combinations of values loses nothing.
func TestPlacesAreUnique(t *testing.T) {
	seen := map[int]bool{}
	for _, c := range LabelClass.values {
		for _, d := range LabelDrop.values {
			at := place(RecordsDropped.Labels, []Value{LabelClass.Value(c), LabelDrop.Value(d)})
			back := unplace(RecordsDropped.Labels, at)
			if seen[at] || back[0].String() != c || back[1].String() != d {
				t.Errorf("%s, %s is number %d, which is %v", c, d, at, back)
			}
			seen[at] = true
		}
	}
}

func TestMistakesInWiringPanic(t *testing.T) {
	zero, none := func() uint64 { return 0 }, func(func(float64, ...Value)) {}
	for what, mistake := range map[string]func(*Registry){
		"a wrong kind":                func(r *Registry) { r.Count(Rooms, zero) },
		"a histogram as a gauge":      func(r *Registry) { r.Each(HandshakeWait, none) },
		"a missing value":             func(r *Registry) { r.Count(ConnectionsOpened, zero) },
		"a value of another label":    func(r *Registry) { r.Count(ConnectionsOpened, zero, LabelClass.Value("logged")) },
		"a value of no label":         func(r *Registry) { r.Count(ConnectionsOpened, zero, Value{}) },
		"a value that is not listed":  func(r *Registry) { LabelClass.Value("precious") },
		"a series twice":              func(r *Registry) { r.Each(Gaps, none); r.Each(Gaps, none) },
		"a series beside the whole":   func(r *Registry) { r.Each(Gaps, none); r.Count(Gaps, zero, LabelGap.Value("slow")) },
		"the whole beside a series":   func(r *Registry) { r.Count(Gaps, zero, LabelGap.Value("slow")); r.Each(Gaps, none) },
		"the same value twice":        func(r *Registry) { NewLabel("x", "a", "b", "a") },
		"a label without values":      func(r *Registry) { NewLabel("x") },
		"a value with a quote":        func(r *Registry) { NewLabel("x", `a"`) },
		"an endless list":             func(r *Registry) { NewLabel("x", strings.Fields(strings.Repeat("a ", MaxValues+1))...) },
		"the name of a label as code": func(r *Registry) { NewLabel("X y", "a") },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s is let pass", what)
				}
			}()
			mistake(NewRegistry())
		}()
	}
}
