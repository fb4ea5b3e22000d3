package node

import (
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"carillon/bus"
	"carillon/bus/redis"
	"carillon/channel"
	"carillon/gateway/hub"
	"carillon/gateway/limit"
	"carillon/gateway/transport/ws"
	"carillon/observe"
	"carillon/wire"
)

// meters are what no part counts by itself, and the registry in which the figures of all parts are read. The parts know
// no registry; only here stands which figure is which metric.
type meters struct {
	registry *observe.Registry
	in       [len(byClass)]observe.Counter // records, by class
	written  *observe.Histogram
	waits    *observe.Histogram
	handed   *observe.Histogram // in memory
	together *observe.Sizes
	commits  *observe.Histogram // in SQLite or Postgres
	batches  *observe.Sizes
	failures observe.Counter
	asked    *observe.Histogram // of services, as worker.Options has the three
	stepped  *observe.Histogram
	stored   *observe.Histogram
	panics   observe.Counter // of HTTP handlers
	broken   observe.Counter // of conversations, outside of their reader
	told     atomic.Int64    // Unix second in which a panic was last logged
	tls      atomic.Pointer[ws.TLSListener]
}

func newMeters() *meters {
	return &meters{
		registry: observe.NewRegistry(), written: observe.NewHistogram(), waits: observe.NewHistogram(),
		handed: observe.NewHistogram(), together: observe.NewSizes(),
		commits: observe.NewHistogram(), batches: observe.NewSizes(),
		asked: observe.NewHistogram(), stepped: observe.NewHistogram(), stored: observe.NewHistogram(),
	}
}

// The values of labels that stand at many metrics.
var (
	overWS   = observe.LabelTransport.Value("ws")
	inMemory = observe.LabelTier.Value("memory")
	inSQLite = observe.LabelTier.Value("sqlite")
	inRedis  = observe.LabelTier.Value("redis")
	inTables = observe.LabelTier.Value("postgres")
	byClass  = [...]observe.Value{
		channel.Logged:   observe.LabelClass.Value("logged"),
		channel.Latest:   observe.LabelClass.Value("latest"),
		channel.Fleeting: observe.LabelClass.Value("fleeting"),
	}
)

// put is how a source of several series says one of them.
type put = func(v float64, values ...observe.Value)

// read says where each metric of the catalogue comes from.
func (m *meters) read(n *Node) {
	m.connections(n)
	m.handshakes(n)
	m.conversations(n)
	m.records(n)
	m.services(n)
	m.presence(n)
	m.fanout(n)
	m.commit(n)
	m.cluster(n)
	m.mirror(n)
	m.limits(n)
	r := m.registry
	r.Count(observe.Panics, func() uint64 { return n.sockets.Stats().Panics + m.broken.Load() }, observe.LabelPart.Value("connection"))
	r.Count(observe.Panics, m.panics.Load, observe.LabelPart.Value("http"))
	r.Count(observe.LogSuppressed, func() uint64 {
		if l, ok := n.log.Handler().(interface{ Suppressed() uint64 }); ok {
			return l.Suppressed()
		}
		return 0
	})
}

func (m *meters) connections(n *Node) {
	r := m.registry
	r.Each(observe.Connections, func(put put) {
		for i, open := range n.sessions.Stats().Formats {
			name := wire.Protocols()[i].Name
			put(float64(open), overWS, observe.LabelFormat.Value(name[strings.LastIndexByte(name, '.')+1:]))
		}
	})
	r.Count(observe.ConnectionsOpened, func() uint64 { return n.sockets.Stats().Opened }, overWS)
	r.Counters(observe.ConnectionsEnded, n.sessions.Counts().Ended)
	r.Gauge(observe.Strangers, func() float64 { return float64(n.gates.strangers.Taken()) })
	r.Count(observe.BytesIn, func() uint64 { return n.sockets.Stats().In }, overWS)
	r.Count(observe.BytesOut, func() uint64 { return n.sockets.Stats().Out }, overWS)
}

func (m *meters) handshakes(n *Node) {
	r, g := m.registry, n.gates
	r.Each(observe.HandshakesRefused, func(put put) {
		count := func(reason string, n uint64) { put(float64(n), observe.LabelRefusal.Value(reason)) }
		for why, n := range n.sockets.Stats().Why {
			count(ws.Refusal(why).String(), n)
		}
		addresses, queue := g.addresses.Stats(), g.admission.Stats()
		count("address_rate", g.connects.Stats().Refused)
		count("address_open", addresses.Refused+addresses.Full)
		count(limit.QueueFull.String(), queue.Full)
		count(limit.TooLate.String(), queue.Late)
		count("strangers", g.strangers.Refused())
		count("node_full", g.all.Refused())
		if l := m.tls.Load(); l != nil {
			count("tls", l.Stats().Failed)
		}
	})
	r.Gauge(observe.HandshakesWaiting, func() float64 { return float64(g.admission.Stats().Waiting) })
	r.Histogram(observe.HandshakeWait, m.waits)
}

func (m *meters) conversations(n *Node) {
	r, c := m.registry, n.sessions.Counts()
	for _, name := range observe.LabelRequest.Values() {
		t := wire.RequestType(0) // observe.Other
		for known := wire.ReqConnect; known <= wire.ReqPong; known++ {
			if known.String() == name {
				t = known
			}
		}
		r.Count(observe.Requests, func() uint64 { return c.Requests(t) }, observe.LabelRequest.Value(name))
	}
	r.Counters(observe.Errors, c.Errors)
	r.Counters(observe.Gaps, c.Gaps)
	r.Counters(observe.Resumes, c.Resumes)
	plain, lasting := n.tiers()
	r.Histogram(observe.PublishAck, c.Acks(wire.AckMemory), plain)
	r.Histogram(observe.PublishAck, c.Acks(wire.AckDurable), lasting)
	r.Histogram(observe.PublishWrite, m.written)
}

func (m *meters) records(n *Node) {
	r := m.registry
	for class, v := range byClass {
		r.Count(observe.RecordsIn, m.in[class].Load, v)
		r.Count(observe.RecordsOut, func() uint64 { return n.hub.Stats().Out[class] }, v)
	}
	r.Each(observe.RecordsDropped, func(put put) {
		s := n.hub.Stats()
		put(float64(s.Fleeting), byClass[channel.Fleeting], observe.LabelDrop.Value("behind"))
		put(float64(s.Aside), byClass[channel.Logged], observe.LabelDrop.Value("aside"))
		for _, why := range limit.Causes() {
			put(float64(n.pressure.Dropped(channel.Fleeting, why)), byClass[channel.Fleeting], observe.LabelDrop.Value(why.String()))
		}
	})
}

func (m *meters) fanout(n *Node) {
	r := m.registry
	count := func(metric *observe.Metric, of func(hub.Stats) uint64) {
		r.Count(metric, func() uint64 { return of(n.hub.Stats()) })
	}
	gauge := func(metric *observe.Metric, of func(hub.Stats) int64) {
		r.Gauge(metric, func() float64 { return float64(of(n.hub.Stats())) })
	}
	count(observe.Visits, func(s hub.Stats) uint64 { return s.Wakes })
	count(observe.Resumed, func(s hub.Stats) uint64 { return s.Resumes })
	count(observe.Encoded, func(s hub.Stats) uint64 { return s.Encoded })
	count(observe.RingCut, func(s hub.Stats) uint64 { return s.Cut })
	gauge(observe.FanoutQueueLength, func(s hub.Stats) int64 { return int64(s.Queue) })
	gauge(observe.Rooms, func(s hub.Stats) int64 { return int64(s.Rooms) })
	gauge(observe.Cursors, func(s hub.Stats) int64 { return int64(s.Cursors) })
	gauge(observe.RingBytes, func(s hub.Stats) int64 { return s.Bytes })
	gauge(observe.RingBudget, func(s hub.Stats) int64 { return s.Budget })
	r.Time(observe.FanoutBusyTime, func() time.Duration { return n.hub.Stats().Busy })
	r.Each(observe.CursorLag, func(put put) {
		lags := n.hub.Lag(nil)
		slices.Sort(lags)
		for _, name := range observe.LabelRank.Values() {
			lag := 0
			if last := len(lags) - 1; last >= 0 {
				lag = lags[int(ranks[name]*float64(last))]
			}
			put(float64(lag), observe.LabelRank.Value(name))
		}
	})
}

// ranks are the places that the values of observe.LabelRank name.
var ranks = map[string]float64{"p50": 0.5, "p99": 0.99, "max": 1}

func (m *meters) commit(n *Node) {
	r := m.registry
	plain, lasting := n.tiers()
	r.Histogram(observe.CommitTime, m.handed, plain)
	r.Sizes(observe.CommitRecords, m.together, plain)
	r.Histogram(observe.CommitTime, m.commits, lasting)
	r.Sizes(observe.CommitRecords, m.batches, lasting)
	r.Count(observe.CommitFailures, m.failures.Load, lasting)
	r.Gauge(observe.CommitQueue, func() float64 {
		if n.truth.lasting == nil {
			return 0
		}
		return float64(n.truth.lasting.Waiting())
	}, lasting)
}

// tiers are where plain channels are kept, and those that last.
func (n *Node) tiers() (plain, lasting observe.Value) {
	plain, lasting = inMemory, inSQLite
	if n.hints.shared {
		plain = inRedis
	}
	if n.o.Postgres != "" {
		lasting = inTables
	}
	return plain, lasting
}

// cluster says how this node and the others get on. A node that is alone has nobody to lose.
func (m *meters) cluster(n *Node) {
	stats := func() (s redis.FeedStats) {
		if n.hints.redis == nil {
			return redis.FeedStats{Whole: true}
		}
		return n.hints.redis.feed.Stats()
	}
	r := m.registry
	count := func(metric *observe.Metric, of func(redis.FeedStats) uint64, vs ...observe.Value) {
		r.Count(metric, func() uint64 { return of(stats()) }, vs...)
	}
	r.Gauge(observe.BusWhole, func() float64 {
		if stats().Whole {
			return 1
		}
		return 0
	})
	count(observe.BusTroubles, func(s redis.FeedStats) uint64 { return s.Troubles })
	count(observe.BusReconnects, func(s redis.FeedStats) uint64 { return s.Reconnects })
	count(observe.BusCarried, func(s redis.FeedStats) uint64 { return s.Carried })
	count(observe.BusReceived, func(s redis.FeedStats) uint64 { return s.Received })
	count(observe.BusDropped, func(s redis.FeedStats) uint64 { return s.Dropped }, byClass[channel.Logged])
	count(observe.BusDropped, func(s redis.FeedStats) uint64 { return s.Fleeting }, byClass[channel.Fleeting])
	r.Gauge(observe.BusSubscriptions, func() float64 { return float64(stats().Joined) })
	r.Gauge(observe.Peers, func() float64 { return float64(n.hints.others()) })
}

func (m *meters) limits(n *Node) {
	r, g := m.registry, n.gates
	r.Each(observe.Limited, func(put put) {
		met := n.sessions.Counts().Limited
		for _, name := range observe.LabelLimit.Values() {
			v := observe.LabelLimit.Value(name)
			put(float64(met.Load(v)), v)
		}
		count := func(limit string, n uint64) { put(float64(n), observe.LabelLimit.Value(limit)) }
		count("address_open", g.addresses.Stats().Refused)
		count("address_rate", g.connects.Stats().Refused)
		count("bad_tokens", g.wrong.Stats().Refused)
		count("strangers", g.strangers.Refused())
	})
	r.Each(observe.LimitKeys, func(put put) {
		keys := func(name string, n int) { put(float64(n), observe.LabelMap.Value(name)) }
		keys("user_open", n.sessions.Stats().Users)
		keys("address_open", g.addresses.Stats().Keys)
		keys("address_rate", g.connects.Stats().Keys)
		keys("bad_tokens", g.wrong.Stats().Keys)
	})
	r.Each(observe.LimitOverflows, func(put put) {
		lost := func(name string, n uint64) { put(float64(n), observe.LabelMap.Value(name)) }
		lost("address_open", g.addresses.Stats().Full)
		lost("address_rate", g.connects.Stats().Evicted)
		lost("bad_tokens", g.wrong.Stats().Evicted)
	})
	r.Gauge(observe.PressureLevel, func() float64 { return float64(n.pressure.Level()) })
	r.Count(observe.PressureChanges, n.pressure.Changes)
}

// counted makes a feed count what goes on its way: each record once, and no resend.
func (m *meters) counted(f bus.Feed) bus.Feed { return countingFeed{f, m} }

type countingFeed struct {
	bus.Feed
	m *meters
}

// Carry implements bus.Feed.
func (f countingFeed) Carry(rs []channel.Record) {
	f.m.count(rs)
	f.Feed.Carry(rs)
}

// count counts what became true here, or was sent on its way.
func (m *meters) count(rs []channel.Record) {
	for i := 0; i < len(rs); {
		class, first := rs[i].Class, i
		for i < len(rs) && rs[i].Class == class {
			i++
		}
		m.came(class, i-first)
	}
}

// came counts records of a class.
func (m *meters) came(class channel.Class, records int) { m.in[class].Add(uint64(records)) }

// Metrics are the figures of the node.
func (n *Node) Metrics() *observe.Registry { return n.meters.registry }
