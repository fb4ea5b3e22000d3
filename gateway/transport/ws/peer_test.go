package ws

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// peer is a client that may do anything: it sends raw bytes and reads frames.
type peer struct {
	t  testing.TB
	nc net.Conn
	br *bufio.Reader

	code   int // of the close frame that came
	reason string
}

const handshakeHead = "GET / HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"

// testPatience ends a test that waits for what does not come; no test measures it.
const testPatience = 30 * time.Second

func dial(t testing.TB, addr string) *peer {
	t.Helper()
	return dialGlued(t, addr, nil)
}

// dialGlued sends bytes together with the handshake.
func dialGlued(t testing.TB, addr string, glued []byte) *peer {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{t: t, nc: nc, br: bufio.NewReader(nc)}
	t.Cleanup(func() { nc.Close() })
	if err := nc.SetDeadline(time.Now().Add(testPatience)); err != nil {
		t.Fatal(err)
	}
	p.send(append(fmt.Appendf(nil, handshakeHead, addr), glued...))
	resp, err := http.ReadResponse(p.br, nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != 101 || resp.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Fatalf("handshake: %v", resp)
	}
	return p
}

func (p *peer) send(b []byte) {
	p.t.Helper()
	if _, err := p.nc.Write(b); err != nil {
		p.t.Fatal(err)
	}
}

// frame reads one frame from the server and describes it: "text:abc", "close:1000".
func (p *peer) frame() (string, error) {
	var h [2]byte
	if _, err := io.ReadFull(p.br, h[:]); err != nil {
		return "", err
	}
	if h[0]&0xf0 != 0x80 || h[1]&0x80 != 0 {
		return "", fmt.Errorf("the server sent a frame that starts %x", h)
	}
	n := uint64(h[1])
	switch n {
	case 126:
		var b [2]byte
		if _, err := io.ReadFull(p.br, b[:]); err != nil {
			return "", err
		}
		n = uint64(binary.BigEndian.Uint16(b[:]))
	case 127:
		var b [8]byte
		if _, err := io.ReadFull(p.br, b[:]); err != nil {
			return "", err
		}
		n = binary.BigEndian.Uint64(b[:])
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(p.br, b); err != nil {
		return "", err
	}
	switch h[0] & 0x0f {
	case opText:
		return "text:" + string(b), nil
	case opBinary:
		return "binary:" + string(b), nil
	case opPing:
		return "ping:" + string(b), nil
	case opPong:
		return "pong:" + string(b), nil
	case opClose:
		if len(b) == 0 {
			return "close:", nil
		}
		p.code, p.reason = int(binary.BigEndian.Uint16(b)), string(b[2:])
		return fmt.Sprint("close:", p.code), nil
	}
	return "", fmt.Errorf("the server sent opcode %d", h[0]&0x0f)
}

// want reads the frames named.
func (p *peer) want(frames ...string) {
	p.t.Helper()
	for _, w := range frames {
		got, err := p.frame()
		if err != nil {
			p.t.Fatalf("want %s, got %v", brief(w), err)
		}
		if got != w {
			p.t.Fatalf("want %s, got %s", brief(w), brief(got))
		}
	}
}

// wantGone reads to the end of the connection, which must come without the peer's help.
func (p *peer) wantGone() {
	p.t.Helper()
	for {
		got, err := p.frame()
		var wait net.Error
		switch {
		case errors.As(err, &wait) && wait.Timeout():
			p.t.Fatal("the connection is still there")
		case err != nil:
			return
		}
		p.t.Fatalf("got %s after the end", brief(got))
	}
}

// wantClose wants a close frame with this code, possibly after other frames, and the end.
func (p *peer) wantClose(code int) {
	p.t.Helper()
	want := fmt.Sprintf("close:%d", code)
	for {
		got, err := p.frame()
		if err != nil {
			p.t.Fatalf("want %s, got %v", want, err)
		}
		if strings.HasPrefix(got, "close:") {
			if got != want {
				p.t.Fatalf("want %s, got %s", want, got)
			}
			p.wantGone()
			return
		}
	}
}

func brief(s string) string {
	if len(s) > 60 {
		return fmt.Sprintf("%.60q… (%d bytes)", s, len(s))
	}
	return fmt.Sprintf("%q", s)
}

var testKey = [4]byte{0x37, 0xfa, 0x21, 0x3d}

// raw makes a client frame with any first byte.
func raw(first byte, payload string) []byte {
	b := appendHeader(nil, first, len(payload))
	b[1] |= maskBit
	b = append(b, testKey[:]...)
	at := len(b)
	b = append(b, payload...)
	mask(b[at:], testKey, 0)
	return b
}

func fin(op byte, payload string) []byte  { return raw(finBit|op, payload) }
func part(op byte, payload string) []byte { return raw(op, payload) }

func closeFrame(code int, reason string) []byte {
	return fin(opClose, string([]byte{byte(code >> 8), byte(code)})+reason)
}

func cat(bs ...[]byte) (all []byte) {
	for _, b := range bs {
		all = append(all, b...)
	}
	return all
}

// healthy checks that a well-behaved client is served at once.
func healthy(t testing.TB, addr string) {
	t.Helper()
	p := dial(t, addr)
	p.send(cat(fin(opText, "well?"), fin(opPing, "1"), closeFrame(1000, "")))
	p.want("text:well?", "pong:1", "close:1000")
	p.wantGone()
	p.nc.Close()
}
