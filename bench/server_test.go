package bench

import (
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// listen serves on a free port until the test ends and returns the address for the generator.
func listen(t *testing.T, srv *http.Server) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(l) // it ends with Close
	}()
	t.Cleanup(func() {
		_ = srv.Close()
		<-done
	})
	return "ws://" + l.Addr().String() + "/"
}

// stalling is a server of the plain dialect for one subscriber that stops once, after the first messages, for a while.
func stalling(t *testing.T, pause time.Duration) string {
	t.Helper()
	subscriber := make(chan *websocket.Conn, 1)
	return listen(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer func() { _ = c.CloseNow() }()
		var to *websocket.Conn
		for n := 0; ; {
			_, b, err := c.Read(r.Context())
			if err != nil {
				return
			}
			if b[0] == 'S' {
				_ = c.Write(r.Context(), websocket.MessageText, []byte("ok"))
				subscriber <- c
				continue
			}
			if to == nil {
				to = <-subscriber
			}
			if n++; n == 10 {
				<-time.After(pause)
			}
			_, payload, _ := strings.Cut(string(b), "\n")
			_ = to.Write(r.Context(), websocket.MessageText, []byte(payload)) // a line that broke is the reader's affair
		}
	})})
}
