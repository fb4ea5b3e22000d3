// Package web holds the pages of a node, embedded in the binary. It serves files and headers, nothing else: whatever the
// pages show they get over the client protocol like any other client. The sources are in app, dist is what they build to.
// Start with Handler.
package web

import (
	"embed"
	"io/fs"
	"net/http"
	"path"
	"strings"
)

//go:embed dist
var files embed.FS

// policy lets pages load what this server serves, and nothing from elsewhere.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// places are the applications of the page: every path below them shows the page, which knows what to make of it.
var places = [...]string{"/chat", "/chess"}

// Handler serves the page and what it loads; other paths are 404. What has a hash in its name may be kept for ever.
func Handler() http.Handler {
	built, err := fs.Sub(files, "dist")
	if err != nil {
		panic(err) // the folder is embedded above
	}
	serve := http.FileServerFS(built)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-cache")
		switch {
		case isPlace(r.URL.Path):
			http.ServeFileFS(w, r, built, "index.html")
			return
		case r.URL.Path != "/" && strings.HasSuffix(r.URL.Path, "/"): // no listing of folders
			http.NotFound(w, r)
			return
		case strings.HasPrefix(path.Clean(r.URL.Path), "/assets/"):
			h.Set("Cache-Control", "public, max-age=31536000, immutable")
		}
		serve.ServeHTTP(w, r)
	})
}

func isPlace(p string) bool {
	for _, place := range places {
		if p == place || strings.HasPrefix(p, place+"/") {
			return true
		}
	}
	return false
}
