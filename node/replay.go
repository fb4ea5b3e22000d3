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
	s, err := Service(n.Namespace())
	if err != nil {
		return worker.Report{}, err
	}
	if !sqlite.Exists(data) {
		return worker.Report{}, fmt.Errorf("there is no data of a server in %s: name its data folder", data)
	}
	store, err := sqlite.Open(ctx, data, sqlite.Options{})
	if err != nil {
		return worker.Report{}, err
	}
	r, err := worker.Replay(ctx, s, store, n)
	if closed := store.Close(); err == nil {
		err = closed
	}
	if err == nil && r.To == 0 {
		err = fmt.Errorf("nothing is kept of channel %s in %s: is its name right?", n, data)
	}
	return r, err
}
