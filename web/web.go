// Package web holds the pages of a node, embedded in the binary. It serves files and headers, nothing else: whatever the
// pages show they get over the client protocol like any other client. Start with Handler.
package web

import (
	"embed"
	"io/fs"
	"net/http"
)

//go:embed start
var files embed.FS

// policy lets pages load what this server serves, and nothing from elsewhere.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"

// Handler serves the first page and what it loads; other paths are 404.
func Handler() http.Handler {
	pages, err := fs.Sub(files, "start")
	if err != nil {
		panic(err) // the folder is embedded above
	}
	serve := http.FileServerFS(pages)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-cache")
		serve.ServeHTTP(w, r)
	})
}
