package observe

import (
	"fmt"
	"regexp"
	"slices"
)

// MaxValues is the longest list of values a label may have.
const MaxValues = 64

// Label is a dimension of a metric, with all the values it may ever have. Only what is on its list becomes a series, so
// no client can add one.
type Label struct {
	name   string
	values []string
}

// Other is the value that stands for whatever is not on a label's list, where that may happen.
const Other = "other"

// NewLabel makes a label. It panics where a name or a value is malformed, or the list empty or too long.
func NewLabel(name string, values ...string) *Label {
	if len(values) == 0 || len(values) > MaxValues {
		panic(fmt.Sprintf("observe: label %q has %d values, 1 to %d are meant", name, len(values), MaxValues))
	}
	for i, v := range append([]string{name}, values...) {
		if !word.MatchString(v) || slices.Contains(values[:max(i-1, 0)], v) {
			panic(fmt.Sprintf("observe: %q is no word, or stands twice in label %q", v, name))
		}
	}
	return &Label{name: name, values: slices.Clone(values)}
}

var word = regexp.MustCompile(`^[a-z0-9]+(_[a-z0-9]+)*$`)

// Name is the label's name.
func (l *Label) Name() string { return l.name }

// Values lists all values.
func (l *Label) Values() []string { return slices.Clone(l.values) }

// Value finds a value on the list. What is not on it becomes Other; a label without Other panics, since its values are
// those of the program alone.
func (l *Label) Value(s string) Value {
	i := slices.Index(l.values, s)
	if i < 0 {
		i = slices.Index(l.values, Other)
	}
	if i < 0 {
		panic(fmt.Sprintf("observe: label %q has no value %q", l.name, s))
	}
	return Value{l, i}
}

// Value is one of the values of a Label; there is no other way to get one than Label.Value.
type Value struct {
	label *Label
	at    int
}

func (v Value) String() string {
	if v.label == nil {
		return ""
	}
	return v.label.values[v.at]
}

// Kind is how a metric behaves.
type Kind uint8

// The kinds.
const (
	KindCounter   Kind = iota // only goes up, from 0 at the start of the process
	KindGauge                 // a number of this moment
	KindHistogram             // a distribution
)

func (k Kind) String() string { return [...]string{"counter", "gauge", "histogram"}[k] }

// Metric is one row of the catalogue. It is never changed.
type Metric struct {
	Name   string // with its unit; counters end in _total
	Kind   Kind
	Help   string // one sentence without a full stop
	Labels []*Label
}

// Names returns the names of the labels.
func (m *Metric) Names() (names []string) {
	for _, l := range m.Labels {
		names = append(names, l.name)
	}
	return names
}
