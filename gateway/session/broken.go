package session

import (
	"carillon/gateway/hub"
	"carillon/wire"
)

// Broken ends the conversation of a waker that panicked on a fan-out worker; it is what hub.Options.Panicked calls. The
// writer that panicked left its Outlet as it was, so what it had in hand and the close frame may never go out: the
// transport cuts the line when its time for that is over.
func (sv *Server) Broken(v any, w hub.Waker) {
	switch w := w.(type) {
	case *sub:
		w.s.broke(v)
	case *Session:
		w.broke(v)
	default:
		panic(v) // not a conversation's
	}
}

// broke ends a conversation in which something panicked, and tells of it while the stack of that is still there.
func (s *Session) broke(v any) {
	if s.sv.o.Panicked == nil {
		panic(v)
	}
	s.sv.o.Panicked(v)
	if s.leave(ending, endPanic) {
		s.out.Control(s.format.Framing.AppendClose(nil, closeInternal, ""), true)
	}
}

// endPanic is told to no client; it is the reason of the log and of the metrics.
const endPanic wire.Code = "panic"
