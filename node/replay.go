package node

import (
	"context"
	"fmt"

	"carillon/channel"
	"carillon/store/sqlite"
	"carillon/worker"
)

// Replay proves a channel of a service in a data folder: see worker.Replay. No server may run on the folder meanwhile.
func Replay(ctx context.Context, data string, n channel.Name) (worker.Report, error) {
	for _, s := range services() {
		if s.Name != n.Namespace() {
			continue
		}
		store, err := sqlite.Open(ctx, data, sqlite.Options{})
		if err != nil {
			return worker.Report{}, err
		}
		r, err := worker.Replay(ctx, s, store, n)
		if closed := store.Close(); err == nil {
			err = closed
		}
		return r, err
	}
	return worker.Report{}, fmt.Errorf("no service is called %q in this program: replay proves channels of services", n.Namespace())
}
