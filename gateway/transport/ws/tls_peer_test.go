package ws

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"carillon/gateway/transport"
)

// writePair writes a self-signed certificate of that number, and its key, into dir.
func writePair(t testing.TB, dir string, number int64) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	form := &x509.Certificate{
		SerialNumber: big.NewInt(number), DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	cert, err := x509.CreateCertificate(rand.Reader, form, form, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, b []byte) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	return write("cert.pem", "CERTIFICATE", cert), write("key.pem", "PRIVATE KEY", raw)
}

// loaded returns Certificates with a fresh pair.
func loaded(t testing.TB) *Certificates {
	t.Helper()
	c := new(Certificates)
	if err := c.Load(writePair(t, t.TempDir(), 1)); err != nil {
		t.Fatal(err)
	}
	return c
}

// trusting is a client's configuration that believes every certificate.
func trusting() *tls.Config { return &tls.Config{InsecureSkipVerify: true, ServerName: "localhost"} }

// serveTLS serves h behind net/http and a TLSListener; edit may set the server's limits.
func serveTLS(t testing.TB, h *Handler, mux http.Handler, o TLSOptions, edit func(*http.Server)) (*TLSListener, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tl := ListenTLS(l, &tls.Config{GetCertificate: loaded(t).GetCertificate}, o)
	serveOn(t, tl, h, mux, edit)
	return tl, l.Addr().String()
}

// serveOn runs an http.Server with mux on l until the test ends.
func serveOn(t testing.TB, l net.Listener, h *Handler, mux http.Handler, edit func(*http.Server)) {
	t.Helper()
	s := &http.Server{Handler: mux}
	if edit != nil {
		edit(s)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l) // ends with Close
	}()
	t.Cleanup(func() {
		h.Close()
		s.Close()
		<-done
	})
}

// dialTLS opens a line over TLS.
func dialTLS(t testing.TB, addr string, config *tls.Config) *peer {
	t.Helper()
	p := connectTLS(t, addr, config)
	p.send(fmt.Appendf(nil, handshakeHead, addr))
	p.open101()
	return p
}

// connectTLS makes only the TLS handshake.
func connectTLS(t testing.TB, addr string, config *tls.Config) *peer {
	t.Helper()
	raw, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return overTLS(t, raw, config)
}

// overTLS makes the TLS handshake on raw.
func overTLS(t testing.TB, raw net.Conn, config *tls.Config) *peer {
	t.Helper()
	nc := tls.Client(raw, config)
	t.Cleanup(func() { raw.Close() })
	if err := raw.SetDeadline(time.Now().Add(testPatience)); err != nil {
		t.Fatal(err)
	}
	if err := nc.Handshake(); err != nil {
		t.Fatal(err)
	}
	return newPeer(t, nc)
}

func newPeer(t testing.TB, nc net.Conn) *peer { return &peer{t: t, nc: nc, br: bufio.NewReader(nc)} }

// open101 reads the answer that opens the line.
func (p *peer) open101() {
	p.t.Helper()
	resp, err := http.ReadResponse(p.br, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	if resp.StatusCode != 101 {
		p.t.Fatalf("handshake: %v", resp)
	}
}

// cutTCP ends the TCP connection beneath TLS.
func (p *peer) cutTCP() {
	nc := p.nc
	if t, ok := nc.(*tls.Conn); ok {
		nc = t.NetConn()
	}
	nc.Close()
}

// counted counts the bytes read from a connection.
type counted struct {
	net.Conn
	n atomic.Int64
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.n.Add(int64(n))
	return n, err
}

// openTLSLine opens a line whose near end is a bare Conn.
func openTLSLine(t testing.TB) (*peer, transport.Conn, *counted) {
	t.Helper()
	conns := make(chan transport.Conn, 1)
	h := New(Options{}, func(c transport.Conn) transport.Inbox {
		conns <- c
		return &quiet{}
	})
	_, addr := serveTLS(t, h, h, TLSOptions{}, nil)
	nc, err := net.Dial("tcp", addr)
	must(t, err)
	raw := &counted{Conn: nc}
	p := overTLS(t, raw, trusting())
	p.send(fmt.Appendf(nil, handshakeHead, addr))
	p.open101()
	return p, <-conns, raw
}
