package transport

// Source supplies what a connection has to say beyond its queue: the records its cursors are due. Its methods are
// called only by whoever holds the connection's write state, so never two at once, and with no lock held.
type Source interface {
	// Gather appends framed bytes to dst, whole frames only, up to about budget bytes; more says that not all fitted.
	Gather(dst [][]byte, budget int) (out [][]byte, more bool)
	// Wrote tells how many of the gathered bytes went out. If the last frame was cut in two it returns a copy of its
	// unsent tail, which the Outlet sends before anything else; frames of which nothing went out are gathered again.
	Wrote(n int) (cut []byte)
	// Again asks that Outlet.Resume be called soon from a fan-out worker.
	Again()
}
