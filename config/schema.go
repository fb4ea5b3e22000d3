package config

import (
	"encoding/json"
	"io"
	"strconv"
)

// WriteSchema writes the JSON Schema (2020-12) of the configuration file, for editors. What it accepts may still be
// refused by Load, which looks at settings together.
func WriteSchema(w io.Writer) error {
	top := objectSchema(tree)
	top["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	top["title"] = "Carillon configuration"
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(top)
}

func objectSchema(parts []*spec) map[string]any {
	properties, required := map[string]any{}, []string{}
	for _, s := range parts {
		name := s.name
		if s.asFile {
			properties[name+"_file"] = describe(s, map[string]any{"type": "string", "minLength": 1})
		}
		if s.fileOnly {
			name += "_file"
			required = append(required, name)
		} else {
			properties[name] = s.schemaOf()
		}
		if s.Required {
			required = append(required, name)
		}
	}
	o := map[string]any{"type": []string{"object", "null"}, "additionalProperties": false, "properties": properties}
	if len(required) > 0 {
		o["required"] = required
	}
	return o
}

func (s *spec) schemaOf() map[string]any {
	switch s.shape {
	case section:
		return describe(s, objectSchema(s.parts))
	case list:
		entry := objectSchema(s.parts)
		entry["type"] = "object"
		return describe(s, map[string]any{"type": []string{"array", "null"}, "maxItems": atoi(s.Max), "items": entry})
	case table:
		return describe(s, map[string]any{
			"type": []string{"object", "null"}, "maxProperties": atoi(s.Max), "additionalProperties": objectSchema(s.parts),
			"propertyNames": map[string]any{"pattern": `^[A-Za-z0-9_.-]*(@[A-Za-z0-9_.-]*)*$`, "minLength": 1, "maxLength": 128},
		})
	}
	sc := describe(s, s.form.schema(s.Key))
	if s.form.name != typeSecret && !s.Required {
		v, _ := s.form.parse(s.Default)
		switch v.(type) {
		case int, bool, float64, []string:
			sc["default"] = v
		default:
			sc["default"] = s.Default
		}
	}
	return sc
}

func describe(s *spec, sc map[string]any) map[string]any {
	text := s.Help
	if b := s.Bound(); b != "" {
		text += " (" + b + ")"
	}
	sc["description"] = text
	return sc
}

func textSchema(k Key) map[string]any {
	if len(k.Enum) == 0 {
		sc := map[string]any{"type": "string"}
		if k.Type == typeText && k.Max != "" {
			sc["maxLength"] = atoi(k.Max)
		}
		return sc
	}
	words := make([]any, 0, len(k.Enum))
	for _, word := range k.Enum {
		words = append(words, word)
		if f, err := strconv.ParseFloat(word, 64); err == nil {
			words = append(words, f) // YAML takes 1.2 without quotes for a number
		}
	}
	return map[string]any{"enum": words}
}

func textsSchema(k Key) map[string]any {
	return map[string]any{"anyOf": []any{
		map[string]any{"type": "array", "maxItems": atoi(k.Max), "items": map[string]any{"type": "string", "minLength": 1}},
		map[string]any{"type": []string{"string", "null"}},
	}}
}

func flagSchema(Key) map[string]any { return map[string]any{"type": "boolean"} }

func numberSchema(k Key) map[string]any {
	least, _ := strconv.ParseFloat(k.Min, 64)
	most, _ := strconv.ParseFloat(k.Max, 64)
	kind := "integer"
	if k.Type == typeShare {
		kind = "number"
	}
	return map[string]any{"type": kind, "minimum": least, "maximum": most}
}

// patternSchema is that of values with units; a size may also be a bare number.
func patternSchema(pattern string) func(Key) map[string]any {
	return func(k Key) map[string]any {
		text := map[string]any{"type": "string", "pattern": pattern}
		if k.Type != typeSize {
			return text
		}
		least, _ := ParseSize(k.Min)
		most, _ := ParseSize(k.Max)
		return map[string]any{"anyOf": []any{map[string]any{"type": "integer", "minimum": int64(least), "maximum": int64(most)}, text}}
	}
}
