package ws

import (
	"bufio"
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"carillon/gateway/transport"
)

// recordPeer is a TLS 1.3 client that writes its records itself after the handshake, since crypto/tls has no way to
// send key updates or broken records. RFC 8446, sections 5.2 and 7.
type recordPeer struct {
	nc      net.Conn
	in, out recordKeys
	updates int // key updates that came
	alert   []byte
	data    bytes.Buffer
}

// recordKeys protect one direction.
type recordKeys struct {
	secret []byte
	aead   cipher.AEAD
	iv     []byte
	seq    uint64
}

const (
	recordAlert     = 21
	recordHandshake = 22
	recordData      = 23
)

// expand is HKDF-Expand-Label with an empty context.
func expand(secret []byte, label string, n int) []byte {
	info := binary.BigEndian.AppendUint16(nil, uint16(n))
	info = append(info, byte(len("tls13 ")+len(label)))
	info = append(info, "tls13 "+label+"\x00"...)
	b, err := hkdf.Expand(sha256.New, secret, string(info), n)
	if err != nil {
		panic(err)
	}
	return b
}

func (k *recordKeys) use(secret []byte) {
	block, err := aes.NewCipher(expand(secret, "key", 16))
	if err != nil {
		panic(err)
	}
	k.aead, err = cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	k.secret, k.iv, k.seq = secret, expand(secret, "iv", 12), 0
}

func (k *recordKeys) update() { k.use(expand(k.secret, "traffic upd", 32)) }

func (k *recordKeys) nonce() []byte {
	n := bytes.Clone(k.iv)
	for i := range 8 {
		n[4+i] ^= byte(k.seq >> (56 - 8*i))
	}
	k.seq++
	return n
}

// record seals one record.
func (p *recordPeer) record(kind byte, b []byte) []byte {
	head := []byte{recordData, 3, 3, 0, 0}
	binary.BigEndian.PutUint16(head[3:], uint16(len(b)+1+16))
	return p.out.aead.Seal(head, p.out.nonce(), append(bytes.Clone(b), kind), head)
}

// keyUpdate asks the server for one in return.
func (p *recordPeer) keyUpdate() []byte {
	r := p.record(recordHandshake, []byte{24, 0, 0, 1, 1})
	p.out.update()
	return r
}

// Read returns application data and notes what else comes.
func (p *recordPeer) Read(b []byte) (int, error) {
	for p.data.Len() == 0 {
		head := make([]byte, 5)
		if _, err := io.ReadFull(p.nc, head); err != nil {
			return 0, err
		}
		body := make([]byte, binary.BigEndian.Uint16(head[3:]))
		if _, err := io.ReadFull(p.nc, body); err != nil {
			return 0, err
		}
		text, err := p.in.aead.Open(nil, p.in.nonce(), body, head)
		if err != nil {
			return 0, err
		}
		switch kind := text[len(text)-1]; kind {
		case recordData:
			p.data.Write(text[:len(text)-1])
		case recordHandshake:
			if !bytes.Equal(text, []byte{24, 0, 0, 1, 0, recordHandshake}) {
				return 0, fmt.Errorf("handshake message % x", text)
			}
			p.updates++
			p.in.update()
		case recordAlert:
			p.alert = text[:2]
		}
	}
	return p.data.Read(b)
}

// dialRecords opens a line to h and takes it over.
func dialRecords(t *testing.T, h *Handler) (*recordPeer, *peer) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	config := &tls.Config{GetCertificate: loaded(t).GetCertificate, SessionTicketsDisabled: true}
	serveOn(t, ListenTLS(l, config, TLSOptions{}), h, h, nil)
	raw, err := net.Dial("tcp", l.Addr().String())
	must(t, err)
	var secrets bytes.Buffer
	trust := trusting()
	trust.KeyLogWriter = &secrets
	tp := overTLS(t, raw, trust)
	if suite := tp.nc.(*tls.Conn).ConnectionState().CipherSuite; suite != tls.TLS_AES_128_GCM_SHA256 {
		t.Skipf("this machine agrees on %s, and this client knows only AES-128-GCM", tls.CipherSuiteName(suite))
	}
	p := &recordPeer{nc: raw}
	for line := range strings.Lines(secrets.String()) {
		var label, random, secret string
		if _, err := fmt.Sscan(line, &label, &random, &secret); err != nil {
			t.Fatal(err)
		}
		b, err := hex.DecodeString(secret)
		must(t, err)
		switch label {
		case "CLIENT_TRAFFIC_SECRET_0":
			p.out.use(b)
		case "SERVER_TRAFFIC_SECRET_0":
			p.in.use(b)
		}
	}
	frames := &peer{t: t, nc: raw, br: bufio.NewReader(p)}
	frames.send(p.record(recordData, fmt.Appendf(nil, handshakeHead, l.Addr())))
	frames.open101()
	return p, frames
}

// TestTLSKeyUpdates: both directions change their keys while messages go on, however the records are cut.
func TestTLSKeyUpdates(t *testing.T) {
	p, frames := dialRecords(t, NewEcho(Options{}, 1<<20))
	const rounds = 50
	var in []byte
	for i := range rounds {
		in = append(in, p.keyUpdate()...)
		in = append(in, p.record(recordData, fin(opText, fmt.Sprint("message ", i)))...)
	}
	writeChopped(p.nc, in, 7)
	for i := range rounds {
		frames.want(fmt.Sprint("text:message ", i))
	}
	if p.updates != rounds {
		t.Errorf("%d of %d key updates were answered", p.updates, rounds)
	}
	frames.send(p.record(recordData, closeFrame(1000, "")))
	frames.want("close:1000")
	if _, err := frames.br.ReadByte(); err == nil || !bytes.Equal(p.alert, []byte{1, 0}) {
		t.Errorf("the end: %v, alert % x", err, p.alert)
	}
}

// TestTLSKeyUpdatesUnread: a peer that asks for key updates and reads nothing loses its line at the bound of the
// reserve, and nobody waits for it before.
func TestTLSKeyUpdatesUnread(t *testing.T) {
	lines := make(chan *ledgerInbox, 1)
	p, _ := dialRecords(t, New(Options{}, func(c transport.Conn) transport.Inbox {
		l := &ledgerInbox{echo: echo{c: c}, closed: make(chan error, 2)}
		l.out.Init(c, &l.echo, 64<<20)
		lines <- l
		return l
	}))
	l := <-lines
	for !l.out.Blocked() {
		must(t, l.out.Send(Framing{}.AppendMessage(nil, make([]byte, 16<<10), true)))
	}
	held := func() int {
		s := l.c.(*conn).sealer
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(*s.buf)
	}
	before := held()
	sent := make(chan int)
	go func() {
		n := 0
		for ; n < 100_000; n++ {
			r := append(p.keyUpdate(), p.record(recordData, fin(opPong, ""))...)
			if n%500 == 0 {
				r = append(r, p.record(recordData, fin(opText, ""))...)
			}
			if _, err := p.nc.Write(r); err != nil {
				break
			}
		}
		sent <- n
	}()
	if err := <-l.closed; !errors.Is(err, errSealFull) {
		t.Errorf("the line ended with %v", err)
	}
	if more := held() - before; more <= sealReserve-100 || more > sealReserve {
		t.Errorf("%d bytes were kept beyond the data", more)
	}
	if n := <-sent; n < sealReserve/32-10 || n == 100_000 {
		t.Errorf("it ended after %d key updates", n)
	}
}

// TestTLSBrokenRecord: the alert reaches the peer, the line ends.
func TestTLSBrokenRecord(t *testing.T) {
	lines := make(chan *ledgerInbox, 1)
	p, frames := dialRecords(t, New(Options{}, func(c transport.Conn) transport.Inbox {
		l := &ledgerInbox{echo: echo{c: c}, closed: make(chan error, 2)}
		l.out.Init(c, &l.echo, 1<<20)
		lines <- l
		return l
	}))
	bad := p.record(recordData, fin(opText, "x"))
	bad[len(bad)-1] ^= 1
	frames.send(bad)
	if _, err := frames.frame(); err == nil || !bytes.Equal(p.alert, []byte{2, 20}) {
		t.Errorf("the end: %v, alert % x", err, p.alert)
	}
	if err := <-(<-lines).closed; err == nil {
		t.Error("a broken record ended orderly")
	}
}

// TestTLSHalfClosedPeerGetsItsBytes: what Write took before the peer closed its own side still arrives.
func TestTLSHalfClosedPeerGetsItsBytes(t *testing.T) {
	for range 10 { // the peer's end is to be seen before the peer has read
		halfClosed(t)
	}
}

func halfClosed(t *testing.T) {
	conns := make(chan transport.Conn, 1)
	p, frames := dialRecords(t, New(Options{CloseTimeout: testPatience}, func(c transport.Conn) transport.Inbox {
		conns <- c
		return &quiet{}
	}))
	c := (<-conns).(*conn)
	frame := Framing{}.AppendMessage(nil, make([]byte, 16<<10-4), true)
	whole := 0
	for {
		n, err := c.Write([][]byte{frame})
		must(t, err)
		if n < len(frame) {
			break
		}
		whole++
	}
	c.Close()
	must(t, p.nc.(*net.TCPConn).CloseWrite())
	must(t, p.nc.SetReadDeadline(time.Now().Add(testPatience)))
	for i := range whole {
		if got, err := frames.frame(); err != nil || len(got) != len("binary:")+len(frame)-4 {
			t.Fatalf("frame %d of %d: %d bytes, %v", i, whole, len(got), err)
		}
	}
	for {
		if _, err := frames.br.ReadByte(); err != nil {
			break
		}
	}
	if !bytes.Equal(p.alert, []byte{1, 0}) {
		t.Errorf("alert % x", p.alert)
	}
}
