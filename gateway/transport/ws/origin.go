package ws

import "net/http"

// AllowsOrigin judges the page behind a request as an upgrade would: for handlers beside the sockets that serve the same pages.
func (h *Handler) AllowsOrigin(r *http.Request) bool {
	o := h.options()
	return o.allows(r)
}

// SetOrigins replaces Options.Origins for connections to come.
func (h *Handler) SetOrigins(origins []string) { h.origins.Store(&origins) }

// options are those of now.
func (h *Handler) options() Options {
	o := h.o
	if origins := h.origins.Load(); origins != nil {
		o.Origins = *origins
	}
	return o
}
