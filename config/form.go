package config

import (
	"cmp"
	"errors"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The names of types, as people read them.
const (
	typeText     = "text"
	typeTexts    = "texts"
	typeSecret   = "secret"
	typeFlag     = "true or false"
	typeWhole    = "number"
	typeShare    = "share"
	typeSize     = "size"
	typeSpan     = "duration"
	typeRate     = "rate"
	typeByteRate = "rate of bytes"
)

// form reads and writes values of one type. No error of parse repeats the value.
type form struct {
	name   string
	parse  func(string) (any, error)
	format func(any) string
	// within says whether v lies between two values, both included; nil: the type has no order.
	within func(v, least, most any) bool
	schema func(k Key) map[string]any
}

var secretType = reflect.TypeFor[Secret]()

var errFlag = errors.New("is neither true nor false")

// forms are the types a leaf may have.
var forms = map[reflect.Type]*form{
	reflect.TypeFor[string]():   {name: typeText, parse: func(s string) (any, error) { return s, nil }, format: func(v any) string { return v.(string) }, schema: textSchema},
	reflect.TypeFor[[]string](): {name: typeTexts, parse: func(s string) (any, error) { return splitTexts(s), nil }, format: func(v any) string { return strings.Join(v.([]string), ", ") }, schema: textsSchema},
	secretType:                  {name: typeSecret, parse: func(s string) (any, error) { return Secret{text: strings.TrimSpace(s)}, nil }, format: func(v any) string { return v.(Secret).String() }, schema: textSchema},
	reflect.TypeFor[bool]():     {name: typeFlag, parse: parseFlag, format: func(v any) string { return strconv.FormatBool(v.(bool)) }, schema: flagSchema},
	reflect.TypeFor[int](): {name: typeWhole, parse: typed(func(s string) (int, error) {
		n, err := parseWhole(s)
		if err != nil || s == "" || int64(int(n)) != n {
			return 0, errors.New("is no whole number")
		}
		return int(n), nil
	}), format: func(v any) string { return strconv.Itoa(v.(int)) }, within: ordered[int], schema: numberSchema},
	reflect.TypeFor[float64]():       {name: typeShare, parse: typed(parseShare), format: func(v any) string { return strconv.FormatFloat(v.(float64), 'g', -1, 64) }, within: ordered[float64], schema: numberSchema},
	reflect.TypeFor[Size]():          {name: typeSize, parse: typed(ParseSize), format: func(v any) string { return v.(Size).String() }, within: ordered[Size], schema: patternSchema(`^[0-9]+ ?(B|KiB|MiB|GiB|TiB)?$`)},
	reflect.TypeFor[time.Duration](): {name: typeSpan, parse: typed(parseSpan), format: func(v any) string { return formatSpan(v.(time.Duration)) }, within: ordered[time.Duration], schema: patternSchema(`^([0-9]+d|0|([0-9.]+(ns|us|µs|ms|s|m|h))+)$`)},
	reflect.TypeFor[Rate]():          {name: typeRate, parse: typed(ParseRate), format: func(v any) string { return v.(Rate).String() }, within: func(v, a, b any) bool { return rateWithin(v.(Rate), a.(Rate), b.(Rate)) }, schema: patternSchema(`^[0-9]+/[smh]( +burst +[0-9]+)?$`)},
	reflect.TypeFor[ByteRate]():      {name: typeByteRate, parse: typed(ParseByteRate), format: func(v any) string { return v.(ByteRate).String() }, within: func(v, a, b any) bool { return rateWithin(Rate(v.(ByteRate)), Rate(a.(ByteRate)), Rate(b.(ByteRate))) }, schema: patternSchema(`^[0-9]+(B|KiB|MiB|GiB|TiB)?/[smh]( +burst +[0-9]+(B|KiB|MiB|GiB|TiB)?)?$`)},
}

func typed[T any](parse func(string) (T, error)) func(string) (any, error) {
	return func(s string) (any, error) {
		v, err := parse(s)
		return v, err
	}
}

func ordered[T cmp.Ordered](v, least, most any) bool {
	return v.(T) >= least.(T) && v.(T) <= most.(T)
}

// rateWithin compares averages, and the burst with the largest one.
func rateWithin(r, least, most Rate) bool {
	return r.PerSecond() >= least.PerSecond() && r.PerSecond() <= most.PerSecond() && r.Burst <= most.Burst
}

func parseFlag(s string) (any, error) {
	switch s {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return nil, errFlag
}

func parseShare(s string) (float64, error) {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || f != f {
		return 0, errors.New("is no number such as 0.2")
	}
	return f, nil
}

// splitTexts takes a list apart at commas and spaces.
func splitTexts(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\n' })
}

// parseValue reads a text as a value of a key, checks its bounds, and says what is wrong and what would be right.
func (s *spec) parseValue(text string) (any, error) {
	v, err := s.form.parse(text)
	if err != nil {
		return nil, err
	}
	if len(s.Enum) > 0 && !slices.Contains(s.Enum, text) {
		return nil, errors.New("is not one of " + strings.Join(s.Enum, ", "))
	}
	if err := s.checkBound(v); err != nil {
		return nil, err
	}
	return v, s.checkFormat(v)
}

func (s *spec) checkBound(v any) error {
	switch v := v.(type) {
	case string:
		if most := atoi(s.Max); most > 0 && len(v) > most {
			return errors.New("is longer than " + s.Max + " bytes")
		}
	case []string:
		if len(v) > atoi(s.Max) {
			return errors.New("has more than " + s.Max + " entries")
		}
	case Secret:
		return s.checkSecret(v)
	default:
		if s.form.within == nil || s.Min == "" {
			return nil
		}
		least, _ := s.form.parse(s.Min)
		most, _ := s.form.parse(s.Max)
		if !s.form.within(v, least, most) {
			return errors.New("is out of bounds: choose " + s.Min + " to " + s.Max)
		}
	}
	return nil
}

// distinctBytes is how many different bytes a random secret of 32 has at the very least, even in hexadecimal.
const distinctBytes = 8

// checkSecret refuses what can be guessed.
func (s *spec) checkSecret(v Secret) error {
	if s.Min == "" || s.Max == "" {
		return nil // a key pair's: its content is checked with its algorithm
	}
	if n := len(v.text); n < atoi(s.Min) || n > atoi(s.Max) {
		return errors.New("has " + strconv.Itoa(n) + " bytes and needs " + s.Min + " to " + s.Max + ": head -c 48 /dev/urandom | base64 -w0")
	}
	seen := map[byte]bool{}
	for i := range len(v.text) {
		seen[v.text[i]] = true
	}
	lower := strings.ToLower(v.text)
	for _, sample := range []string{"changeme", "change-me", "your-256-bit", "supersecret", "0123456789abcdef0123456789abcdef", "password"} {
		if strings.Contains(lower, sample) {
			return errors.New("is a sample that everybody knows: head -c 48 /dev/urandom | base64 -w0")
		}
	}
	if len(seen) < distinctBytes {
		return errors.New("repeats very few characters and could be guessed: head -c 48 /dev/urandom | base64 -w0")
	}
	return nil
}

func (s *spec) checkFormat(v any) error {
	check := formats[s.Format]
	if check == nil {
		return nil
	}
	switch v := v.(type) {
	case Secret:
		return check(v.text)
	case string:
		if v != "" {
			return check(v)
		}
	case []string:
		for _, entry := range v {
			if err := check(entry); err != nil {
				return errors.New("holds an entry that " + err.Error())
			}
		}
	}
	return nil
}

// atoi reads a bound of the tags.
func atoi(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}
