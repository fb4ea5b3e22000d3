package redis

import (
	"context"
	"errors"
	"net"
	"strconv"
	"time"

	"carillon/backbone"

	"github.com/redis/rueidis"
)

// How often a Cluster is asked who owns what: regularly, and at once when something moved, but not more often than least.
const (
	topologyEvery = 10 * time.Second
	topologyLeast = 200 * time.Millisecond
	surveyTimeout = 700 * time.Millisecond // for one node to answer
)

var errNoMap = errors.New("no node of the Redis Cluster says who owns which slots")

// toAsk tells whether it has to be asked who owns what.
func (f *Feed) toAsk() bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.unsettled
}

// survey asks which Redis node owns which partition and has lines to just those. Subscriptions whose partition went
// elsewhere are made anew there.
func (f *Feed) survey() {
	addresses, err := f.ask()
	if err != nil {
		f.o.Log.Warn("bus: the Redis Cluster does not tell who owns what; asking again", "error", err)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return
	}
	owning := make(map[string]bool)
	whole := true
	for p, address := range addresses {
		if address == "" {
			f.owners[p], whole = nil, false
			continue
		}
		owning[address] = true
		l := f.lines[address]
		if l == nil {
			l = f.open(address)
		}
		if f.owners[p] != l {
			f.owners[p], l.rescan = l, true
		}
	}
	for address, l := range f.lines {
		if !owning[address] {
			f.shut(address, l)
		} else if l.rescan {
			l.nudge()
		}
	}
	f.unsettled = !whole
}

// ask gives the address of the node that owns each partition, "" where there is none, as any node of the Cluster says.
func (f *Feed) ask() (addresses [backbone.Partitions]string, err error) {
	for address, node := range f.b.Client().Nodes() { // in any order
		ctx, cancel := context.WithTimeout(f.ctx, surveyTimeout)
		answer, e := node.Do(ctx, node.B().ClusterSlots().Build()).ToArray()
		cancel()
		if e != nil {
			err = e
			continue
		}
		host, _, _ := net.SplitHostPort(address)
		return f.place(answer, host), nil
	}
	if err == nil {
		err = errNoMap
	}
	return addresses, err
}

// place reads the answer to CLUSTER SLOTS: ranges of slots, each with the host and port of its master first. A node that
// does not know its own host leaves it out.
func (f *Feed) place(ranges []rueidis.RedisMessage, self string) (addresses [backbone.Partitions]string) {
	for _, r := range ranges {
		fields, err := r.ToArray()
		if err != nil || len(fields) < 3 {
			continue
		}
		first, err1 := fields[0].AsInt64()
		last, err2 := fields[1].AsInt64()
		master, err3 := fields[2].ToArray()
		if errors.Join(err1, err2, err3) != nil || len(master) < 2 {
			continue
		}
		host, _ := master[0].ToString()
		port, err := master[1].AsInt64()
		if err != nil {
			continue
		}
		if host == "" || host == "?" {
			host = self
		}
		address := net.JoinHostPort(host, strconv.FormatInt(port, 10))
		for p := range addresses {
			if slot := int64(f.slot(p)); first <= slot && slot <= last {
				addresses[p] = address
			}
		}
	}
	return addresses
}

// slot is the slot of a partition.
func (f *Feed) slot(partition int) uint16 {
	c := f.b.Client().B().Get().Key(f.b.PartitionKey("slot", partition)).Build()
	return c.Slot()
}
