package api

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"carillon/gateway/auth"
	"carillon/wire"
)

// served lists the routes of both handlers with the listeners they are on.
func served() map[string][]string {
	on := map[string][]string{}
	for _, r := range (&public{}).routes() {
		on[r.name()] = append(on[r.name()], "public")
	}
	for _, r := range (&server{}).routes() {
		on[r.name()] = append(on[r.name()], "internal")
	}
	return on
}

// TestDocumentHasAllRoutes: what is served is documented, on the same listeners, and the reverse.
func TestDocumentHasAllRoutes(t *testing.T) {
	on := served()
	for path, item := range at(openAPI(), "paths").(map[string]any) {
		for method, op := range item.(map[string]any) {
			name := strings.ToUpper(method) + " " + path
			var listeners []string
			for _, l := range at(op, "x-listeners").([]any) {
				listeners = append(listeners, l.(string))
			}
			if !slices.Equal(listeners, on[name]) {
				t.Errorf("%s: documented on %v, served on %v", name, listeners, on[name])
			}
			delete(on, name)
		}
	}
	for name := range on {
		t.Errorf("%s is not documented", name)
	}
}

// TestDocumentHasAllParameters: path and query parameters are those of the routes.
func TestDocumentHasAllParameters(t *testing.T) {
	for _, r := range slices.Concat((&public{}).routes(), (&server{}).routes()) {
		var want, got []string
		for _, name := range strings.Fields(r.query) {
			want = append(want, "query "+strings.TrimSuffix(name, "*"))
		}
		for _, segment := range strings.Split(r.pattern, "/") {
			if strings.HasPrefix(segment, "{") {
				want = append(want, "path "+strings.Trim(segment, "{}"))
			}
		}
		parameters, _ := at(openAPI(), "paths", r.pattern, strings.ToLower(r.method), "parameters").([]any)
		for _, p := range parameters {
			if in := at(deref(p), "in"); in != "header" {
				got = append(got, fmt.Sprint(in, " ", at(deref(p), "name")))
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: documented %v, taken %v", r.name(), got, want)
		}
	}
}

// TestDocumentIsSound: references lead somewhere, names of operations are unique, bounds are those of the code.
func TestDocumentIsSound(t *testing.T) {
	seen := map[string]bool{}
	var walk func(v any, where string)
	walk = func(v any, where string) {
		switch v := v.(type) {
		case map[string]any:
			if v["$ref"] != nil && deref(v) == nil {
				t.Errorf("%s leads nowhere: %v", where, v["$ref"])
			}
			if id, is := v["operationId"].(string); is {
				if seen[id] {
					t.Errorf("two operations are called %s", id)
				}
				seen[id] = true
			}
			for k, x := range v {
				walk(x, where+"/"+k)
			}
		case []any:
			for i, x := range v {
				walk(x, fmt.Sprint(where, "/", i))
			}
		}
	}
	walk(openAPI(), "#")
	schema := func(path ...string) any { return at(openAPI(), append([]string{"components", "schemas"}, path...)...) }
	for what, pair := range map[string][2]any{
		"batch":   {schema("Batch", "properties", "items", "maxItems"), float64(wire.MaxBatch)},
		"records": {schema("Page", "properties", "records", "maxItems"), float64(wire.MaxPage)},
		"rows":    {schema("Rows", "properties", "rows", "maxItems"), float64(MaxRows)},
		"list":    {schema("Connections", "properties", "connections", "maxItems"), float64(MaxList)},
		"ttl":     {schema("TokenRequest", "properties", "ttl", "maximum"), float64(MaxTokenTTL.Milliseconds())},
		"session": {schema("TokenRequest", "properties", "session", "maximum"), float64(auth.MaxSession.Milliseconds())},
		"actions": {fmt.Sprint(schema("Capability", "properties", "can", "items", "enum")), fmt.Sprint(auth.Actions())},
		"guest":   {schema("GuestRequest", "properties", "name", "maxLength"), float64(MaxName)},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: the document says %v, the code %v", what, pair[0], pair[1])
		}
	}
}

// TestStatuses: every code has one status, documented in the OpenAPI document and in docs/http-api.md.
func TestStatuses(t *testing.T) {
	var codes, documented []string
	for _, s := range Statuses() {
		codes = append(codes, string(s.Code))
		if s.Status < 400 || s.Status > 599 {
			t.Errorf("%s is %d", s.Code, s.Status)
		}
	}
	for _, c := range wire.Codes() {
		if !slices.Contains(codes, string(c.Code)) {
			t.Errorf("code %s has no status", c.Code)
		}
	}
	if len(codes) != len(wire.Codes())+3 || len(slices.Compact(slices.Sorted(slices.Values(codes)))) != len(codes) {
		t.Error("a code stands twice, or is unknown")
	}
	for _, c := range at(openAPI(), "components", "schemas", "Problem", "properties", "code", "enum").([]any) {
		documented = append(documented, c.(string))
	}
	if !slices.Equal(slices.Sorted(slices.Values(codes)), slices.Sorted(slices.Values(documented))) {
		t.Errorf("the document has the codes %v, the code %v", documented, codes)
	}
	page, err := os.ReadFile("../docs/http-api.md")
	must(t, err)
	_, table, _ := strings.Cut(string(page), "| status | codes |\n|---|---|\n")
	byStatus := map[int][]string{}
	for _, s := range Statuses() {
		byStatus[s.Status] = append(byStatus[s.Status], "`"+string(s.Code)+"`")
	}
	var rows strings.Builder
	for status := 400; status < 600; status++ {
		if list := byStatus[status]; list != nil {
			fmt.Fprintf(&rows, "| %d | %s |\n", status, strings.Join(list, ", "))
		}
	}
	if !strings.HasPrefix(table, rows.String()+"\n") {
		t.Errorf("the table of docs/http-api.md should be\n%s", rows.String())
	}
	for _, c := range []wire.Code{"nonsense"} {
		if StatusOf(c) != 500 {
			t.Errorf("%s is %d", c, StatusOf(c))
		}
	}
}

// TestDocumentIsServed: both listeners serve it, to anybody.
func TestDocumentIsServed(t *testing.T) {
	s := newStage(t, nil)
	for _, server := range []bool{false, true} {
		a := s.ask(request{method: "GET", path: "/api/openapi.json", server: server}).want(200)
		if a.body != string(Document()) || !json.Valid(Document()) {
			t.Error("not the document")
		}
	}
}
