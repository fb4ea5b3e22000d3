package ws

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"carillon/wire"

	"github.com/coder/websocket"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serveEcho runs an echo endpoint behind net/http on a port of its own and returns its address.
func serveEcho(t testing.TB, o Options) (*Handler, string) {
	t.Helper()
	h := NewEcho(o, 64<<20)
	return h, serveHandler(t, h)
}

func serveHandler(t testing.TB, h *Handler) string {
	t.Helper()
	return serveMux(t, h, h)
}

func TestAnotherImplementationsClient(t *testing.T) {
	_, addr := serveEcho(t, Options{Protocols: []string{"b", "a"}, MaxMessage: 4 << 20})
	ctx, stop := context.WithTimeout(context.Background(), 20*time.Second)
	defer stop()
	c, resp, err := websocket.Dial(ctx, "ws://"+addr, &websocket.DialOptions{
		HTTPClient: &http.Client{}, Subprotocols: []string{"x", "a", "b", wire.TokenPrefix + "secret"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	if c.Subprotocol() != "a" || strings.Contains(resp.Header.Get("Sec-WebSocket-Protocol"), "secret") {
		t.Fatalf("subprotocol %q", resp.Header.Get("Sec-WebSocket-Protocol"))
	}
	c.SetReadLimit(8 << 20)
	for _, n := range []int{0, 1, 125, 126, 127, 65535, 65536, 3 << 20} {
		want := bytes.Repeat([]byte("é"), n/2)
		if err := c.Write(ctx, websocket.MessageText, want); err != nil {
			t.Fatal(err)
		}
		kind, got, err := c.Read(ctx)
		if err != nil || kind != websocket.MessageText || !bytes.Equal(got, want) {
			t.Fatalf("%d bytes: got %d of kind %v, %v", n, len(got), kind, err)
		}
	}
	pinged := make(chan error, 1)
	go func() { pinged <- c.Ping(ctx) }()
	readCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	read := c.CloseRead(readCtx)
	if err := <-pinged; err != nil {
		t.Fatal(err)
	}
	if err := c.Close(websocket.StatusNormalClosure, "bye"); err != nil {
		t.Fatal(err)
	}
	<-read.Done()
}
