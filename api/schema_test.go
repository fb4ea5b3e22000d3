package api

import (
	"encoding/json"
	"fmt"
	"math"
	"mime"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"
)

// openAPI is the document, decoded once.
var openAPI = sync.OnceValue(func() map[string]any {
	var m map[string]any
	if err := json.Unmarshal(document, &m); err != nil {
		panic(err)
	}
	return m
})

// at follows names into a document.
func at(v any, path ...string) any {
	for _, name := range path {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	return v
}

// deref follows $ref; what stands beside it are words only.
func deref(v any) any {
	for {
		m, _ := v.(map[string]any)
		ref, _ := m["$ref"].(string)
		if ref == "" {
			return v
		}
		v = at(openAPI(), strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
	}
}

// words are keywords that assert nothing.
var words = []string{"description", "default", "title", "contentEncoding", "$ref"}

// validate checks a value against a schema of the part of JSON Schema 2020-12 that the document uses; a keyword that it does not
// know is a fault. A property that an object's schema does not name is one too, unless it says additionalProperties true:
// what a server sends must be documented.
func validate(v, schema any, where string) error {
	s, ok := deref(schema).(map[string]any)
	if !ok {
		return fmt.Errorf("%s: no schema", where)
	}
	for _, k := range sortedKeys(s) {
		if check := keyword(k); check != nil {
			if err := check(v, s, where); err != nil {
				return err
			}
		} else if !slices.Contains(words, k) {
			return fmt.Errorf("%s: the schema uses %q, which is not checked", where, k)
		}
	}
	if m, is := v.(map[string]any); is && s["properties"] != nil && s["additionalProperties"] != true {
		for _, name := range sortedKeys(m) {
			if _, named := at(s, "properties").(map[string]any)[name]; !named {
				return fmt.Errorf("%s.%s is not documented", where, name)
			}
		}
	}
	return nil
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// check is one keyword of a schema.
type check func(v any, s map[string]any, where string) error

func number(f func(v, bound float64) bool, name string) check {
	return func(v any, s map[string]any, where string) error {
		if n, is := v.(float64); is && !f(n, s[name].(float64)) {
			return fmt.Errorf("%s: %v breaks %s %v", where, v, name, s[name])
		}
		return nil
	}
}

func size(f func(n, bound int) bool, name string, of func(any) int) check {
	return func(v any, s map[string]any, where string) error {
		if n := of(v); n >= 0 && !f(n, int(s[name].(float64))) {
			return fmt.Errorf("%s: size %d breaks %s %v", where, n, name, s[name])
		}
		return nil
	}
}

func least(n, bound int) bool { return n >= bound }
func most(n, bound int) bool  { return n <= bound }

func textLen(v any) int {
	if s, is := v.(string); is {
		return utf8.RuneCountInString(s)
	}
	return -1
}

func arrayLen(v any) int {
	if a, is := v.([]any); is {
		return len(a)
	}
	return -1
}

func objectLen(v any) int {
	if m, is := v.(map[string]any); is {
		return len(m)
	}
	return -1
}

// keyword is the check of one, nil where there is none. A function, since checks and validate need each other.
func keyword(name string) check {
	switch name {
	case "type":
		return checkType
	case "enum":
		return checkEnum
	case "const":
		return checkConst
	case "pattern":
		return checkPattern
	case "properties":
		return checkProperties
	case "required":
		return checkRequired
	case "additionalProperties": // see validate
		return func(any, map[string]any, string) error { return nil }
	case "items":
		return checkItems
	case "oneOf":
		return checkOneOf
	case "not":
		return checkNot
	case "minimum":
		return number(func(v, b float64) bool { return v >= b }, name)
	case "maximum":
		return number(func(v, b float64) bool { return v <= b }, name)
	case "minLength":
		return size(least, name, textLen)
	case "maxLength":
		return size(most, name, textLen)
	case "minItems":
		return size(least, name, arrayLen)
	case "maxItems":
		return size(most, name, arrayLen)
	case "minProperties":
		return size(least, name, objectLen)
	}
	return nil
}

func checkType(v any, s map[string]any, where string) error {
	is := map[string]bool{}
	switch v := v.(type) {
	case nil:
		is["null"] = true
	case bool:
		is["boolean"] = true
	case string:
		is["string"] = true
	case float64:
		is["number"], is["integer"] = true, v == math.Trunc(v)
	case []any:
		is["array"] = true
	case map[string]any:
		is["object"] = true
	}
	if !is[s["type"].(string)] {
		return fmt.Errorf("%s: %v is no %s", where, v, s["type"])
	}
	return nil
}

func checkEnum(v any, s map[string]any, where string) error {
	if !slices.Contains(s["enum"].([]any), v) {
		return fmt.Errorf("%s: %v is none of %v", where, v, s["enum"])
	}
	return nil
}

func checkConst(v any, s map[string]any, where string) error {
	if v != s["const"] {
		return fmt.Errorf("%s: %v is not %v", where, v, s["const"])
	}
	return nil
}

var patterns sync.Map // of *regexp.Regexp

func compiled(pattern string) *regexp.Regexp {
	re, known := patterns.Load(pattern)
	if !known {
		re, _ = patterns.LoadOrStore(pattern, regexp.MustCompile(pattern))
	}
	return re.(*regexp.Regexp)
}

func checkPattern(v any, s map[string]any, where string) error {
	if text, is := v.(string); is && !compiled(s["pattern"].(string)).MatchString(text) {
		return fmt.Errorf("%s: %q does not match %v", where, text, s["pattern"])
	}
	return nil
}

func checkProperties(v any, s map[string]any, where string) error {
	m, _ := v.(map[string]any)
	for name, schema := range s["properties"].(map[string]any) {
		if value, is := m[name]; is {
			if err := validate(value, schema, where+"."+name); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkRequired(v any, s map[string]any, where string) error {
	m, is := v.(map[string]any)
	for _, name := range s["required"].([]any) {
		if _, has := m[name.(string)]; is && !has {
			return fmt.Errorf("%s lacks %v", where, name)
		}
	}
	return nil
}

func checkItems(v any, s map[string]any, where string) error {
	items, _ := v.([]any)
	for i, item := range items {
		if err := validate(item, s["items"], where+"["+strconv.Itoa(i)+"]"); err != nil {
			return err
		}
	}
	return nil
}

func checkOneOf(v any, s map[string]any, where string) error {
	good, faults := 0, []string{}
	for _, one := range s["oneOf"].([]any) {
		if err := validate(v, one, where); err != nil {
			faults = append(faults, err.Error())
		} else {
			good++
		}
	}
	if good != 1 {
		return fmt.Errorf("%s: %d of oneOf match: %s", where, good, strings.Join(faults, "; "))
	}
	return nil
}

func checkNot(v any, s map[string]any, where string) error {
	if validate(v, s["not"], where) == nil {
		return fmt.Errorf("%s: matches what it must not", where)
	}
	return nil
}

// operation finds what the document says of a request, nil if nothing.
func operation(method, path string) map[string]any {
	path, _, _ = strings.Cut(path, "?")
	for pattern, item := range at(openAPI(), "paths").(map[string]any) {
		if _, ok := (route{pattern: pattern}).match(path); ok {
			if op, is := at(item, strings.ToLower(method)).(map[string]any); is {
				return op
			}
		}
	}
	return nil
}

// conforms holds an answer against the document and against what every answer must have.
func (a answer) conforms(q request) {
	a.t.Helper()
	for name, want := range map[string]string{
		"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
	} {
		if got := a.header.Get(name); got != want {
			a.t.Fatalf("%s: %s is %q", a.what, name, got)
		}
	}
	if a.header.Get("Cache-Control") == "" {
		a.t.Fatalf("%s: no Cache-Control", a.what)
	}
	if q.method == "HEAD" || q.method == "OPTIONS" && a.status == 204 {
		if a.body != "" {
			a.t.Fatalf("%s has a body", a.what)
		}
		return
	}
	response := at(openAPI(), "components", "responses", "Problem")
	if op := operation(q.method, q.path); op != nil {
		responses := op["responses"].(map[string]any)
		response = deref(responses[strconv.Itoa(a.status)])
		if response == nil {
			response = deref(responses[strconv.Itoa(a.status)[:1]+"XX"])
		}
		if response == nil {
			a.t.Fatalf("%s: the document has no status %d", a.what, a.status)
		}
		if q.body != "" && a.status < 300 && !q.loose {
			a.matches(q.body, at(op, "requestBody", "content", "application/json", "schema"), "request")
		}
	} else if a.status < 400 {
		a.t.Fatalf("%s: answered %d, but is not in the document", a.what, a.status)
	}
	content, _ := at(response, "content").(map[string]any)
	if len(content) == 0 {
		if a.body != "" {
			a.t.Fatalf("%s: %d has a body: %s", a.what, a.status, a.body)
		}
		return
	}
	kind, _, _ := mime.ParseMediaType(a.header.Get("Content-Type"))
	if content[kind] == nil {
		a.t.Fatalf("%s: %d is %q, the document has %v", a.what, a.status, kind, sortedKeys(content))
	}
	a.matches(a.body, at(content[kind], "schema"), "answer")
	if kind == "application/problem+json" && a.json()["status"] != float64(a.status) {
		a.t.Fatalf("%s: %d says %s", a.what, a.status, a.body)
	}
}

func (a answer) matches(text string, schema any, what string) {
	a.t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		a.t.Fatalf("%s: %s %q: %v", a.what, what, text, err)
	}
	if err := validate(v, schema, what); err != nil {
		a.t.Fatalf("%s: %v\n%s", a.what, err, text)
	}
}

// TestSchemaChecker: what the checker is there to find, it finds.
func TestSchemaChecker(t *testing.T) {
	problem := map[string]any{"type": "about:blank", "title": "x", "status": 400.0, "detail": "x", "code": "busy", "retry": true}
	schema := at(openAPI(), "components", "schemas", "Problem")
	if err := validate(problem, schema, "p"); err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]any{
		"status": 4.0, "code": "nonsense", "retry": "yes", "extra": 1.0, "retry_after": 1.5, "type": "x",
	} {
		before, had := problem[name]
		problem[name] = bad
		if validate(problem, schema, "p") == nil {
			t.Errorf("%s of %v passes", name, bad)
		}
		if delete(problem, name); had {
			if validate(problem, schema, "p") == nil && name != "retry_after" {
				t.Errorf("without %s it passes", name)
			}
			problem[name] = before
		}
	}
	for schema, bad := range map[string]any{
		`{"minLength":2}`: "a", `{"maxLength":1}`: "ab", `{"pattern":"^a$"}`: "b", `{"minItems":1}`: []any{}, `{"maxItems":0}`: []any{1.0},
		`{"items":{"type":"string"}}`: []any{1.0}, `{"oneOf":[{"type":"string"},{"minLength":1}]}`: "ab", `{"oneOf":[{"type":"string"}]}`: 1.0,
		`{"not":{"type":"string"}}`: "a", `{"minProperties":1}`: map[string]any{}, `{"frobnicate":1}`: nil, `{"const":1}`: 2.0,
		`{"minimum":1}`: 0.0, `{"maximum":1}`: 2.0, `{"type":"integer"}`: 1.5, `{"required":["a"]}`: map[string]any{},
	} {
		var s any
		must(t, json.Unmarshal([]byte(schema), &s))
		if validate(bad, s, "v") == nil {
			t.Errorf("%v passes %s", bad, schema)
		}
	}
}
