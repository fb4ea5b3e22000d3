// Package web holds the pages of a node, embedded in the binary. It serves files and headers, nothing else: whatever the
// pages show they get over the client protocol like any other client. The sources are in app, dist is what they build to.
// Start with Handler.
package web

import (
	"bytes"
	"compress/gzip"
	"embed"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
)

//go:embed dist
var files embed.FS

// policy lets pages load what this server serves, and nothing from elsewhere.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// places are the applications of the page: every path below them shows the page, which knows what to make of it.
var places = [...]string{"/chat", "/chess"}

// types are the files that are sent compressed, by their ending. Nothing else is built.
var types = map[string]string{
	".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml",
}

// Handler serves the page and what it loads, compressed for whoever takes gzip; other paths are 404. What has a hash in
// its name may be kept for ever.
func Handler() http.Handler {
	built, err := fs.Sub(files, "dist")
	if err != nil {
		panic(err) // the folder is embedded above
	}
	packed := pack(built)
	serve := http.FileServerFS(built)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-cache")
		h.Set("Vary", "Accept-Encoding")
		name := strings.TrimPrefix(path.Clean(r.URL.Path), "/")
		switch {
		case r.URL.Path == "/" || isPlace(r.URL.Path):
			name = "index.html"
		case strings.HasSuffix(r.URL.Path, "/"): // no listing of folders
			http.NotFound(w, r)
			return
		case strings.HasPrefix(name, "assets/"):
			h.Set("Cache-Control", "public, max-age=31536000, immutable")
		}
		body, ok := packed[name]
		switch {
		case ok && takesGzip(r):
			h.Set("Content-Encoding", "gzip")
			h.Set("Content-Type", types[path.Ext(name)])
			h.Set("Content-Length", strconv.Itoa(len(body)))
			w.Write(body) // whoever went away does not get it
		case name == "index.html":
			http.ServeFileFS(w, r, built, name)
		default:
			serve.ServeHTTP(w, r)
		}
	})
}

// pack compresses every file once, by its name: there are few, and they do not change while the program runs.
func pack(built fs.FS) map[string][]byte {
	packed := make(map[string][]byte)
	err := fs.WalkDir(built, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || types[path.Ext(name)] == "" {
			return err
		}
		body, err := fs.ReadFile(built, name)
		if err != nil {
			return err
		}
		var b bytes.Buffer
		z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // fails only for a level that there is not
		z.Write(body)
		z.Close() // neither fails into a buffer
		packed[name] = b.Bytes()
		return nil
	})
	if err != nil {
		panic(err) // the files are embedded above
	}
	return packed
}

// takesGzip tells if the client says that it reads gzip. A weight of zero means that it does not.
func takesGzip(r *http.Request) bool {
	for _, v := range r.Header.Values("Accept-Encoding") {
		for one := range strings.SplitSeq(v, ",") {
			coding, weight, _ := strings.Cut(one, ";")
			if strings.EqualFold(strings.TrimSpace(coding), "gzip") {
				q, err := strconv.ParseFloat(strings.TrimPrefix(strings.TrimSpace(weight), "q="), 64)
				return weight == "" || err == nil && q > 0
			}
		}
	}
	return false
}

func isPlace(p string) bool {
	for _, place := range places {
		if p == place || strings.HasPrefix(p, place+"/") {
			return true
		}
	}
	return false
}
