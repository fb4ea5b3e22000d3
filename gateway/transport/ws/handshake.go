package ws

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"carillon/wire"
)

// offer is what a valid handshake asks for and gets.
type offer struct {
	key      string
	protocol string
	token    string
}

// refusal is an HTTP answer that is no upgrade; text tells the client what to do.
type refusal struct {
	status int
	text   string
	header http.Header
}

func (r *refusal) Error() string { return r.text }

// Refusal is why a handshake was refused; its String is what metrics show.
type Refusal uint8

// The refusals.
const (
	RefusedMalformed Refusal = iota
	RefusedOrigin            // a page of an origin that may not connect
	RefusedVersion           // no WebSocket, or not its version 13
	RefusedShutdown          // the Handler ends
	RefusedOther             // the connection could not be had, or TLS failed in ServeConn
	refusals
)

func (r Refusal) String() string {
	return [...]string{"malformed", "origin", "version", "shutdown", "other"}[min(r, RefusedOther)]
}

func (r *refusal) why() Refusal {
	switch r.status {
	case http.StatusForbidden:
		return RefusedOrigin
	case http.StatusUpgradeRequired:
		return RefusedVersion
	case http.StatusServiceUnavailable:
		return RefusedShutdown
	}
	return RefusedMalformed
}

// refuse closes the connection too: net/http would first wait for a body that may never come.
func refuse(status int, text string) *refusal {
	return &refusal{status: status, text: text, header: http.Header{"Connection": {"close"}}}
}

// writeTo writes the refusal to a connection that has no http.Server.
func (r *refusal) writeTo(w io.Writer) {
	resp := http.Response{
		StatusCode: r.status, ProtoMajor: 1, ProtoMinor: 1, Header: r.header, Close: true,
		Body: io.NopCloser(strings.NewReader(r.text + "\n")), ContentLength: int64(len(r.text) + 1),
	}
	resp.Header.Set("Content-Type", "text/plain; charset=utf-8")
	_ = resp.Write(w) // there is nobody else to tell
}

// negotiate checks a handshake by RFC 6455, section 4.2.1, and our own rules.
func (o *Options) negotiate(r *http.Request) (offer, *refusal) {
	if no := checkRequest(r); no != nil {
		return offer{}, no
	}
	keys := r.Header.Values("Sec-WebSocket-Key")
	if len(keys) != 1 {
		return offer{}, refuse(http.StatusBadRequest, "there must be one Sec-WebSocket-Key header")
	}
	if raw, err := base64.StdEncoding.Strict().DecodeString(keys[0]); err != nil || len(raw) != 16 {
		return offer{}, refuse(http.StatusBadRequest, "Sec-WebSocket-Key must be 16 bytes in base64")
	}
	if !o.allows(r) {
		return offer{}, refuse(http.StatusForbidden, "pages of this origin may not connect here")
	}
	off, no := o.choose(r.Header.Values("Sec-WebSocket-Protocol"))
	off.key = keys[0]
	return off, no
}

func checkRequest(r *http.Request) *refusal {
	switch {
	case r.Method != http.MethodGet:
		no := refuse(http.StatusMethodNotAllowed, "a WebSocket handshake is a GET request")
		no.header.Set("Allow", "GET")
		return no
	case r.ProtoMajor != 1 || r.ProtoMinor < 1:
		return refuse(http.StatusBadRequest, "a WebSocket handshake is made over HTTP/1.1")
	case len(r.TransferEncoding) > 0 || r.ContentLength != 0 || len(r.Header.Values("Content-Length")) > 1:
		return refuse(http.StatusBadRequest, "a WebSocket handshake has no body")
	case !hasToken(r.Header.Values("Connection"), "upgrade") || !hasToken(r.Header.Values("Upgrade"), "websocket"):
		no := refuse(http.StatusUpgradeRequired, "this address speaks WebSocket: send Connection: Upgrade and Upgrade: websocket")
		no.header.Set("Upgrade", "websocket")
		return no
	}
	if v := r.Header.Values("Sec-WebSocket-Version"); len(v) != 1 || v[0] != "13" {
		no := refuse(http.StatusUpgradeRequired, "this address speaks WebSocket version 13")
		no.header.Set("Upgrade", "websocket")
		no.header.Set("Sec-WebSocket-Version", "13")
		return no
	}
	return nil
}

// hasToken looks for a token in header lists, whatever its case.
func hasToken(lists []string, token string) bool {
	for _, list := range lists {
		for item := range strings.SplitSeq(list, ",") {
			if strings.EqualFold(strings.Trim(item, " \t"), token) {
				return true
			}
		}
	}
	return false
}

// choose picks the first subprotocol of the client's list that we speak, and takes the token out of the list.
func (o *Options) choose(lists []string) (off offer, no *refusal) {
	size, offered := 0, false
	for _, list := range lists {
		if size += len(list); size > maxOfferBytes {
			return offer{}, refuse(http.StatusRequestHeaderFieldsTooLarge, "Sec-WebSocket-Protocol is too long")
		}
		for item := range strings.SplitSeq(list, ",") {
			item = strings.Trim(item, " \t")
			token, isToken := strings.CutPrefix(item, wire.TokenPrefix)
			switch {
			case item == "":
				continue
			case !isHTTPToken(item):
				return offer{}, refuse(http.StatusBadRequest, "Sec-WebSocket-Protocol is malformed")
			case isToken && off.token != "":
				return offer{}, refuse(http.StatusBadRequest, "Sec-WebSocket-Protocol carries two tokens")
			case isToken:
				off.token = strings.Clone(token) // else all of the header would live as long as the line
			case off.protocol == "":
				if i := slices.Index(o.Protocols, item); i >= 0 {
					off.protocol = o.Protocols[i]
				}
			}
			offered = true
		}
	}
	if offered && off.protocol == "" && len(o.Protocols) > 0 {
		// A browser would fail a handshake that chooses none of what it offered, without saying why.
		return offer{}, refuse(http.StatusBadRequest, "offer one of the subprotocols "+strings.Join(o.Protocols, ", "))
	}
	return off, nil
}

// isHTTPToken tells whether s is a token as RFC 9110, section 5.6.2, defines it.
func isHTTPToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return s != ""
}

// allows judges the page that wants to connect. What is no page sends no Origin.
func (o *Options) allows(r *http.Request) bool {
	if o.CheckOrigin != nil {
		return o.CheckOrigin(r)
	}
	origins := r.Header.Values("Origin")
	if len(origins) == 0 {
		return true
	}
	if len(origins) > 1 {
		return false
	}
	origin := canonicalOrigin(origins[0])
	if len(o.Origins) > 0 {
		return slices.ContainsFunc(o.Origins, func(s string) bool { return s == "*" || canonicalOrigin(s) == origin })
	}
	// Without TLS here there may be a proxy that has it: then the page's scheme is not known.
	return origin == canonicalOrigin("https://"+r.Host) ||
		r.TLS == nil && origin == canonicalOrigin("http://"+r.Host)
}

// canonicalOrigin lowers the case and drops the default port; whatever else differs makes another origin.
func canonicalOrigin(s string) string {
	s = strings.ToLower(s)
	if rest, ok := strings.CutPrefix(s, "https://"); ok {
		return "https://" + strings.TrimSuffix(rest, ":443")
	}
	return strings.TrimSuffix(s, ":80")
}

const acceptGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

// answer is the response that opens the line.
func (off offer) answer() []byte {
	sum := sha1.Sum([]byte(off.key + acceptGUID))
	b := []byte("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ")
	b = base64.StdEncoding.AppendEncode(b, sum[:])
	if off.protocol != "" {
		b = append(append(b, "\r\nSec-WebSocket-Protocol: "...), off.protocol...)
	}
	return append(b, "\r\n\r\n"...)
}

// readRequest reads the head of a request, and only that. It is stricter than net/http: a line ends in CR LF.
func readRequest(br *bufio.Reader) (*http.Request, *refusal) {
	var head []byte
	for !bytes.HasSuffix(head, []byte("\r\n\r\n")) {
		line, err := br.ReadSlice('\n')
		head = append(head, line...)
		switch {
		case err == bufio.ErrBufferFull || len(head) > maxHeadBytes:
			return nil, refuse(http.StatusRequestHeaderFieldsTooLarge, "the request's head is too long")
		case err != nil:
			return nil, refuse(http.StatusRequestTimeout, fmt.Sprintf("no whole request came: %v", err))
		case len(line) < 2 || bytes.IndexByte(line, '\r') != len(line)-2:
			return nil, refuse(http.StatusBadRequest, "a line of the head does not end in CR LF")
		case line[0] == ' ', line[0] == '\t', bytes.IndexByte(line, 0) >= 0:
			return nil, refuse(http.StatusBadRequest, "the request is malformed")
		case len(head) == 2:
			head = head[:0] // an empty line before a request is to be ignored, RFC 9112 section 2.2
		}
	}
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(head)))
	if err != nil || r.Host == "" {
		return nil, refuse(http.StatusBadRequest, "the request is malformed")
	}
	for name := range r.Header {
		if !isHTTPToken(name) {
			return nil, refuse(http.StatusBadRequest, "the request is malformed")
		}
	}
	return r, nil
}
