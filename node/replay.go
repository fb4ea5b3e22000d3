package node

import (
	"context"

	"carillon/channel"
	"carillon/store/sqlite"
	"carillon/worker"
)

// Replay proves a channel of a service in a data folder: see worker.Replay. No server may run on the folder meanwhile.
func Replay(ctx context.Context, data string, n channel.Name) (worker.Report, error) {
	s, err := Service(n.Namespace())
	if err != nil {
		return worker.Report{}, err
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
