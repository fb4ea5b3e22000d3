package node

import (
	"fmt"
	"log/slog"
	"net/http"
	"path"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// survive keeps a panic in a handler at the request that it is in, whose connection ends.
func (n *Node) survive(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			if v != http.ErrAbortHandler {
				n.meters.panics.Add(1)
				n.survived(v, "a panic ended a request")
			}
			panic(http.ErrAbortHandler)
		}()
		h.ServeHTTP(w, r)
	})
}

// broke tells of a panic in a conversation on a goroutine that serves many.
func (n *Node) broke(v any) {
	n.meters.broken.Add(1)
	n.survived(v, "a panic ended a connection")
}

// survived logs a panic, at most one in a second, with its stack: it is called by whoever recovers. A value that was
// made neither by the runtime nor from a text in the code is told by its type alone, for nobody knows what is in it.
func (n *Node) survived(v any, message string) {
	if now := time.Now().Unix(); n.meters.told.Swap(now) == now {
		return
	}
	text := fmt.Sprintf("%T", v)
	switch v := v.(type) {
	case runtime.Error:
		text = v.Error()
	case string:
		text = v
	}
	n.log.Error(message, "panic", text, slog.Group("stack", frames()...))
}

// maxFrames bounds how much of a stack is logged.
const maxFrames = 16

// frames are the calls that led to a panic, the innermost first, each an attribute of its own: a log cuts long values.
func frames() (attrs []any) {
	var pcs [4 * maxFrames]uintptr
	calls := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	panicked := false
	for more := true; more && len(attrs) < maxFrames; {
		var f runtime.Frame
		f, more = calls.Next()
		if f.Function == "runtime.gopanic" {
			panicked, attrs = true, nil
		} else if panicked && !strings.HasPrefix(f.Function, "runtime.") {
			call := f.Function[strings.LastIndexByte(f.Function, '/')+1:]
			attrs = append(attrs, slog.String(strconv.Itoa(len(attrs)), fmt.Sprintf("%s %s:%d", call, path.Base(f.File), f.Line)))
		}
	}
	return attrs
}
