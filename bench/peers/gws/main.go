// Command gws is a room server as people write it with lxzan/gws: a set of connections per channel, and the library's
// Broadcaster, which frames a message once. usage: gws PORT
package main

import (
	"bytes"
	"log"
	"net"
	"net/http"
	"os"
	"sync"

	"github.com/lxzan/gws"
)

type room struct {
	mu      sync.RWMutex
	members map[*gws.Conn]struct{}
}

type handler struct {
	gws.BuiltinEventHandler
	mu    sync.RWMutex
	rooms map[string]*room
}

func (h *handler) room(name string) *room {
	h.mu.RLock()
	r := h.rooms[name]
	h.mu.RUnlock()
	if r != nil {
		return r
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if r = h.rooms[name]; r == nil {
		r = &room{members: map[*gws.Conn]struct{}{}}
		h.rooms[name] = r
	}
	return r
}

func (h *handler) OnMessage(c *gws.Conn, m *gws.Message) {
	defer m.Close()
	text := m.Bytes()
	if len(text) == 0 {
		return
	}
	if text[0] == 'S' {
		h.join(c, string(text[1:]))
		return
	}
	name, payload, _ := bytes.Cut(text[1:], []byte{'\n'})
	b := gws.NewBroadcaster(gws.OpcodeText, bytes.Clone(payload))
	defer b.Close()
	r := h.room(string(name))
	r.mu.RLock()
	defer r.mu.RUnlock()
	for member := range r.members {
		_ = b.Broadcast(member) // a dead member is told by OnClose
	}
}

func (h *handler) join(c *gws.Conn, name string) {
	r := h.room(name)
	r.mu.Lock()
	r.members[c] = struct{}{}
	r.mu.Unlock()
	c.Session().Store("room", r)
	_ = c.WriteMessage(gws.OpcodeText, []byte("ok")) // the same
}

func (h *handler) OnClose(c *gws.Conn, _ error) {
	if v, ok := c.Session().Load("room"); ok {
		r := v.(*room)
		r.mu.Lock()
		delete(r.members, c)
		r.mu.Unlock()
	}
}

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: gws PORT")
	}
	up := gws.NewUpgrader(&handler{rooms: map[string]*room{}}, &gws.ServerOption{ReadBufferSize: 1024, WriteBufferSize: 1024})
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", os.Args[1]))
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := up.Upgrade(w, r)
		if err != nil {
			return
		}
		go c.ReadLoop()
	})))
}
