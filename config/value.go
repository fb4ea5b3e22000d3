package config

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"time"
)

// Size is a number of bytes, written as 65536, 64KiB, 1MiB, 2GiB or 1TiB.
type Size int64

// The units of a Size.
const (
	KiB Size = 1 << 10
	MiB Size = 1 << 20
	GiB Size = 1 << 30
	TiB Size = 1 << 40
)

var sizeUnits = []struct {
	name string
	size Size
}{{"TiB", TiB}, {"GiB", GiB}, {"MiB", MiB}, {"KiB", KiB}, {"B", 1}}

var errSize = errors.New("is no size: write bytes, or 64KiB, 1MiB, 2GiB")

// ParseSize reads what String wrote.
func ParseSize(s string) (Size, error) {
	unit := Size(1)
	for _, u := range sizeUnits {
		if digits, ok := strings.CutSuffix(s, u.name); ok {
			s, unit = strings.TrimSuffix(digits, " "), u.size
			break
		}
	}
	n, err := parseWhole(s)
	if err != nil || n > math.MaxInt64/int64(unit) {
		return 0, errSize
	}
	return Size(n) * unit, nil
}

// String is the size in the largest unit that loses nothing.
func (s Size) String() string {
	for _, u := range sizeUnits[:4] {
		if s != 0 && s%u.size == 0 {
			return strconv.FormatInt(int64(s/u.size), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// parseWhole reads digits, and nothing but digits.
func parseWhole(s string) (int64, error) {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return 0, strconv.ErrSyntax
		}
	}
	return strconv.ParseInt(s, 10, 64)
}

// Rate is so many things in a time, after a burst of so many at once. It is written as "50/s burst 100"; without a
// burst it is as large as the count. The time is a second, a minute or an hour.
type Rate struct {
	Count int64
	Per   time.Duration
	Burst int64
}

// ByteRate is a Rate of bytes, written as "256KiB/s burst 1MiB".
type ByteRate Rate

var (
	errRate     = errors.New("is no rate: write 50/s burst 100 (or /m, /h)")
	errByteRate = errors.New("is no rate of bytes: write 64KiB/s burst 1MiB (or /m, /h)")
)

var rateTimes = map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}

// PerSecond is how many are allowed in a second, on average.
func (r Rate) PerSecond() float64 { return float64(r.Count) / r.Per.Seconds() }

// PerSecond is how many bytes are allowed in a second, on average.
func (r ByteRate) PerSecond() float64 { return Rate(r).PerSecond() }

func (r Rate) String() string {
	return fmt.Sprintf("%d/%s burst %d", r.Count, timeName(r.Per), r.Burst)
}

func (r ByteRate) String() string {
	return fmt.Sprintf("%s/%s burst %s", Size(r.Count), timeName(r.Per), Size(r.Burst))
}

func timeName(d time.Duration) string {
	for name, per := range rateTimes {
		if per == d {
			return name
		}
	}
	return d.String()
}

// ParseRate reads what String wrote.
func ParseRate(s string) (Rate, error) {
	r, ok := splitRate(s, parseWhole)
	if !ok {
		return Rate{}, errRate
	}
	return r, nil
}

// ParseByteRate reads what String wrote.
func ParseByteRate(s string) (ByteRate, error) {
	r, ok := splitRate(s, func(s string) (int64, error) { n, err := ParseSize(s); return int64(n), err })
	if !ok {
		return ByteRate{}, errByteRate
	}
	return ByteRate(r), nil
}

func splitRate(s string, number func(string) (int64, error)) (r Rate, ok bool) {
	words := strings.Fields(s)
	if len(words) != 1 && (len(words) != 3 || words[1] != "burst") {
		return r, false
	}
	count, per, _ := strings.Cut(words[0], "/")
	var err error
	if r.Count, err = number(count); err != nil || r.Count == 0 {
		return r, false
	}
	if r.Per, ok = rateTimes[per]; !ok {
		return r, false
	}
	r.Burst = r.Count
	if len(words) == 3 {
		r.Burst, err = number(words[2])
	}
	return r, err == nil && r.Burst > 0
}

var errSpan = errors.New("is no duration: write 250ms, 30s, 5m, 24h or 30d")

const day = 24 * time.Hour

// parseSpan reads a duration as Go writes it, or whole days.
func parseSpan(s string) (time.Duration, error) {
	if digits, ok := strings.CutSuffix(s, "d"); ok {
		n, err := parseWhole(digits)
		if err != nil || n > int64(math.MaxInt64/day) {
			return 0, errSpan
		}
		return time.Duration(n) * day, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, errSpan
	}
	return d, nil
}

// formatSpan leaves out what is zero: 5m, not 5m0s.
func formatSpan(d time.Duration) string {
	if d >= 2*day && d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	s := d.String()
	if d%time.Minute == 0 && d != 0 {
		s = strings.TrimSuffix(s, "0s")
	}
	if d%time.Hour == 0 && d != 0 {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// Secret is a text that is never shown. Whatever prints it prints only whether it is set, and from where.
type Secret struct {
	text string
	from string // the file it was read from; "" if it was given as it is
}

// NewSecret is a secret that was read from a file, or from none.
func NewSecret(text, file string) Secret { return Secret{text, file} }

// Reveal is the text itself, a copy for whoever checks with it.
func (s Secret) Reveal() []byte { return []byte(s.text) }

// IsSet tells a secret from none.
func (s Secret) IsSet() bool { return s.text != "" }

// File is where it was read from; "" if it was given as it is.
func (s Secret) File() string { return s.from }

// Equal compares the texts, not where they came from.
func (s Secret) Equal(o Secret) bool { return s.text == o.text }

func (s Secret) String() string {
	switch {
	case s.text == "":
		return "not set"
	case s.from != "":
		return "set (from file " + s.from + ")"
	}
	return "set"
}

// Format keeps every verb from the text.
func (s Secret) Format(w fmt.State, _ rune) { _, _ = w.Write([]byte(s.String())) }

// LogValue keeps the text out of log lines.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText keeps the text out of JSON and whatever else asks.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
