package ws

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
	"time"
)

// handshake is the http.ResponseWriter of a handshake without net/http. Handler.Upgrade leaves its line there.
type handshake struct {
	nc      net.Conn
	line    *conn
	lost    bool // the line broke while it was opened
	aborted bool // the handler panicked
	header  http.Header
	status  int
	body    bytes.Buffer
}

// Header implements http.ResponseWriter.
func (w *handshake) Header() http.Header {
	if w.header == nil {
		w.header = make(http.Header)
	}
	return w.header
}

// WriteHeader implements http.ResponseWriter.
func (w *handshake) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

// Write implements http.ResponseWriter.
func (w *handshake) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(b)
}

// refuse sends what the handler had to say, and ends the connection.
func (w *handshake) refuse(r *http.Request) {
	w.WriteHeader(http.StatusOK)
	w.Header().Set("Date", time.Now().UTC().Format(http.TimeFormat))
	resp := http.Response{
		StatusCode: w.status, ProtoMajor: 1, ProtoMinor: 1, Header: w.header, Close: true, Request: r,
		Body: io.NopCloser(&w.body), ContentLength: int64(w.body.Len()),
	}
	w.header.Del("Connection") // Close says so already
	_ = w.nc.SetDeadline(time.Now().Add(time.Second))
	_ = resp.Write(w.nc) // there is nobody else to tell
	hangUp(w.nc, time.Second)
}

const maxPlainHeaders = 64

// parseHandshake reads a handshake for a path that is all in b and has nothing unusual about it; nil leaves it to
// net/http to say what is wrong, if anything is. rest is what follows the head.
func parseHandshake(b []byte, path string) (r *http.Request, rest []byte) {
	end := bytes.Index(b, []byte("\r\n\r\n"))
	if end < 0 {
		return nil, nil
	}
	line, head, _ := strings.Cut(string(b[:end+2]), "\r\n")
	target, isGet := strings.CutPrefix(line, "GET ")
	target, isOne := strings.CutSuffix(target, " HTTP/1.1")
	where, query, asks := strings.Cut(target, "?")
	if !isGet || !isOne || where != path || asks && query == "" || !isVisible(query) {
		return nil, nil
	}
	header, ok := parseHeader(head)
	if !ok {
		return nil, nil
	}
	host := header["Host"]
	if len(host) != 1 || !isHost(host[0]) || !hasToken(header["Connection"], "upgrade") || !hasToken(header["Upgrade"], "websocket") {
		return nil, nil
	}
	for _, name := range [...]string{"Content-Length", "Transfer-Encoding", "Expect", "Trailer"} {
		if header[name] != nil {
			return nil, nil
		}
	}
	delete(header, "Host") // as net/http does
	return &http.Request{
		Method: http.MethodGet, URL: &url.URL{Path: path, RawQuery: query}, RequestURI: target,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: header, Host: host[0], Body: http.NoBody,
	}, b[end+4:]
}

// parseHeader reads lines of a header, each with its CR LF.
func parseHeader(head string) (http.Header, bool) {
	n := strings.Count(head, "\n")
	if n > maxPlainHeaders {
		return nil, false
	}
	header, values := make(http.Header, n), make([]string, 0, n)
	for head != "" {
		line, rest, _ := strings.Cut(head, "\r\n")
		name, value, isField := strings.Cut(line, ":")
		value = strings.Trim(value, " \t")
		if !isField || !isHTTPToken(name) || !isFieldValue(value) {
			return nil, false
		}
		name = textproto.CanonicalMIMEHeaderKey(name)
		if same := header[name]; same != nil {
			header[name] = append(same, value)
		} else {
			values = append(values, value)
			header[name] = values[len(values)-1 : len(values) : len(values)]
		}
		head = rest
	}
	return header, true
}

// isFieldValue tells whether s may be the value of a header field; what is not ASCII is left to net/http.
func isFieldValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < ' ' && c != '\t') || c >= 0x7f {
			return false
		}
	}
	return true
}

// isVisible tells whether s may be a query as it stands.
func isVisible(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == '#' {
			return false
		}
	}
	return true
}

// isHost tells whether s is a host with nothing unusual about it.
func isHost(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte(".-:[]_", c) >= 0) {
			return false
		}
	}
	return s != ""
}
