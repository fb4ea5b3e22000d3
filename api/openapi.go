package api

import _ "embed"

// document describes both handlers as OpenAPI 3.1 has it; tests compare the two.
//
//go:embed openapi.json
var document []byte

// Document is the OpenAPI document of both handlers, as it is served at /api/openapi.json.
func Document() []byte { return document }

func openapi(c *call) error {
	c.w.Header().Set("Cache-Control", "public, max-age=300")
	c.answer(document)
	return nil
}
