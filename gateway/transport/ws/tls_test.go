package ws

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"carillon/gateway/transport"
)

func TestTLSServesPagesAndLines(t *testing.T) {
	h := NewEcho(Options{}, 1<<20)
	mux := http.NewServeMux()
	mux.Handle("/ws", h)
	mux.HandleFunc("/page", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %d %s", r.Proto, r.TLS.Version, r.TLS.NegotiatedProtocol)
	})
	tl, addr := serveTLS(t, h, mux, TLSOptions{}, nil)
	config := trusting()
	config.NextProtos = []string{"h2", "http/1.1"}
	p := connectTLS(t, addr, config)
	p.send([]byte("GET /page HTTP/1.1\r\nHost: x\r\n\r\n"))
	resp, err := http.ReadResponse(p.br, nil)
	must(t, err)
	body, err := io.ReadAll(resp.Body)
	must(t, err)
	if got, want := string(body), fmt.Sprintf("HTTP/1.1 %d http/1.1", tls.VersionTLS13); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	// The same connection becomes a line, with frames glued to the handshake.
	p.send(cat([]byte(strings.Replace(fmt.Sprintf(handshakeHead, addr), "GET / ", "GET /ws ", 1)), fin(opText, "one"), fin(opText, "two")[:3]))
	p.open101()
	p.want("text:one")
	p.send(cat(fin(opText, "two")[3:], fin(opPing, "x"), closeFrame(1000, "")))
	p.want("text:two", "pong:x", "close:1000")
	if _, err := p.br.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("the line ended with %v, not with TLS's own goodbye", err)
	}
	if s := tl.Stats(); s.Done != 1 || s.Failed != 0 || s.Waiting != 0 {
		t.Errorf("stats %+v", s)
	}
}

// TestS08_Versions: nothing older than TLS 1.2, whatever the configuration says.
func TestS08_Versions(t *testing.T) {
	h := NewEcho(Options{}, 1<<20)
	tl, addr := serveTLS(t, h, h, TLSOptions{}, nil)
	for version, welcome := range map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		config := trusting()
		config.MinVersion, config.MaxVersion = version, version
		nc, err := tls.Dial("tcp", addr, config)
		if err == nil {
			nc.Close()
		}
		if (err == nil) != welcome {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
	}
	for waits := time.Now(); tl.Stats().Done+tl.Stats().Failed < 4 && time.Since(waits) < testPatience; {
		<-time.After(time.Millisecond) // a client hears of its failure before it is counted
	}
	if s := tl.Stats(); s.Failed != 2 {
		t.Errorf("stats %+v", s)
	}
	old := &tls.Config{MinVersion: tls.VersionTLS10}
	if got := ListenTLS(nil, old, TLSOptions{}).config.MinVersion; got != tls.VersionTLS12 || old.MinVersion != tls.VersionTLS10 {
		t.Errorf("version %x", got)
	}
}

func TestTLSOtherProtocols(t *testing.T) {
	h := NewEcho(Options{}, 1<<20)
	tl, addr := serveTLS(t, h, h, TLSOptions{}, nil)
	nc, resp := request(t, addr, baseHandshake(addr)+"\r\n")
	if resp.StatusCode != 400 {
		t.Errorf("plain HTTP: got %s", resp.Status)
	}
	nc.Close()
	for _, in := range []string{"\x16\x03\x01\xff\xff", "\x80\x2e\x01\x00\x02", "SSH-2.0-x\r\n", "\x16\x03\x01\x00\x04\x01\x00\x00\x00"} {
		raw, err := net.Dial("tcp", addr)
		must(t, err)
		must(t, raw.SetDeadline(time.Now().Add(testPatience)))
		_, err = raw.Write([]byte(in))
		must(t, err)
		if w, ok := raw.(*net.TCPConn); ok {
			must(t, w.CloseWrite())
		}
		if _, err := io.Copy(io.Discard, raw); isTimeout(err) {
			t.Errorf("%q: still there", in)
		}
		raw.Close()
	}
	if s := tl.Stats(); s.Failed != 5 {
		t.Errorf("stats %+v", s)
	}
	config := trusting()
	config.NextProtos = []string{"h2"}
	if nc, err := tls.Dial("tcp", addr, config); err == nil && nc.ConnectionState().NegotiatedProtocol != "" {
		t.Errorf("negotiated %s", nc.ConnectionState().NegotiatedProtocol)
	}
	p := dialTLS(t, addr, trusting())
	p.send(fin(opText, "well?"))
	p.want("text:well?")
}

func isTimeout(err error) bool {
	var wait net.Error
	return errors.As(err, &wait) && wait.Timeout()
}

// TestH09_SmugglingTLS: the head is watched behind TLS too, on both ways in.
func TestH09_SmugglingTLS(t *testing.T) {
	h := NewEcho(Options{}, 1<<20)
	_, behind := serveTLS(t, h, h, TLSOptions{}, nil)
	own := NewEcho(Options{}, 1<<20)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	tl := ListenTLS(l, &tls.Config{GetCertificate: loaded(t).GetCertificate}, TLSOptions{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			nc, err := tl.Accept()
			if err != nil {
				return
			}
			_ = own.ServeConn(nc) // one after the other is enough here; a refusal is seen from outside
		}
	}()
	t.Cleanup(func() {
		tl.Close()
		<-done
		own.Close()
	})
	for _, addr := range []string{behind, l.Addr().String()} {
		for lines, status := range map[string]int{"": 101, "X-Filler: x\n": 400, "\n": 400, "Transfer-Encoding: chunked\r\n": 400} {
			p := connectTLS(t, addr, trusting())
			p.send([]byte(baseHandshake(addr) + lines + "\r\n"))
			resp, err := http.ReadResponse(p.br, nil)
			must(t, err)
			if resp.StatusCode != status {
				t.Errorf("%q: got %s, want %d", lines, resp.Status, status)
			}
			p.cutTCP()
		}
	}
	if l := StrictLines(tl); l != net.Listener(tl) {
		t.Error("heads are watched twice")
	}
}

func TestCertificateReload(t *testing.T) {
	dir, certs := t.TempDir(), new(Certificates)
	if _, err := certs.GetCertificate(nil); err == nil || !certs.Expires().IsZero() {
		t.Fatal("an empty store shows a certificate")
	}
	certFile, keyFile := writePair(t, dir, 1)
	must(t, certs.Load(certFile, keyFile))
	h := NewEcho(Options{}, 1<<20)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	serveOn(t, ListenTLS(l, &tls.Config{GetCertificate: certs.GetCertificate}, TLSOptions{}), h, h, nil)
	first := dialTLS(t, l.Addr().String(), trusting())
	number := func(want int64) {
		t.Helper()
		p := dialTLS(t, l.Addr().String(), trusting())
		if got := p.nc.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber.Int64(); got != want {
			t.Fatalf("the listener shows certificate %d, want %d", got, want)
		}
		p.cutTCP()
	}
	number(1)
	other := filepath.Join(dir, "other")
	must(t, os.Mkdir(other, 0o700))
	newCert, newKey := writePair(t, other, 2)
	for _, bad := range [][2]string{{newCert, keyFile}, {certFile, newKey}, {certFile, certFile}, {"missing", keyFile}} {
		if err := certs.Load(bad[0], bad[1]); err == nil || !strings.Contains(err.Error(), bad[0]) {
			t.Errorf("%v: %v", bad, err)
		}
		number(1) // the last good pair stays
	}
	must(t, certs.Load(newCert, newKey))
	number(2)
	if d := time.Until(certs.Expires()); d <= 0 || d > 25*time.Hour {
		t.Errorf("expires in %v", d)
	}
	first.send(fin(opText, "still here"))
	first.want("text:still here")
}

func TestSessionTickets(t *testing.T) {
	h := NewEcho(Options{}, 1<<20)
	_, addr := serveTLS(t, h, h, TLSOptions{}, nil)
	config := trusting()
	config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	for _, again := range []bool{false, true} {
		p := dialTLS(t, addr, config)
		p.send(fin(opText, "x"))
		p.want("text:x")
		if got := p.nc.(*tls.Conn).ConnectionState().DidResume; got != again {
			t.Errorf("resumed: %v, want %v", got, again)
		}
		p.cutTCP()
	}
}

// TestTLSQueueIsBounded: who finds the queue full is refused, and the others get through.
func TestTLSQueueIsBounded(t *testing.T) {
	inside, leave := make(chan struct{}), make(chan struct{})
	certs := loaded(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	tl := ListenTLS(l, &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		inside <- struct{}{}
		<-leave
		return certs.GetCertificate(hello)
	}}, TLSOptions{MaxHandshakes: 1, MaxWaiting: 1})
	h := NewEcho(Options{}, 1<<20)
	serveOn(t, tl, h, h, nil)
	results := make(chan error, 3)
	for range 3 {
		go func() {
			nc, err := tls.Dial("tcp", l.Addr().String(), trusting())
			if err == nil {
				nc.Close()
			}
			results <- err
		}()
	}
	<-inside
	if err := <-results; err == nil { // the third, whichever that is: one computes, one waits
		t.Error("there was room for a second to wait")
	}
	if s := tl.Stats(); s.Waiting != 1 || s.Refused != 1 {
		t.Errorf("stats %+v", s)
	}
	leave <- struct{}{}
	<-inside
	leave <- struct{}{}
	for range 2 {
		must(t, <-results)
	}
	if s := tl.Stats(); s.Waiting != 0 || len(tl.slots) != 0 {
		t.Errorf("stats %+v, %d slots taken", s, len(tl.slots))
	}
}

// TestTLSSlowPeersHoldNoSlot: who has sent its hello and says no more keeps nobody else out.
func TestTLSSlowPeersHoldNoSlot(t *testing.T) {
	h := NewEcho(Options{}, 1<<20)
	tl, addr := serveTLS(t, h, h, TLSOptions{MaxHandshakes: 1, HandshakeTimeout: testPatience}, nil)
	hello := clientHello(t)
	for range 3 {
		nc := connectTCP(t, addr)
		defer nc.Close()
		_, err := nc.Write(hello)
		must(t, err)
		_, err = io.ReadFull(nc, make([]byte, 5)) // the server's answer comes
		must(t, err)
		half := connectTCP(t, addr)
		defer half.Close()
		_, err = half.Write(hello[:len(hello)-1])
		must(t, err)
	}
	p := dialTLS(t, addr, trusting())
	p.send(fin(opText, "x"))
	p.want("text:x")
	if s := tl.Stats(); s.Done != 1 || s.Waiting != 0 {
		t.Errorf("stats %+v", s)
	}
}

// TestTLSRecordsFit: whatever a cipher adds to its records, what is sealed at a time fits the buffer.
func TestTLSRecordsFit(t *testing.T) {
	for _, suite := range []uint16{
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256,
		tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
	} {
		conns := make(chan transport.Conn, 1)
		h := New(Options{}, func(c transport.Conn) transport.Inbox {
			conns <- c
			return &quiet{}
		})
		l, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		serveOn(t, ListenTLS(l, &tls.Config{GetCertificate: loaded(t).GetCertificate, CipherSuites: []uint16{suite}}, TLSOptions{}), h, h, nil)
		config := trusting()
		config.MaxVersion, config.CipherSuites = tls.VersionTLS12, []uint16{suite}
		dialTLS(t, l.Addr().String(), config)
		c := <-conns
		frame := Framing{}.AppendMessage(nil, make([]byte, 1000), true)
		bufs := make([][]byte, 1024)
		for i := range bufs {
			bufs[i] = frame
		}
		for sum := 1024 * len(frame); ; {
			n, err := c.Write(bufs)
			must(t, err)
			if n < sum {
				break
			}
		}
		s := c.(*conn).sealer
		s.mu.Lock()
		if n := len(*s.buf); n > sealBytes {
			t.Errorf("%s: %d bytes are sealed", tls.CipherSuiteName(suite), n)
		}
		s.mu.Unlock()
	}
}

// TestTLSWriteAllocatesNothing is in alloc_test.go; this one shows that many small frames share records.
func TestTLSFramesShareRecords(t *testing.T) {
	p, c, raw := openTLSLine(t)
	frame := Framing{}.AppendMessage(nil, make([]byte, 100), true)
	bufs := make([][]byte, 64)
	for i := range bufs {
		bufs[i] = frame
	}
	before := raw.n.Load()
	n, err := c.Write(bufs)
	must(t, err)
	if n != 64*len(frame) {
		t.Fatalf("%d bytes of %d", n, 64*len(frame))
	}
	for range bufs {
		p.want("binary:" + string(make([]byte, 100)))
	}
	if over := int(raw.n.Load()-before) - n; over > 6*30 {
		t.Errorf("%d bytes of overhead for %d frames", over, len(bufs))
	}
}

func TestPlainChunks(t *testing.T) {
	var want strings.Builder
	var bufs [][]byte
	for i, n := range []int{0, 1, 100, sealPlain, 0, sealPlain + 1, 3*sealPlain - 7, 5, 5} {
		b := []byte(strings.Repeat(string(rune('a'+i)), n))
		want.Write(b)
		bufs = append(bufs, b)
	}
	var got strings.Builder
	src := plain{bufs: bufs}
	scratch := make([]byte, 0, spillBytes)
	for !src.empty() {
		chunk := src.next(scratch)
		if len(chunk) > sealPlain {
			t.Fatalf("a chunk of %d bytes", len(chunk))
		}
		got.Write(chunk)
	}
	if got.String() != want.String() {
		t.Error("the bytes differ")
	}
}
