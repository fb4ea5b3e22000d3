package node

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"carillon/channel"
)

// health is one thing that must be well for the node to serve. What it can do without it may miss: then it serves on,
// and says so.
type health struct {
	Name     string `json:"name"`
	OK       bool   `json:"ok"`
	Why      string `json:"why,omitempty"`
	Degraded bool   `json:"degraded,omitempty"`
}

// readyTimeout bounds the checks of readyz.
const readyTimeout = 2 * time.Second

var (
	errDraining = errors.New("the node is draining")
	errCut      = errors.New("the line to the other nodes is lost: see that Redis runs and is reached")
)

// readyz answers 200 while the node serves, 503 otherwise; with ?verbose it says what was looked at.
func (n *Node) readyz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
	defer cancel()
	checks := n.examine(ctx)
	status := http.StatusOK
	for _, c := range checks {
		if !c.OK && !c.Degraded {
			status = http.StatusServiceUnavailable
		}
	}
	if !r.URL.Query().Has("verbose") {
		http.Error(w, http.StatusText(status), status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(checks)
}

// examine looks at what the node needs. Without Redis nobody who comes anew can be served, so somebody else should be
// asked, if there is anybody. Without Postgres plain channels go on as ever: a node with clients serves on.
func (n *Node) examine(ctx context.Context) (checks []health) {
	check := func(name string, spare bool, err error) {
		h := health{Name: name, OK: err == nil}
		if err != nil {
			h.Why, h.Degraded = err.Error(), spare
		}
		checks = append(checks, h)
	}
	var draining, cut error
	if n.draining.Load() {
		draining = errDraining
	}
	check("serving", false, draining)
	_, err := n.truth.plain.Heads(ctx, []channel.Name{channel.All})
	if err == nil && n.truth.lasting != nil && n.o.Postgres == "" {
		if _, err = n.truth.lasting.Heads(ctx, []channel.Name{channel.Sys}); err == nil {
			err = n.truth.lasting.Present()
		}
	}
	check("journal", false, err)
	if n.hints.shared {
		if n.hints.down.Load() {
			cut = errCut
		}
		check("bus", false, cut)
		check("settings", true, n.hints.redis.agreement.check())
	}
	if n.o.Postgres != "" {
		check("postgres", n.o.Roles.Gateway, n.truth.lasting.Present())
	}
	return checks
}
