package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// conforms is the part of JSON Schema 2020-12 that ours uses. A keyword it does not know fails, so that no part of the
// schema goes unchecked.
func conforms(sc map[string]any, v any, path string) error {
	for keyword, want := range sc {
		if err := keyword2020(keyword, want, sc, v, path); err != nil {
			return err
		}
	}
	return nil
}

func keyword2020(keyword string, want any, sc map[string]any, v any, path string) error {
	bad := fmt.Errorf("%s: %v breaks %s %v", path, v, keyword, want)
	number, isNumber := v.(float64)
	text, isText := v.(string)
	items, _ := v.([]any)
	object, isObject := v.(map[string]any)
	holds := true
	switch keyword {
	case "$schema", "title", "description", "default":
	case "type":
		holds = hasType(want, v)
	case "enum":
		holds = false
		for _, w := range want.([]any) {
			holds = holds || reflect.DeepEqual(w, v)
		}
	case "minimum":
		holds = !isNumber || number >= want.(float64)
	case "maximum":
		holds = !isNumber || number <= want.(float64)
	case "pattern":
		holds = !isText || regexp.MustCompile(want.(string)).MatchString(text)
	case "minLength":
		holds = !isText || float64(len(text)) >= want.(float64)
	case "maxLength":
		holds = !isText || float64(len(text)) <= want.(float64)
	case "maxItems":
		holds = float64(len(items)) <= want.(float64)
	case "maxProperties":
		holds = float64(len(object)) <= want.(float64)
	case "required":
		for _, name := range want.([]any) {
			if _, there := object[name.(string)]; isObject && !there {
				holds = false
			}
		}
	case "anyOf":
		holds = false
		for _, w := range want.([]any) {
			holds = holds || conforms(w.(map[string]any), v, path) == nil
		}
	case "items":
		for i, item := range items {
			if err := conforms(want.(map[string]any), item, fmt.Sprintf("%s[%d]", path, i)); err != nil {
				return err
			}
		}
	case "propertyNames":
		for name := range object {
			if err := conforms(want.(map[string]any), name, path+" "+name); err != nil {
				return err
			}
		}
	case "properties", "additionalProperties":
		return properties(sc, object, path, keyword)
	default:
		return fmt.Errorf("%s: keyword %s is not known here", path, keyword)
	}
	if !holds {
		return bad
	}
	return nil
}

func properties(sc, object map[string]any, path, keyword string) error {
	known, _ := sc["properties"].(map[string]any)
	for name, v := range object {
		part, ok := known[name].(map[string]any)
		switch other := sc["additionalProperties"].(type) {
		case map[string]any:
			if !ok {
				part, ok = other, true
			}
		case bool:
			if !ok && !other {
				return fmt.Errorf("%s.%s is not there", path, name)
			}
		}
		if ok && keyword == "additionalProperties" {
			if err := conforms(part, v, path+"."+name); err != nil {
				return err
			}
		}
	}
	return nil
}

func hasType(want, v any) bool {
	if all, ok := want.([]any); ok {
		for _, w := range all {
			if hasType(w, v) {
				return true
			}
		}
		return false
	}
	switch v := v.(type) {
	case nil:
		return want == "null"
	case bool:
		return want == "boolean"
	case string:
		return want == "string"
	case float64:
		return want == "number" || want == "integer" && v == float64(int64(v))
	case []any:
		return want == "array"
	}
	return want == "object"
}

// asJSON is a YAML text as a JSON validator sees it.
func asJSON(t *testing.T, text string) (v any) {
	t.Helper()
	var plain any
	if err := yaml.Unmarshal([]byte(text), &plain); err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(plain)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func ourSchema(t *testing.T) (sc map[string]any) {
	t.Helper()
	var text bytes.Buffer
	if err := WriteSchema(&text); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text.Bytes(), &sc); err != nil {
		t.Fatal(err)
	}
	return sc
}

const wholeExample = `
listen: ":9000"
data: /var/lib/carillon
secret_file: /run/secrets/carillon
origins: https://a.example https://b.example
trusted_proxies: [10.0.0.0/8]
server_keys:
  - {name: backend, key_file: k}
tls: {cert: c.pem, key: k.pem, min_version: 1.3}
log:
auth:
  max_lifetime: 1h30m
  issuers:
    - {issuer: a, audience: b, jwks_url: "https://id.example.org/k"}
    - issuer: c
      audience: d
      keys: [{kid: x, algorithm: ES256, public_key_file: p}]
limits: {frame: 65536, in_flight: 3, unauthenticated_share: 0.5, handshakes: 5/s, bytes_per_connection: 64KiB/s burst 1MiB}
namespaces:
  default: {max_body: 2 KiB}
  chat: {durable: true, retention: {age: 30d, records: 0}, slow: disconnect}
  scores:
`

func TestSchemaAcceptsWhatLoads(t *testing.T) {
	sc := ourSchema(t)
	var defaults bytes.Buffer
	if err := WriteDefault(&defaults); err != nil {
		t.Fatal(err)
	}
	bench, err := os.ReadFile("bench.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{defaults.String(), string(bench), wholeExample} {
		if err := conforms(sc, asJSON(t, text), "config"); err != nil {
			t.Errorf("%s in\n%.200s", err, text)
		}
	}
}

func TestSchemaRefusesWhatDoesNot(t *testing.T) {
	sc := ourSchema(t)
	for _, text := range []string{
		"lisen: :1", "limits: {framme: 1}", "limits: {in_flight: many}", "limits: {in_flight: 0}", "limits: {in_flight: 1.5}", "limits: {frame: 64KB}", "limits: {frame: 99999999999}",
		"limits: 7", "log: {level: loud}", "tls: {min_version: 1.1}", "heartbeat: {interval: 5}", "heartbeat: {interval: soon}", "limits: {handshakes: fast}", "origins: [1]",
		"server_keys: [{name: a}]", "server_keys: [{key_file: a}]", "server_keys: [{name: a, key: b}]", "server_keys: {}", "auth: {issuers: [{issuer: a}]}",
		"auth: {issuers: [{issuer: a, audience: b, keys: [{kid: x}]}]}", "namespaces: {'a:b': {}}", "namespaces: {a: {presences: true}}", "namespaces: {a: {durable: 1}}", "namespaces: []",
	} {
		if conforms(sc, asJSON(t, text), "config") == nil {
			t.Errorf("%q passes the schema", text)
		}
		if _, err := load(text); err == nil {
			t.Errorf("%q loads", text)
		}
	}
}

// What people see while they type is what the reference says.
func TestSchemaDescribesEveryKey(t *testing.T) {
	var text bytes.Buffer
	if err := WriteSchema(&text); err != nil {
		t.Fatal(err)
	}
	for _, k := range Keys() {
		raw, _ := json.Marshal(k.Help)
		if !strings.Contains(text.String(), strings.Trim(string(raw), `"`)) {
			t.Errorf("%s is not described", k.Path)
		}
	}
}
