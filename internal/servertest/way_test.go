package servertest_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"carillon/internal/servertest"
)

// echo answers each line with the same, and passes on what it heard.
func echo(t *testing.T) (address string, heard chan string) {
	t.Helper()
	here, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	there, err := net.Listen("tcp4", fmt.Sprintf("%s:%d", servertest.WayHost, here.Addr().(*net.TCPAddr).Port))
	if err != nil {
		t.Skipf("the port is taken at %s: %v", servertest.WayHost, err)
	}
	heard = make(chan string, 16)
	var serving sync.WaitGroup
	stop, cancel := context.WithCancel(context.Background())
	for _, l := range []net.Listener{here, there} {
		serving.Go(func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				serving.Go(func() {
					defer c.Close()
					defer context.AfterFunc(stop, func() { _ = c.Close() })()
					for lines := bufio.NewScanner(c); lines.Scan(); {
						heard <- lines.Text()
						fmt.Fprintln(c, lines.Text())
					}
				})
			}
		})
	}
	t.Cleanup(func() {
		cancel()
		_ = here.Close()
		_ = there.Close()
		serving.Wait()
	})
	return here.Addr().String(), heard
}

// TestWay: what is cut does not arrive, and nothing is lost of it; whoever is not on the way notices nothing.
func TestWay(t *testing.T) {
	for kind, make := range map[string]func(testing.TB, string) *servertest.Way{"best": servertest.NewWay, "proxy": servertest.NewProxyWay} {
		for name, d := range map[string]servertest.Direction{
			"requests": servertest.Requests, "replies": servertest.Replies, "both": servertest.Requests | servertest.Replies,
		} {
			t.Run(kind+" "+name, func(t *testing.T) {
				address, heard := echo(t)
				w := make(t, address)
				t.Log(w.Kind())
				aside, err := net.Dial("tcp4", address)
				if err != nil {
					t.Fatal(err)
				}
				defer aside.Close()
				byDial, err := w.Dial(t.Context(), "", "")
				if err != nil {
					t.Fatal(err)
				}
				defer byDial.Close()
				byAddress, err := net.Dial("tcp4", w.Address())
				if err != nil {
					t.Fatal(err)
				}
				defer byAddress.Close()
				all := []net.Conn{byDial, byAddress}
				for _, c := range append(all, aside) {
					speak(t, c, "before", heard)
					answered(t, c, "before", true)
				}
				w.Cut(d)
				speak(t, aside, "meanwhile", heard)
				answered(t, aside, "meanwhile", true)
				for _, c := range all {
					if d&servertest.Requests != 0 {
						speak(t, c, "meanwhile", nil)
					} else {
						speak(t, c, "meanwhile", heard)
					}
					answered(t, c, "", false)
				}
				if len(heard) > 0 {
					t.Errorf("the server heard %q", <-heard)
				}
				w.Heal()
				for _, c := range all {
					answered(t, c, "meanwhile", true)
				}
			})
		}
	}
}

// speak sends a line and, with heard, waits until the server has it.
func speak(t *testing.T, c net.Conn, line string, heard chan string) {
	t.Helper()
	if _, err := fmt.Fprintln(c, line); err != nil {
		t.Fatal(err)
	}
	if heard == nil {
		return
	}
	select {
	case <-heard:
	case <-time.After(30 * time.Second):
		t.Fatal("the server does not hear it")
	}
}

// answered reads a line, or wants none.
func answered(t *testing.T, c net.Conn, want string, comes bool) {
	t.Helper()
	patience := 200 * time.Millisecond
	if comes {
		patience = 30 * time.Second
	}
	_ = c.SetReadDeadline(time.Now().Add(patience))
	got := make([]byte, len(want)+1)
	n, err := c.Read(got)
	if comes != (err == nil) || comes && string(got[:n]) != want+"\n" {
		t.Fatalf("read %q, %v; want %q", got[:n], err, want)
	}
}
