package ws

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"
)

// serveFront serves h on "/" through a Front, with an http.Server behind it. The Handler is closed before them.
func serveFront(t testing.TB, lines *Handler, h http.Handler, patience time.Duration) (addr string, f *Front) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f = NewFront(l, "/", h, patience)
	s := &http.Server{Handler: h, ReadHeaderTimeout: patience}
	done := make(chan error, 1)
	go func() { done <- s.Serve(f) }()
	t.Cleanup(func() {
		lines.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := <-done; !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
	return l.Addr().String(), f
}

// byNetHTTP notes who served a request.
type byNetHTTP struct {
	h     http.Handler
	front chan bool
}

func (b byNetHTTP) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, own := w.(*handshake)
	b.front <- own
	b.h.ServeHTTP(w, r)
}

// TestFrontTakesPlainHandshakes: what is plain it answers, all else net/http does, and both get lines that work.
func TestFrontTakesPlainHandshakes(t *testing.T) {
	h := NewEcho(Options{}, 1<<20)
	front := make(chan bool, 1)
	addr, _ := serveFront(t, h, byNetHTTP{h, front}, testPatience)
	head := baseHandshake(addr)
	for _, c := range []struct {
		name, head string
		chop       int
		own        bool
	}{
		{"plain", head + "\r\n", 0, true},
		{"query", strings.Replace(head, "GET / ", "GET /?a=b%20c ", 1) + "\r\n", 0, true},
		{"in pieces", head + "\r\n", 40, false},
		{"absolute", strings.Replace(head, "GET / ", "GET http://"+addr+"/ ", 1) + "\r\n", 0, false},
		{"escaped path", strings.Replace(head, "GET / ", "GET /%2e ", 1) + "\r\n", 0, false},
		{"large", head + "X: " + strings.Repeat("x", frontBytes) + "\r\n\r\n", 0, false},
		{"not ASCII", head + "X: é\r\n\r\n", 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			nc, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			must(t, nc.SetDeadline(time.Now().Add(testPatience)))
			go writeChopped(nc, append([]byte(c.head), fin(opText, "glued")...), c.chop)
			p := &peer{t: t, nc: nc, br: bufio.NewReader(nc)}
			resp, err := http.ReadResponse(p.br, nil)
			if err != nil || resp.StatusCode != 101 {
				t.Fatal(resp, err)
			}
			if own := <-front; own != c.own && c.chop == 0 { // pieces may arrive as one
				t.Errorf("answered by the front: %v", own)
			}
			p.want("text:glued")
			p.send(fin(opText, "more"))
			p.want("text:more")
		})
	}
}

// TestFrontSpeaksLikeNetHTTP: a refusal is the same either way, but that the connection ends.
func TestFrontSpeaksLikeNetHTTP(t *testing.T) {
	h := NewEcho(Options{}, 1<<20)
	refusing := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.RawQuery {
		case "busy":
			w.Header().Set("Retry-After", "3")
			http.Error(w, "come back later", http.StatusTooManyRequests)
		case "panic":
			panic(http.ErrAbortHandler)
		case "silent":
		default:
			h.ServeHTTP(w, r)
		}
	})
	addr, _ := serveFront(t, h, refusing, testPatience)
	behind := serveMux(t, h, refusing)
	for _, query := range []string{"busy", "silent"} {
		var heads [2]http.Header
		var bodies [2]string
		for i, at := range []string{addr, behind} {
			_, resp := request(t, at, strings.Replace(baseHandshake(at), "GET / ", "GET /?"+query+" ", 1)+"\r\n")
			b, err := io.ReadAll(io.LimitReader(resp.Body, resp.ContentLength))
			must(t, err)
			heads[i], bodies[i] = resp.Header, resp.Status+"\n"+string(b)
			if !resp.Close && i == 0 {
				t.Error("the connection goes on")
			}
			heads[i].Del("Connection")
			if heads[i].Get("Date") == "" {
				t.Error("no date")
			}
			heads[i].Del("Date")
		}
		if bodies[0] != bodies[1] || !maps.EqualFunc(heads[0], heads[1], func(a, b []string) bool { return reflect.DeepEqual(a, b) }) {
			t.Errorf("%s:\n%s %v\n%s %v", query, bodies[0], heads[0], bodies[1], heads[1])
		}
	}
	nc, err := net.Dial("tcp", addr)
	must(t, err)
	defer nc.Close()
	must(t, nc.SetDeadline(time.Now().Add(testPatience)))
	_, err = nc.Write([]byte(strings.Replace(baseHandshake(addr), "GET / ", "GET /?panic ", 1) + "\r\n"))
	must(t, err)
	if b, err := io.ReadAll(nc); err != nil || len(b) > 0 {
		t.Errorf("after a panic: %q, %v", b, err)
	}
}

// TestFrontIsNotHeldUp: who sends nothing, or half a head, is gone after the patience; Close waits for nobody.
func TestFrontIsNotHeldUp(t *testing.T) {
	h := NewEcho(Options{}, 1<<20)
	open := func(addr, some string) net.Conn {
		nc, err := net.Dial("tcp", addr)
		must(t, err)
		must(t, nc.SetDeadline(time.Now().Add(testPatience)))
		_, err = nc.Write([]byte(some))
		must(t, err)
		return nc
	}
	addr, _ := serveFront(t, h, h, 50*time.Millisecond)
	for _, some := range []string{"", "G", "GET / HTTP/1.1\r\nHost: x\r\n"} {
		nc := open(addr, some)
		if _, err := io.Copy(io.Discard, nc); isTimeout(err) {
			t.Errorf("after %q the connection stays", some)
		}
		nc.Close()
	}
	addr, f := serveFront(t, h, h, time.Hour)
	silent := open(addr, "")
	defer silent.Close()
	half := open(addr, "GET / HTTP/1.1\r\nHost: x\r\n")
	defer half.Close()
	healthy(t, addr) // both were accepted by now
	must(t, f.Close())
	if _, err := io.Copy(io.Discard, silent); isTimeout(err) {
		t.Error("a connection outlives the front")
	}
}

// TestFrontSeesThePeerLeave: a handler that waits learns from its context that nobody waits with it.
func TestFrontSeesThePeerLeave(t *testing.T) {
	h := NewEcho(Options{}, 1<<20)
	waits, left := make(chan struct{}, 1), make(chan error, 1)
	addr, _ := serveFront(t, h, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery == "" {
			select { // a peer that stays and has sent more than its head is there
			case <-r.Context().Done():
				t.Error("the peer is there")
			default:
			}
			h.ServeHTTP(w, r)
			return
		}
		waits <- struct{}{}
		<-r.Context().Done()
		left <- r.Context().Err()
	}), testPatience)
	healthy(t, addr)
	nc, err := net.Dial("tcp", addr)
	must(t, err)
	_, err = nc.Write([]byte(strings.Replace(baseHandshake(addr), "GET / ", "GET /?wait ", 1) + "\r\n"))
	must(t, err)
	<-waits
	must(t, nc.Close())
	if err := <-left; err == nil {
		t.Error("no error")
	}
}

// FuzzPlainHandshake: what the front takes, net/http would have taken, and shows its handler the same.
func FuzzPlainHandshake(f *testing.F) {
	head := baseHandshake("example.org:80")
	for _, s := range []string{
		head + "\r\n", head + "\r\nrest", head + "Cookie: a=b\r\ncookie: c\r\n\r\n", head + " folded\r\n\r\n", head + "Host: b\r\n\r\n",
		head + "Content-Length: 0\r\n\r\n", head + "A\r\n\r\n", head + "A : b\r\n\r\n", head + "A: \x01\r\n\r\n", head + "A: b\n\r\n\r\n",
		strings.Replace(head, "/ ", "/?q=%zz ", 1) + "\r\n", strings.Replace(head, "1.1", "1.0", 1) + "\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		own, rest := parseHandshake(b, "/")
		if own == nil {
			return
		}
		br := bufio.NewReader(bytes.NewReader(b))
		theirs, err := http.ReadRequest(br)
		if err != nil {
			t.Fatalf("net/http: %v", err)
		}
		left, err := io.ReadAll(br)
		must(t, err)
		if !bytes.Equal(left, rest) {
			t.Errorf("after the head %q, not %q", rest, left)
		}
		if !reflect.DeepEqual(own.Header, theirs.Header) || own.Host != theirs.Host || own.RequestURI != theirs.RequestURI ||
			*own.URL != *theirs.URL || own.Proto != theirs.Proto || own.ContentLength != theirs.ContentLength {
			t.Errorf("%+v\n%+v", own, theirs)
		}
		if strings.Count(string(b[:len(b)-len(rest)]), "\n") != strings.Count(string(b[:len(b)-len(rest)]), "\r\n") {
			t.Error("a bare line feed in the head")
		}
	})
}
