package ws

import "net/http"

// AllowsOrigin judges the page behind a request as an upgrade would: for handlers beside the sockets that serve the same pages.
func (h *Handler) AllowsOrigin(r *http.Request) bool { return h.o.allows(r) }
